"""A fully connected layer and its neurons in one kernel.

    x_t = bias + sum over events e of step t of val[e] W[idx[e]];     (s_t, v_t) = step(v_{t-1}, x_t)

Weights are cut into blocks of 64 outputs, (blocks, n_in, lanes): a block's rows stay in the core's L2 cache while it
works through its samples, its 64 sums in registers, its membranes in L1. The membrane equation is that of
`neurons/_membrane.py`. Rows of fewer bits (`narrow.py`) are widened as they are read.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch

from ..core import simd
from ..core.kernel import kernel, plain, shared_out
from ..core.raster import SparseRaster
from ..core.simd import FEW, LANES
from ..layers.linear import GROUPS, bias_of, blocks_of, padded
from ..neurons import _membrane
from ..neurons import _sixteen as _sixteen_module
from ..neurons._leaky import LeakyNeuron
from ..neurons._membrane import Coefficients, gated_step, passed, rows_of, step
from .base import Stage
from .narrow import narrowed
from .packed import AS_IT_IS, Bits

_rows_128, _rows_64, _rows_16 = simd.rows_summed_128, simd.rows_summed_64, simd.rows_summed_16
_sixteen = _sixteen_module.sixteen


def dense_reference(
    ptr: np.ndarray, idx: np.ndarray, val: np.ndarray, weight: np.ndarray, bias: np.ndarray,
    c: Coefficients, gated: bool, valid: np.ndarray, groups: int, v: np.ndarray, bits: np.ndarray,
) -> None:  # fmt: skip
    """numpy twin of `dense_kernel`, same arguments."""
    batch, steps, words = bits.shape
    blocks, _, lanes = weight.shape
    rule = gated_step if gated else step
    for r in range(batch * steps):
        b, t = divmod(r, steps)
        fired = np.zeros(words * 64, np.uint8)
        for k in range(blocks):
            here, x = slice(k * lanes, (k + 1) * lanes), np.empty(lanes, np.float32)
            simd.rows_summed_reference(x, bias[here], weight[k], idx, val, ptr[r], ptr[r + 1])
            s, v[b, here], _ = rule(v[b, here], x, plain(rows_of)(c, k * lanes, (k + 1) * lanes), _fired, passed)
            fired[here] = s
        bits[b, t] = np.packbits(fired, bitorder="little").view(np.uint64) & valid


def _fired(u: np.ndarray) -> np.ndarray:
    return (u >= 0).astype(u.dtype)


@kernel(reference=dense_reference, items=lambda *a: len(a[3]) * a[8], depends=(simd, _membrane, _sixteen_module))
def dense_kernel(ptr, idx, val, weight, bias, c, gated, valid, groups, v, bits, begin, end, team):  # type: ignore[no-untyped-def]
    """Events (see `SparseRaster`) through one layer.

    weight (blocks, n_in, lanes), bias (blocks lanes,), zeros beyond the layer's outputs; lanes 64, 128, or 16 for one block;
           weights float32, int8, or float16 as the uint16 of their bits
    c      coefficients, scalars or rows (blocks lanes,)          v  (B, blocks lanes) membranes, in and out
    valid  (words,) uint64, ones for outputs that exist            groups  of samples a block is worked through in
    bits   (B, T, words) uint64 out, a word for 64 outputs
    """
    if shared_out(begin, end, team):
        return
    batch, steps, _ = bits.shape
    _, _, lanes = weight.shape
    words = (lanes + 63) // 64
    for item in range(begin, end):
        k, group = item // groups, item % groups
        lo, hi = k * lanes, (k + 1) * lanes
        start, row = bias[lo:hi], rows_of(c, lo, hi)
        x = np.empty(lanes, np.float32)
        for b in range(batch * group // groups, batch * (group + 1) // groups):
            membrane = v[b, lo:hi]
            for t in range(steps):
                first, last = ptr[b * steps + t], ptr[b * steps + t + 1]
                if lanes == FEW:
                    _rows_16(x, start, weight[k], idx, val, first, last)
                elif lanes == LANES:
                    _rows_64(x, start, weight[k], idx, val, first, last)
                else:
                    _rows_128(x, start, weight[k], idx, val, first, last)
                for w in range(words):
                    word = np.uint64(0)
                    for at in range(0, min(lanes, 64), FEW):
                        word |= _sixteen(x, membrane, w * 64 + at, row, gated) << np.uint64(at)
                    bits[b, t, k * words + w] = word & valid[k * words + w]


class DenseStage(Stage):
    """`nn.Linear` and its neurons.

    rows  float32, or the narrower dtype that the weights are kept in (`narrow.py`); then events are taken at any density
    """

    break_even = 0.25
    """The crossover of `benchmarks/activity.py` is 0.4 and above; see CAUTION in `convolution.py`."""

    def __init__(
        self, name: str, linear: Any, neuron: LeakyNeuron, in_shape: tuple[int, ...], rows: torch.dtype = torch.float32
    ) -> None:
        super().__init__(name, linear, neuron, in_shape, (linear.out_features,))
        self.rows = rows
        self._spares: dict[tuple[int, ...], list[np.ndarray]] = {}
        if rows != torch.float32:
            self.break_even = 1.0

    def array(self, *shape: int) -> np.ndarray:
        """An array of any content, on a cache line: a spare one, or new."""
        kept = self._spares.get(shape)
        return kept.pop() if kept else simd.aligned(*shape, zero=False)

    def spare(self, array: np.ndarray) -> None:
        """Keep an array that nobody reads any more for the next step; arrays of other sizes are let go but for the last few."""
        if len(self._spares) > 4 and array.shape not in self._spares:
            self._spares.clear()
        kept = self._spares.setdefault(array.shape, [])
        if len(kept) < 2:
            kept.append(array)

    @cached_property
    def valid(self) -> np.ndarray:
        """(words,) uint64, ones for outputs that exist."""
        n = self.linear.out_features
        return np.packbits(np.arange(-(-n // 64) * 64) < n, bitorder="little").view(np.uint64)

    def membranes(self, batch: int, first: np.ndarray, v: np.ndarray | None) -> np.ndarray:
        """(B, blocks lanes) before the first step: those of a run before, v (B, N), or `first` for every sample."""
        found = simd.aligned(batch, first.size, zero=v is not None)
        if v is None:
            found[:] = first
        else:
            found[:, : v.shape[1]] = v
        return found

    def lanes(self) -> int:
        """Outputs of a block: 16 where they are enough, 128 where registers and the L2 cache hold so many, else 64."""
        n, inputs = self.linear.out_features, self.linear.in_features
        wide = self.rows == torch.float32 and -(-n // LANES) % 2 == 0 and simd.WIDE * inputs * 4 <= simd.NEAR
        return FEW if n <= FEW else simd.WIDE if wide else LANES

    def pack(self) -> tuple[Any, ...]:
        blocks = blocks_of(self.linear.weight.detach().contiguous().numpy(), self.lanes())
        size = blocks.shape[0] * blocks.shape[2]
        bias, c = bias_of(self.linear, size), self.coefficient_rows(size)
        if self.rows != torch.float32:
            blocks, scale = narrowed(blocks, self.rows)
            bias, c = bias / scale, c._replace(gain=c.gain * scale)
        return blocks, bias, c, self.valid, padded(self.first_membrane(), size)

    def spikes(self, x: SparseRaster, v: np.ndarray | None) -> tuple[Bits, np.ndarray]:
        weight, bias, c, valid, first = self.packed()
        batch, membranes = x.batch, self.membranes(x.batch, first, v)
        bits, groups = np.empty((batch, x.steps, valid.size), np.uint64), min(batch, GROUPS)
        dense_kernel(x.ptr, x.idx, x.values, weight, bias, c, self.gated, valid, groups, membranes, bits)
        return Bits(bits, AS_IT_IS, self.out_shape), membranes[:, : self.linear.out_features]
