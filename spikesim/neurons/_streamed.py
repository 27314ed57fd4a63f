"""Whole layers of float32 neurons in vector registers: what `_fused.py` runs where neurons come in sixteens.

Such a layer costs what its bytes cost, so three things are done about them: the drive is fetched AHEAD steps before it is
read (a block's next row lies a whole step away, where no processor looks by itself), a block's membranes stay in the L1
cache, and outputs that no cache would keep are stored past it (`core/streaming.py`). The step is `_sixteen.py`'s.
"""

from __future__ import annotations

import numpy as np

from .. import surrogate as surrogate_module
from ..core import simd, streaming
from ..core.kernel import block_at, blocks_in, kernel, plain, shared_out
from ..core.simd import FEW
from ..surrogate import Slope
from . import _membrane, _membrane_backward
from . import _sixteen as _sixteen_module
from ._membrane import Coefficients, bits_reference, rows_of, run_reference
from ._membrane_backward import Rule, backward_reference, block_of

BLOCK = 4096
"""Neurons of a block: 16 KiB of membranes, half of the smallest L1 cache. On a Zen 3 blocks of 1,024 to 4,096 take as long, on a
Zen 5 these are 3 to 8 % faster than 2,048 where nothing stays in the caches (batch 32 of W1)."""
AHEAD = 2
"""Steps before a row of the drive is needed that it is asked for; 1 to 8 take as long."""

CALLED = (simd, streaming, _membrane, _sixteen_module)
_row, _sixteen = _sixteen_module.row, _sixteen_module.sixteen
_row_charged, _row_back = _sixteen_module.row_charged, _sixteen_module.row_back
_fetched, _settled = streaming.fetched, streaming.settled


def fits(x: np.ndarray) -> bool:
    """Whether a drive (T, B, N) is one for these kernels."""
    return x.dtype == np.float32 and x.shape[-1] % FEW == 0


def streamed_reference(
    x: np.ndarray, v: np.ndarray, c: Coefficients, gated: bool, far: bool, spikes: np.ndarray
) -> None:
    """numpy twin of `streamed_kernel`, same arguments."""
    run_reference(x, v, c, gated, spikes)


@kernel(reference=streamed_reference, items=lambda x, *_: blocks_in(x, BLOCK), depends=CALLED)
def streamed_kernel(x, v, c, gated, far, spikes, begin, end, team):  # type: ignore[no-untyped-def]
    """x and spikes (T, B, N), v (B, N) in and out."""
    if shared_out(begin, end, team):
        return
    steps, _, size = x.shape
    for j in range(begin, end):
        b, lo, hi = block_at(j, size, BLOCK)
        row, state = rows_of(c, lo, hi), v[b, lo:hi]
        for t in range(steps):
            drive, later, out = x[t, b, lo:hi], x[min(t + AHEAD, steps - 1), b, lo:hi], spikes[t, b, lo:hi]
            _row(drive, later, state, out, row, gated, far)
    _settled()


def streamed_backward_reference(
    grads: np.ndarray, x: np.ndarray, v0: np.ndarray, carry: np.ndarray, c: Coefficients, rule: Rule, drive: np.ndarray
) -> None:
    """numpy twin of `streamed_backward_kernel`, same arguments."""
    backward_reference(grads, x, v0, carry, c, rule, drive, np.empty((0, *v0.shape), v0.dtype))


@kernel(
    reference=streamed_backward_reference, items=lambda x, *_: blocks_in(x, plain(block_of)(x.shape[0])),
    depends=(*CALLED, surrogate_module, _membrane_backward),
)  # fmt: skip
def streamed_backward_kernel(grads, x, v0, carry, c, rule, drive, begin, end, team):  # type: ignore[no-untyped-def]
    """`backward_kernel` of `_membrane_backward.py` for an immediate reset, without sums for coefficients."""
    if shared_out(begin, end, team):
        return
    steps, _, size = grads.shape
    block = block_of(steps)
    charges, membranes = np.empty((steps, min(block, size)), np.float32), np.empty(min(block, size), np.float32)
    rise = Slope(rule.height, rule.rate, rule.zero, rule.one)
    for j in range(begin, end):
        b, lo, hi = block_at(j, size, block)
        row, flow, n = rows_of(c, lo, hi), carry[b, lo:hi], hi - lo
        v = membranes[:n]
        for i in range(n):
            v[i] = v0[b, lo + i]
        for t in range(steps):
            _row_charged(x[t, b, lo:hi], v, charges[t, :n], row)
        for back_step in range(steps):
            t = steps - 1 - back_step
            _row_back(grads[t, b, lo:hi], flow, charges[t, :n], drive[t, b, lo:hi], row, rule.through, rule.code, rise)


@kernel(reference=bits_reference, items=lambda x, *_: blocks_in(x, BLOCK), depends=CALLED)
def packed_kernel(x, v, c, gated, bits, begin, end, team):  # type: ignore[no-untyped-def]
    """`bits_kernel` of `_membrane.py`: x (T, B, N), v (B, N) in and out, bits (T, B, ceil(N / 64))."""
    if shared_out(begin, end, team):
        return
    steps, _, size = x.shape
    for j in range(begin, end):
        b, lo, hi = block_at(j, size, BLOCK)
        row, state, out = rows_of(c, lo, hi), v[b, lo:hi], bits[:, b, lo // 64 : (hi + 63) // 64]
        for t in range(steps):
            drive, later = x[t, b, lo:hi], x[min(t + AHEAD, steps - 1), b, lo:hi]
            for w in range(out.shape[1]):
                word = np.uint64(0)
                for i in range(w * 64, min(w * 64 + 64, hi - lo), FEW):
                    _fetched(later, i)
                    word |= _sixteen(drive, state, i, row, gated) << np.uint64(i - w * 64)
                out[t, w] = word
