"""A fully connected layer whose neurons feed back to themselves through a second one, in one kernel.

    x_t = bias + sum over events e of step t of val[e] W[idx[e]] + sum over spikes j of step t - delay of R[j]
    (s_t, v_t) = step(v_{t-1}, x_t)

A recurrent matrix does not fit the L2 cache, and a step's spikes reach all of its rows. So the rows are read once for
all samples, 64 sources after 64: a block of 64 neurons adds to the sums of every sample the rows of its spikes among
them, some 3 of 64 where 5 % fire. Samples with as many spikes come one after the other, so that the sums are loaded and
stored once for all these rows, in a loop of known length: a store for each row would take as long as all the rest.
The inputs' share of the sums is made some steps ahead, where a block's rows stay in L2 over all steps. A thread keeps to
its own blocks as long as the others keep up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor, nn

from ..core import simd
from ..core.kernel import kernel, plain, shared_out
from ..core.raster import SparseRaster
from ..core.simd import FEW, HANDFUL, LANES
from ..graph import Edge
from ..layers.linear import bias_of, blocks_of, padded
from ..neurons import State, _membrane
from ..neurons import _sixteen as sixteen_module
from ..neurons._leaky import LeakyNeuron
from ..neurons._membrane import Coefficients, gated_step, passed, rows_of, step
from . import packed as packed_module
from .dense import DenseStage
from .packed import AS_IT_IS, Bits, listed

_rows_64, _handfuls_added, _sixteen = simd.rows_summed_64, simd.handfuls_added, sixteen_module.sixteen
_lowest, _ones = simd.lowest, simd.ones
MEMBERS = 128
"""Samples whose sums of 64 neurons lie in the nearest caches together, 32 KiB of them."""
AHEAD = 1 << 16
"""Sums of 64 neurons that are made ahead, 16 MiB of them: a block's input weights come from the L3 cache once for them all."""


def recurrent_reference(
    ptr: np.ndarray, idx: np.ndarray, val: np.ndarray, weight: np.ndarray, around: np.ndarray, drive: np.ndarray,
    bias: np.ndarray, c: Coefficients, gated: bool, valid: np.ndarray, past: np.ndarray,
    ahead: np.ndarray, v: np.ndarray, bits: np.ndarray,
) -> None:  # fmt: skip
    """numpy twin of `recurrent_kernel`, same arguments."""
    batch, steps, blocks = bits.shape
    rule, none = (gated_step if gated else step), np.empty(0, np.float32)
    for r in range(batch * steps):
        b, t = divmod(r, steps)
        before = past[b, t] if t < past.shape[1] else bits[b, t - past.shape[1]]
        (fed,) = np.nonzero(np.unpackbits(before.view(np.uint8), bitorder="little"))
        for k in range(blocks):
            here = slice(k * LANES, (k + 1) * LANES)
            x = bias[here].copy()
            if drive.shape[0]:
                x[: drive[t, b, here].size] += drive[t, b, here]
            simd.rows_summed_reference(x, x, weight[k], idx, val, ptr[r], ptr[r + 1])
            simd.rows_summed_reference(x, x, around[k], fed, none, 0, fed.size)
            s, v[k, b], _ = rule(v[k, b], x, plain(rows_of)(c, here.start, here.stop), _fired, passed)
            bits[b, t, k] = np.packbits(s.astype(np.uint8), bitorder="little").view(np.uint64)[0] & valid[k]


def _fired(u: np.ndarray) -> np.ndarray:
    return (u >= 0).astype(u.dtype)


@njit(nogil=True)
def listed_step(t, past, bits, fed, count, begin, end, team):  # type: ignore[no-untyped-def]
    """fed[b, : count[b]]: the spikes that reach step t, from `past` (B, delay, words) or from bits (B, T, words)."""
    if shared_out(begin, end, team):
        return
    for b in range(begin, end):
        words = past[b, t] if t < past.shape[1] else bits[b, t - past.shape[1]]
        count[b] = listed(words, fed[b], 0, fed.shape[1])


@njit(nogil=True)
def _handfuls(words, entries, counts):  # type: ignore[no-untyped-def]
    """Spikes of a block of neurons, words (samples,), as `handfuls_added` takes them: every sample's sources rising."""
    place, at = np.empty(HANDFUL + 1, np.int64), 0
    counts[:] = 0
    for b in range(words.size):
        found = _ones(words[b])
        counts[HANDFUL] += found // HANDFUL
        counts[found % HANDFUL] += 1
    for n in range(HANDFUL, 0, -1):
        place[n] = at
        at += counts[n] * (n + 1) + HANDFUL
    for b in range(words.size):
        word = words[b]
        left = _ones(word)
        while left > 0:
            n = min(left, HANDFUL)
            at = place[n]
            entries[at] = b
            for j in range(HANDFUL):  # what is too many is overwritten, or left out: no branch for each spike
                entries[at + 1 + j] = _lowest(word)
                word &= word - np.uint64(1)
            place[n] = at + n + 1
            left -= n


