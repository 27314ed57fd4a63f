"""Sparse weights, their neurons and, where there is one, the sparse loop through which these feed back.

    x_t = sum under way of the inputs + sum under way of the neurons' own spikes, `loop.delay` steps old and more
    (s_t, v_t) = step(v_{t-1}, x_t)

Every step is one parallel region over parts of the targets (see `layers/sparse.py`): a part scatters the step's events
and spikes into its own ring buffers, then updates its own neurons. Time follows the synapses that are reached, on top
of one update of every neuron.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from ..core import simd
from ..core.kernel import kernel, plain, shared_out
from ..core.raster import SparseRaster
from ..graph import Edge
from ..layers import sparse as sparse_module
from ..layers.linear import padded
from ..layers.sparse import Pending, SparseLinear, Synapses
from ..neurons import State, _membrane
from ..neurons._leaky import LeakyNeuron
from ..neurons._membrane import Coefficients, gated_step, passed, rows_of, step, updated_row
from . import recurrent as recurrent_module
from .base import Stage
from .packed import AS_IT_IS, Bits
from .recurrent import Past, listed_step, spikes_of, words_of

_word, _scatter = simd.word, sparse_module._scatter


def sparse_reference(
    ptr: np.ndarray, idx: np.ndarray, val: np.ndarray, inward: Synapses, around: Synapses, c: Coefficients,
    gated: bool, past: np.ndarray, at: np.ndarray, ring: np.ndarray, loop_at: np.ndarray, loop_ring: np.ndarray,
    v: np.ndarray, bits: np.ndarray,
) -> None:  # fmt: skip
    """numpy twin of `sparse_kernel`, same arguments."""
    batch, steps, words = bits.shape
    rule, none, n = (gated_step if gated else step), np.empty(0, np.float32), v.shape[1]
    for b in range(batch):
        for t in range(steps):
            slot, loop_slot = (at[b] + t) % ring.shape[1], (loop_at[b] + t) % loop_ring.shape[1]
            fed = np.empty(0, np.int64)
            if past.shape[1]:
                before = past[b, t] if t < past.shape[1] else bits[b, t - past.shape[1]]
                (fed,) = np.nonzero(np.unpackbits(before.view(np.uint8), bitorder="little"))
            for k in range(inward.first.shape[0]):
                plain(_scatter)(inward, k, idx, val, ptr[b * steps + t], ptr[b * steps + t + 1], ring[b], slot)
                if fed.size:
                    plain(_scatter)(around, k, fed, none, 0, fed.size, loop_ring[b], loop_slot)
            x = ring[b, slot] + loop_ring[b, loop_slot]
            ring[b, slot], loop_ring[b, loop_slot] = 0, 0
            s, v[b], _ = rule(v[b], x, c, lambda u: (u >= 0).astype(u.dtype), passed)
            fired = np.zeros(words * 64, np.uint8)
            fired[:n] = s
            bits[b, t] = np.packbits(fired, bitorder="little").view(np.uint64)


@njit(nogil=True)
def _drained(ring, loop_ring, x):  # type: ignore[no-untyped-def]
    """x = what is due in both rings, which is taken out of them."""
    for j in range(x.size):
        x[j] = ring[j] + loop_ring[j]
    for j in range(x.size):
        ring[j] = 0
    for j in range(x.size):
        loop_ring[j] = 0


@njit(nogil=True)
def _part(  # type: ignore[no-untyped-def]
    k, size, first, last, idx, val, inward, around, fed, count, c, gated, slot, loop_slot, ring, loop_ring, v, words
):
    """One part of one sample, one step."""
    lo, hi = min(v.size, k * size), min(v.size, (k + 1) * size)
    _scatter(inward, k, idx, val, first, last, ring, slot)
    if count:
        _scatter(around, k, fed, np.empty(0, np.float32), 0, count, loop_ring, loop_slot)
    x, fired = np.empty(hi - lo, np.float32), np.zeros((hi - lo + 63) // 64 * 64, np.uint8)
    _drained(ring[slot, lo:hi], loop_ring[loop_slot, lo:hi], x)
    updated_row(x, v[lo:hi], rows_of(c, lo, hi), gated, fired[: hi - lo])
    for w in range(fired.size // 64):
        words[lo // 64 + w] = _word(fired, w * 64)


@njit(nogil=True, error_model="numpy")
def _one_step(  # type: ignore[no-untyped-def]
    t, ptr, idx, val, inward, around, fed, count, c, gated, at, ring, loop_at, loop_ring, v, bits, begin, end, team
):
    """Step t; items are parts of the targets of every sample."""
    if shared_out(begin, end, team):
        return
    steps, parts = bits.shape[1], inward.first.shape[0]
    size = (v.shape[1] + parts * 64 - 1) // (parts * 64) * 64
    for item in range(begin, end):
        b = item // parts
        slot, loop_slot = (at[b] + t) % ring.shape[1], (loop_at[b] + t) % loop_ring.shape[1]
        _part(
            item % parts, size, ptr[b * steps + t], ptr[b * steps + t + 1], idx, val, inward, around, fed[b],
            count[b], c, gated, slot, loop_slot, ring[b], loop_ring[b], v[b], bits[b, t],
        )  # fmt: skip


@kernel(
    reference=sparse_reference,
    regions=lambda *a: 2 * a[-1].shape[1],
    depends=(simd, _membrane, sparse_module, recurrent_module),
)
def sparse_kernel(  # type: ignore[no-untyped-def]
    ptr, idx, val, inward, around, c, gated, past, at, ring, loop_at, loop_ring, v, bits, team
):
    """Events (see `SparseRaster`) through sparse weights, neurons and their sparse loop.

    inward, around        `Synapses` of the inputs and of the loop, both over the same targets
    past                  (B, delay, words) uint64, spikes of the steps before the first; (B, 0, words): no loop
    at, ring              `Pending` of the inputs; loop_at, loop_ring of the loop: sums under way, in and out
    v     (B, N) membranes, in and out          bits  (B, T, words) uint64 out
    """
    (batch, steps, _), parts = bits.shape, inward.first.shape[0]
    fed, count = np.empty((batch, v.shape[1] if past.shape[1] else 0), np.int32), np.zeros(batch, np.int64)
    for t in range(steps):
        if past.shape[1]:
            listed_step(t, past, bits, fed, count, np.int64(0), batch, team)
        _one_step(
            t, ptr, idx, val, inward, around, fed, count, c, gated, at, ring, loop_at, loop_ring, v, bits, np.int64(0),
            batch * parts, team,
        )  # fmt: skip


class SparseStage(Stage):
    """`SparseLinear` or `DelayedLinear`, its neurons, and the loop through another one where there is one."""

    break_even = 1.0

    def __init__(
        self, name: str, linear: SparseLinear, neuron: LeakyNeuron, in_shape: tuple[int, ...], linear_name: str,
        around: SparseLinear | None, loop: Edge | None,
    ) -> None:  # fmt: skip
        super().__init__(name, linear, neuron, in_shape, (linear.out_features,))
        self.linear_name, self.around, self.loop = linear_name, around, loop
        parts, none = linear.synapses.first.shape[0], np.empty(0, np.int32)
        self.none = Synapses(np.zeros((parts, 1), np.int64), none, none.astype(np.float32), none.astype(np.uint8))

    @property
    def modules(self) -> tuple[Any, ...]:
        return (self.linear, self.neuron) if self.around is None else (self.linear, self.neuron, self.around)

    def pack(self) -> tuple[Any, ...]:
        size = self.linear.out_features
        return self.coefficient_rows(size), padded(self.first_membrane(), size)

    def run(
        self, x: SparseRaster | Tensor, states: Mapping[Any, Any], *, always: bool
    ) -> tuple[Bits | Tensor, dict[Any, Any]]:
        x = SparseRaster.from_dense(x) if isinstance(x, Tensor) else x
        (c, first), n, words = self.packed(), self.linear.out_features, -(-self.linear.out_features // 64)
        state, delay = states.get(self.name), 0 if self.loop is None else self.loop.delay
        v = np.repeat(first[None], x.batch, 0) if state is None else state.v.numpy().copy()
        ring, at = self._pending(self.linear, states.get(self.linear_name), x.batch)
        loop_ring, loop_at = self._pending(self.around, states.get(self.loop and self.loop.target), x.batch)
        past = np.zeros((x.batch, delay, words), np.uint64)
        if self.loop in states and delay:
            past = words_of(states[self.loop].spikes, words)
        bits = np.empty((x.batch, x.steps, words), np.uint64)
        around = self.none if self.around is None else self.around.synapses
        sparse_kernel(
            x.ptr, x.idx, x.values, self.linear.synapses, around, c, self.gated, past, at, ring, loop_at, loop_ring, v,
            bits,
        )  # fmt: skip
        after: dict[Any, Any] = {self.name: State(torch.from_numpy(v))}
        for name, module, sums, start in (
            (self.linear_name, self.linear, ring, at), (self.loop and self.loop.target, self.around, loop_ring, loop_at),
        ):  # fmt: skip
            if hasattr(module, "initial_state"):
                now = torch.from_numpy((start + x.steps) % sums.shape[1])
                after[name] = Pending(torch.from_numpy(sums), now)
        if self.loop is not None:
            after[self.loop] = Past(spikes_of(np.concatenate([past, bits], 1)[:, -delay:], n))
        return Bits(bits, AS_IT_IS, self.out_shape), after

    def _pending(self, module: Any, state: Pending | None, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Ring and first slot: a copy of the state's, or empty; one slot where nothing is delayed."""
        if state is not None:
            return state.ring.numpy().copy(), state.at.numpy()
        slots = module.slots if hasattr(module, "initial_state") else 1
        return np.zeros((batch, slots, self.linear.out_features), np.float32), np.zeros(batch, np.int64)
