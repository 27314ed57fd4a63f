"""A fully connected layer whose neurons feed back to themselves through a second one, in one kernel.

    x_t = bias + sum over events e of step t of val[e] W[idx[e]] + sum over spikes j of step t - delay of R[j]
    (s_t, v_t) = step(v_{t-1}, x_t)

Samples run in parallel. Weight rows are whole, one after the other in memory: a row is 4 KB at 1000 neurons, which
the processor fetches ahead, and the sums stay in the L1 cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor, nn

from ..core import simd
from ..core.kernel import kernel, shared_out
from ..core.raster import SparseRaster
from ..core.simd import FEW
from ..graph import Edge
from ..layers.linear import bias_of, padded
from ..neurons import State, _membrane
from ..neurons._leaky import LeakyNeuron
from ..neurons._membrane import Coefficients, gated_step, passed, step, updated_row
from .dense import DenseStage
from .packed import AS_IT_IS, Bits

_word, _lowest = simd.word, simd.lowest


def recurrent_reference(
    ptr: np.ndarray, idx: np.ndarray, val: np.ndarray, weight: np.ndarray, around: np.ndarray, drive: np.ndarray,
    bias: np.ndarray, c: Coefficients, gated: bool, valid: np.ndarray, past: np.ndarray,
    v: np.ndarray, bits: np.ndarray,
) -> None:  # fmt: skip
    """numpy twin of `recurrent_kernel`, same arguments."""
    batch, steps, words = bits.shape
    rule, none = (gated_step if gated else step), np.empty(0, np.float32)
    for r in range(batch * steps):
        b, t = divmod(r, steps)
        before = past[b, t] if t < past.shape[1] else bits[b, t - past.shape[1]]
        (fed,) = np.nonzero(np.unpackbits(before.view(np.uint8), bitorder="little"))
        x = bias.copy()
        if drive.shape[0]:
            x[: drive.shape[2]] += drive[t, b]
        simd.rows_summed_reference(x, x, weight, idx, val, ptr[r], ptr[r + 1])
        simd.rows_summed_reference(x, x, around, fed, none, 0, fed.size)
        s, v[b], _ = rule(v[b], x, c, _fired, passed)
        fired = np.zeros(words * 64, np.uint8)
        fired[: s.size] = s
        bits[b, t] = np.packbits(fired, bitorder="little").view(np.uint64) & valid


def _fired(u: np.ndarray) -> np.ndarray:
    return (u >= 0).astype(u.dtype)


@njit(cache=True, nogil=True)
def listed_row(words, out):  # type: ignore[no-untyped-def]
    """The set bits of one row of words, lowest first. -> how many"""
    n = 0
    for w in range(words.size):
        word = words[w]
        while word:
            out[n] = w * 64 + _lowest(word)
            n += 1
            word &= word - np.uint64(1)
    return n


@njit(cache=True, nogil=True)
def _rows_added(x, weight, idx, first, last):  # type: ignore[no-untyped-def]
    """x += weight[idx[e]], event after event; four rows a pass, so that x is loaded and stored a quarter as often."""
    e = first
    while e + 4 <= last:
        p, q, r, s = weight[idx[e]], weight[idx[e + 1]], weight[idx[e + 2]], weight[idx[e + 3]]
        for j in range(x.size):
            x[j] = (((x[j] + p[j]) + q[j]) + r[j]) + s[j]
        e += 4
    while e < last:
        p = weight[idx[e]]
        for j in range(x.size):
            x[j] = x[j] + p[j]
        e += 1


@njit(cache=True, nogil=True)
def _rows_weighted(x, weight, idx, val, first, last):  # type: ignore[no-untyped-def]
    """x += val[e] weight[idx[e]], event after event."""
    e = first
    while e + 4 <= last:
        p, q, r, s = weight[idx[e]], weight[idx[e + 1]], weight[idx[e + 2]], weight[idx[e + 3]]
        a, b, c, d = val[e], val[e + 1], val[e + 2], val[e + 3]
        for j in range(x.size):
            x[j] = (((x[j] + a * p[j]) + b * q[j]) + c * r[j]) + d * s[j]
        e += 4
    while e < last:
        p, a = weight[idx[e]], val[e]
        for j in range(x.size):
            x[j] = x[j] + a * p[j]
        e += 1


@njit(cache=True, nogil=True)
def _started(x, bias, drive, t, b):  # type: ignore[no-untyped-def]
    for j in range(x.size):
        x[j] = bias[j]
    if drive.shape[0]:
        given = drive[t, b]
        for j in range(given.size):
            x[j] += given[j]


@kernel(reference=recurrent_reference, items=lambda *a: len(a[-1]), depends=(simd, _membrane))
def recurrent_kernel(  # type: ignore[no-untyped-def]
    ptr, idx, val, weight, around, drive, bias, c, gated, valid, past, v, bits, begin, end, team
):
    """Events (see `SparseRaster`) through one recurrent layer of N neurons, padded to S, a multiple of 16.

    weight (n_in, S), around (S, S): a row for every source; bias (S,); c scalars or rows (S,); valid (words,) uint64
    drive  (T, B, N) added to the sums, or (0, B, N)      past  (B, delay, words) uint64, spikes before the first step
    v      (B, S) membranes, in and out                  bits  (B, T, words) uint64 out
    """
    if shared_out(team):
        return
    _, steps, words = bits.shape
    for b in range(begin, end):
        x, fired = np.empty(bias.size, np.float32), np.zeros(words * 64, np.uint8)
        fed = np.empty(bias.size, np.int32)
        for t in range(steps):
            _started(x, bias, drive, t, b)
            before = past[b, t] if t < past.shape[1] else bits[b, t - past.shape[1]]
            if val.size:
                _rows_weighted(x, weight, idx, val, ptr[b * steps + t], ptr[b * steps + t + 1])
            else:
                _rows_added(x, weight, idx, ptr[b * steps + t], ptr[b * steps + t + 1])
            _rows_added(x, around, fed, 0, listed_row(before, fed))
            updated_row(x, v[b], c, gated, fired[: x.size])
            for w in range(words):
                bits[b, t, w] = _word(fired, w * 64) & valid[w]


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
        n = self.linear.out_features
        size, words = -(-n // FEW) * FEW, -(-n // 64)
        weight, around = simd.aligned(self.linear.in_features, size), simd.aligned(size, size)
        weight[:, :n] = self.linear.weight.detach().numpy().T
        around[:n, :n] = self.around.weight.detach().numpy().T
        valid = np.packbits(np.arange(words * 64) < n, bitorder="little").view(np.uint64)
        bias = bias_of(self.linear, size), bias_of(self.around, size)
        return weight, around, bias, self.coefficient_rows(size), valid, padded(self.first_membrane(), size)

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
        bits = np.empty((batch, steps, valid.size), np.uint64)
        # The dense product has added the first layer's bias already.
        start = fed_bias if drive.shape[0] else bias + fed_bias
        recurrent_kernel(*lists, weight, around, drive, start, c, self.gated, valid, past, v, bits)
        return bits, np.ascontiguousarray(v[:, : self.linear.out_features])


def words_of(spikes: Tensor, words: int) -> np.ndarray:
    """Spikes (B, steps, N) as bits (B, steps, words)."""
    fired = np.zeros((*spikes.shape[:2], words * 64), np.uint8)
    fired[..., : spikes.shape[2]] = spikes.numpy() != 0
    return np.packbits(fired, axis=-1, bitorder="little").view(np.uint64)


def spikes_of(bits: np.ndarray, n: int) -> Tensor:
    """Bits (B, steps, words) as spikes (B, steps, n)."""
    fired = np.unpackbits(np.ascontiguousarray(bits).view(np.uint8), axis=-1, bitorder="little")[..., :n]
    return torch.from_numpy(fired.astype(np.float32))