@njit(nogil=True, error_model="numpy")
def _fed_before(past, entries, counts, groups, begin, end, team):  # type: ignore[no-untyped-def]
    """Entries of the spikes before the first step; items are parts of the batch."""
    if shared_out(begin, end, team):
        return
    batch, delay, blocks = past.shape
    for g in range(begin, end):
        for t in range(delay):
            slot = (t + 1) % (delay + 1)
            for k in range(blocks):
                here = past[batch * g // groups : batch * (g + 1) // groups, t, k]
                _handfuls(here, entries[slot, g, k], counts[slot, g, k])


@njit(nogil=True, error_model="numpy")
def _driven(  # type: ignore[no-untyped-def]
    t, ptr, idx, val, weight, drive, bias, ahead, groups, begin, end, team
):
    """ahead[i, k, b]: bias and inputs of step t + i; items are blocks of 64 neurons, each for one part of the batch."""
    if shared_out(begin, end, team):
        return
    chunk, _, batch, _ = ahead.shape
    steps = (ptr.size - 1) // batch
    for item in range(begin, end):
        k, g = item // groups, item % groups
        lo, hi = k * LANES, (k + 1) * LANES
        w, start = weight[k], bias[lo:hi]
        for b in range(batch * g // groups, batch * (g + 1) // groups):
            for i in range(min(chunk, steps - t)):
                x, e = ahead[i, k, b], b * steps + t + i
                if drive.shape[0]:
                    given = drive[t + i, b, lo:hi]
                    for j in range(LANES):
                        x[j] = start[j] + given[j] if j < given.size else start[j]
                    _rows_64(x, x, w, idx, val, ptr[e], ptr[e + 1])
                else:
                    _rows_64(x, start, w, idx, val, ptr[e], ptr[e + 1])


@njit(nogil=True, error_model="numpy")
def _one_step(  # type: ignore[no-untyped-def]
    t, ahead, around, c, gated, valid, entries, counts, groups, v, bits, begin, end, team
):
    """Step t; items are blocks of 64 neurons, each for one part of the batch. The sums made ahead are added to in place."""
    if shared_out(begin, end, team):
        return
    (batch, _, blocks), slots = bits.shape, entries.shape[0]
    fired = np.empty(batch // groups + 1, np.uint64)
    for item in range(begin, end):
        k, g = item // groups, item % groups
        first, last = batch * g // groups, batch * (g + 1) // groups
        row, sums = rows_of(c, k * LANES, (k + 1) * LANES), ahead[t % ahead.shape[0], k, first:last]
        for source in range(blocks):
            before, back = ((t + 1) % slots, g, source), around[k, source * LANES : (source + 1) * LANES]
            _handfuls_added(sums, back, entries[before], counts[before])
        for b in range(first, last):
            membrane, word = v[k, b], np.uint64(0)
            for at in range(0, LANES, FEW):
                word |= _sixteen(sums[b - first], membrane, at, row, gated) << np.uint64(at)
            fired[b - first] = bits[b, t, k] = word & valid[k]
        _handfuls(fired[: last - first], entries[t % slots, g, k], counts[t % slots, g, k])


@kernel(
    reference=recurrent_reference,
    regions=lambda *a: a[-1].shape[1],
    depends=(simd, _membrane, sixteen_module, packed_module),
)
def recurrent_kernel(  # type: ignore[no-untyped-def]
    ptr, idx, val, weight, around, drive, bias, c, gated, valid, past, ahead, v, bits, team
):
    """Events (see `SparseRaster`) through one recurrent layer of N neurons in blocks of 64.

    weight (blocks, n_in, 64), around (blocks, blocks 64, 64), bias (blocks 64,), zeros beyond the neurons that exist
    c      coefficients, scalars or rows (blocks 64,); valid (blocks,) uint64, ones for neurons that exist
    drive  (T, B, N) added to the sums, or (0, B, N)      past  (B, delay, blocks) uint64, spikes before the first step
    ahead  (steps at a time, blocks, B, 64), of any content: where the inputs' sums are made ahead
    v      (blocks, B, 64) membranes, in and out           bits  (B, T, blocks) uint64 out
    """
    (batch, steps, blocks), slots = bits.shape, past.shape[1] + 1
    groups, first = (batch + MEMBERS - 1) // MEMBERS, np.int64(0)
    most = LANES // HANDFUL * (HANDFUL + 1) * (batch // groups + 1) + HANDFUL * HANDFUL
    entries = np.empty((slots, groups, blocks, most), np.uint16)
    counts = np.zeros((slots, groups, blocks, HANDFUL + 1), np.int64)
    _fed_before(past, entries, counts, groups, first, groups, team)
    for t in range(steps):
        if t % ahead.shape[0] == 0:
            _driven(t, ptr, idx, val, weight, drive, bias, ahead, groups, first, blocks * groups, team)
        _one_step(t, ahead, around, c, gated, valid, entries, counts, groups, v, bits, first, blocks * groups, team)


class Past(NamedTuple):
    """Spikes of the last `delay` steps of a loop: (B, delay, N), oldest first."""

    spikes: Tensor


class RecurrentStage(DenseStage):
    """`nn.Linear`, its neurons and the `nn.Linear` through which these feed back `loop.delay` steps later."""

    def __init__(
        self,
        name: str,
        linear: nn.Linear,
        neuron: LeakyNeuron,
        in_shape: tuple[int, ...],
        around: nn.Module,
        loop: Edge,
    ) -> None:
        super().__init__(name, linear, neuron, in_shape)
        self.around: Any = around
        self.loop = loop

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        return self.linear, self.neuron, self.around

    def pack(self) -> tuple[Any, ...]:
        n, blocks = self.linear.out_features, -(-self.linear.out_features // LANES)
        size = blocks * LANES
        square = np.zeros((size, size), np.float32)
        square[:n, :n] = self.around.weight.detach().numpy()
        weight, around = blocks_of(self.linear.weight.detach().contiguous().numpy(), LANES), blocks_of(square, LANES)
        bias = bias_of(self.linear, size), bias_of(self.around, size)
        return weight, around, bias, self.coefficient_rows(size), self.valid, padded(self.first_membrane(), size)

    def run(
        self, x: SparseRaster | Tensor, states: Mapping[Any, Any], *, always: bool
    ) -> tuple[Bits | Tensor, dict[Any, Any]]:
        state, past, x = states.get(self.name), states.get(self.loop), self.where_sparse(x, always)
        n, words = self.linear.out_features, self.packed()[4].size
        steps, batch = x.shape[:2] if isinstance(x, Tensor) else (x.steps, x.batch)
        before = np.zeros((batch, self.loop.delay, words), np.uint64) if past is None else words_of(past.spikes, words)
        if isinstance(x, Tensor):
            drive = self.linear(x.flatten(0, 1)).detach().unflatten(0, (steps, batch)).contiguous().numpy()
            lists = np.zeros(steps * batch + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32)
        else:
            drive, lists = np.empty((0, batch, n), np.float32), (x.ptr, x.idx, x.values)
        bits, v = self._ran(lists, drive, state, before, (batch, steps))
        last = spikes_of(np.concatenate([before, bits], 1)[:, -self.loop.delay :], n)
        return Bits(bits, AS_IT_IS, self.out_shape), {self.name: State(torch.from_numpy(v)), self.loop: Past(last)}

    def _ran(
        self, lists: tuple[np.ndarray, ...], drive: np.ndarray, state: State | None, past: np.ndarray,
        size: tuple[int, int],
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        weight, around, (bias, fed_bias), c, valid, first = self.packed()
        batch, steps = size
        v = np.repeat(first[None], batch, 0)
        if state is not None:
            v[:, : state.v.shape[1]] = state.v.numpy()
        v = np.ascontiguousarray(v.reshape(batch, -1, LANES).swapaxes(0, 1))
        bits = np.empty((batch, steps, valid.size), np.uint64)
        # The dense product has added the first layer's bias already.
        start = fed_bias if drive.shape[0] else bias + fed_bias
        ahead = self.array(max(1, min(steps, AHEAD // (batch * valid.size))), valid.size, batch, LANES)
        recurrent_kernel(*lists, weight, around, drive, start, c, self.gated, valid, past, ahead, v, bits)
        self.spare(ahead)
        return bits, np.ascontiguousarray(v.swapaxes(0, 1).reshape(batch, -1)[:, : self.linear.out_features])


def words_of(spikes: Tensor, words: int) -> np.ndarray:
    """Spikes (B, steps, N) as bits (B, steps, words)."""
    fired = np.zeros((*spikes.shape[:2], words * 64), np.uint8)
    fired[..., : spikes.shape[2]] = spikes.numpy() != 0
    return np.packbits(fired, axis=-1, bitorder="little").view(np.uint64)


def spikes_of(bits: np.ndarray, n: int) -> Tensor:
    """Bits (B, steps, words) as spikes (B, steps, n)."""
    fired = np.unpackbits(np.ascontiguousarray(bits).view(np.uint8), axis=-1, bitorder="little")[..., :n]
    return torch.from_numpy(fired.astype(np.float32))
