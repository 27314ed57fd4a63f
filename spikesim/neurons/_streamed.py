"""Whole layers of float32 neurons in vector registers: what `_fused.py` runs where neurons come in sixteens.

Such a layer costs what its bytes cost, so three things are done about them: the drive is fetched AHEAD steps before it is
read (a block's next row lies a whole step away, where no processor looks by itself), a block's membranes stay in the L1
cache, and outputs that no cache would keep are stored past it (`core/streaming.py`). The step is `_sixteen.py`'s.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core import simd, streaming
from ..core.kernel import block_at, blocks_in, kernel, shared_out
from ..core.simd import FEW
from . import _membrane
from . import _sixteen as _sixteen_module
from ._membrane import Coefficients, bits_reference, charge_reference, rows_of

BLOCK = 4096
"""Neurons of a block: 16 KiB of membranes, half of the smallest L1 cache. On a Zen 3 blocks of 1,024 to 4,096 take as long, on a
Zen 5 these are 3 to 8 % faster than 2,048 where nothing stays in the caches (batch 32 of W1)."""
AHEAD = 2
"""Steps before a row of the drive is needed that it is asked for; 1 to 8 take as long."""

CALLED = (simd, streaming, _membrane, _sixteen_module)
_row, _row_kept, _sixteen = _sixteen_module.row, _sixteen_module.row_kept, _sixteen_module.sixteen
_fetched, _settled = streaming.fetched, streaming.settled


def fits(x: np.ndarray) -> bool:
    """Whether a drive (T, B, N) is one for these kernels."""
    return x.dtype == np.float32 and x.shape[-1] % FEW == 0


def streamed_reference(
    x: np.ndarray, v: np.ndarray, c: Coefficients, gated: bool, far: bool, charge: Any, spikes: np.ndarray
) -> None:
    """numpy twin of `streamed_kernel`, same arguments."""
    charge_reference(x, v, c, gated, spikes, np.empty_like(x) if charge is None else charge)


@kernel(reference=streamed_reference, items=lambda x, *_: blocks_in(x, BLOCK), depends=CALLED)
def streamed_kernel(x, v, c, gated, far, charge, spikes, begin, end, team):  # type: ignore[no-untyped-def]
    """x and spikes (T, B, N), charge as they or None; v (B, N) in and out."""
    if shared_out(begin, end, team):
        return
    steps, _, size = x.shape
    for j in range(begin, end):
        b, lo, hi = block_at(j, size, BLOCK)
        row, state = rows_of(c, lo, hi), v[b, lo:hi]
        for t in range(steps):
            drive, later, out = x[t, b, lo:hi], x[min(t + AHEAD, steps - 1), b, lo:hi], spikes[t, b, lo:hi]
            if charge is not None:
                _row_kept(drive, later, state, charge[t, b, lo:hi], out, row, gated, far)
            else:
                _row(drive, later, state, state, out, row, gated, far)
    _settled()


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
