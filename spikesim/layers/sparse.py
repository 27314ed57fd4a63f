"""Sparse fully connected layers: weights as lists of synapses by source (CSR), each with a whole delay where given.

    y_t[j] = sum over synapses (i -> j) of weight x_{t - delay}[i]

Targets are cut into parts of at most 2^18 neurons; a part's synapses stand together, ordered by source. Parts are what
threads share out, so every sum has one owner and one order: the sources ascending. What is still under way is a ring
buffer of sums per target, one slot a step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor, nn

from ..core import philox, simd
from ..core.kernel import kernel, plain, shared_out
from ..core.operator import Context
from ..core.params import number
from ..core.raster import SparseRaster
from ..core.seeds import Seeds
from ..core.simd import value_at
from ..errors import ParameterError, ShapeError, must
from .counting import count_operations

PART = 1 << 18
"""Most targets of one part: one slot of it is 1 MiB."""
LEAST = 1 << 12
"""From this many targets on there are at least four parts, so that threads have something to share."""


class Synapses(NamedTuple):
    """Synapses of a layer, part after part.

    first   (parts, n_in + 1) int64: synapses of source i in part k are first[k, i]:first[k, i + 1]
    target  (synapses,) int32     weight  (synapses,) float32      delay  (synapses,) uint8, or (0,): no delays
    """

    first: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    delay: np.ndarray


def parts_of(outputs: int) -> int:
    """Number of parts for so many targets."""
    return max(-(-outputs // PART), 4 if outputs >= LEAST else 1)


def part_size(outputs: int) -> int:
    """Targets of one part, a multiple of 64."""
    return -(-outputs // (parts_of(outputs) * 64)) * 64


def scattered_reference(
    ptr: np.ndarray, idx: np.ndarray, val: np.ndarray, synapses: Synapses, ring: np.ndarray, at: np.ndarray,
    out: np.ndarray,
) -> None:  # fmt: skip
    """numpy twin of `scattered_kernel`, same arguments."""
    steps, batch, _ = out.shape
    for b in range(batch):
        for t in range(steps):
            slot = (at[b] + t) % ring.shape[1]
            for k in range(synapses.first.shape[0]):
                first, last = ptr[b * steps + t], ptr[b * steps + t + 1]
                plain(_scatter)(synapses, k, idx, val, first, last, ring[b], slot)
            out[t, b], ring[b, slot] = ring[b, slot], 0


@njit(nogil=True)
def _scatter(synapses, k, idx, val, first, last, ring, slot):  # type: ignore[no-untyped-def]
    """Part k: ring[(slot + delay) % R, target] += value weight, for sources idx[first:last] in this order."""
    rows, slots = synapses.first[k], ring.shape[0]
    for e in range(first, last):
        i, a = idx[e], value_at(val, e)
        if synapses.delay.size:
            for q in range(rows[i], rows[i + 1]):
                s = slot + np.int64(synapses.delay[q])
                s = s - slots if s >= slots else s
                ring[s, synapses.target[q]] += a * synapses.weight[q]
        else:
            now = ring[slot]
            for q in range(rows[i], rows[i + 1]):
                now[synapses.target[q]] += a * synapses.weight[q]


@kernel(reference=scattered_reference, items=lambda *a: len(a[5]) * len(a[3].first), depends=(simd,))
def scattered_kernel(ptr, idx, val, synapses, ring, at, out, begin, end, team):  # type: ignore[no-untyped-def]
    """Events (see `SparseRaster`) through sparse weights.

    ring  (B, R, n_out) sums under way, in and out; slot (at[b] + t) % R is due at step t; R is 1 + the longest delay
    out   (T, B, n_out)
    """
    if shared_out(begin, end, team):
        return
    steps, _, outputs = out.shape
    parts = synapses.first.shape[0]
    size = (outputs + parts * 64 - 1) // (parts * 64) * 64
    for item in range(begin, end):
        b, k = item // parts, item % parts
        lo, hi = min(outputs, k * size), min(outputs, (k + 1) * size)
        for t in range(steps):
            slot = (at[b] + t) % ring.shape[1]
            _scatter(synapses, k, idx, val, ptr[b * steps + t], ptr[b * steps + t + 1], ring[b], slot)
            due, row = ring[b, slot, lo:hi], out[t, b, lo:hi]
            for j in range(hi - lo):
                row[j] = due[j]
                due[j] = 0


class Drawn(NamedTuple):
    """Numbers of `drawn_kernel`: fan-out, weights from low to high, times `factor` from source `turn` on; delays."""

    fan_out: int
    low: Any
    span: Any
    factor: Any
    turn: int
    shortest: int
    longest: int


def drawn_reference(
    numbers: Drawn, k0: Any, k1: Any, size: int, outputs: int, fill: bool, first: np.ndarray, target: np.ndarray,
    weight: np.ndarray, delay: np.ndarray,
) -> None:  # fmt: skip
    """numpy twin of `drawn_kernel`, same arguments."""
    for i in range(first.shape[1] - 1):
        targets, weights, delays = zip(*(plain(_synapse)(numbers, i, q, outputs, k0, k1) for q in range(numbers[0])))
        for k in range(first.shape[0]):
            mine = [q for q in range(numbers[0]) if targets[q] // size == k]
            if not fill:
                first[k, i + 1] = len(mine)
                continue
            at = slice(first[k, i], first[k, i] + len(mine))
            target[at], weight[at] = [targets[q] for q in mine], [weights[q] for q in mine]
            if delay.size:
                delay[at] = [delays[q] for q in mine]


@njit(nogil=True)
def _synapse(numbers, i, q, outputs, k0, k1):  # type: ignore[no-untyped-def]
    """Synapse q of source i: (target, weight, delay), each from its own random word."""
    a, b, c, _ = philox.philox4x32(np.uint64(i), np.uint64(q), np.uint64(0), np.uint64(0), k0, k1)
    target = np.int64((a * np.uint64(outputs)) >> np.uint64(32))
    weight = numbers.low + numbers.span * np.float32(philox.uniform(b))
    if i >= numbers.turn:
        weight = weight * numbers.factor
    spread = np.uint64(numbers.longest - numbers.shortest + 1)
    return target, weight, numbers.shortest + np.int64((c * spread) >> np.uint64(32))


@kernel(reference=drawn_reference, items=lambda *a: a[6].shape[1] - 1, depends=(philox,))
def drawn_kernel(  # type: ignore[no-untyped-def]
    numbers, k0, k1, size, outputs, fill, first, target, weight, delay, begin, end, team
):
    """Count (`fill` False: first[k, i + 1]) or write the drawn synapses of every source; parts hold `size` targets."""
    if shared_out(begin, end, team):
        return
    parts = first.shape[0]
    for i in range(begin, end):
        place = np.zeros(parts, np.int64)
        for q in range(numbers.fan_out):
            to, value, steps = _synapse(numbers, i, q, outputs, k0, k1)
            k = to // size
            if fill:
                at = first[k, i] + place[k]
                target[at], weight[at] = to, value
                if delay.size:
                    delay[at] = steps
            place[k] += 1
        if not fill:
            for k in range(parts):
                first[k, i + 1] = place[k]


class SparseLinear(nn.Module):
    """y = W x with W as synapses by source; for inference (it has no gradient and says so).

    x (T, B, n_in) -> (T, B, n_out) in a Network. 8 bytes a synapse, 9 with delays. Make one with `from_edges`,
    `from_dense` or `random`; with delays these give a `DelayedLinear`.
    """

    in_features: int
    out_features: int

    def __init__(self, inputs: int, outputs: int, synapses: Synapses) -> None:
        super().__init__()
        self.in_features, self.out_features = inputs, outputs
        for name, part in synapses._asdict().items():
            self.register_buffer(name, torch.from_numpy(part))

    @property
    def synapses(self) -> Synapses:
        """The lists as numpy arrays (views)."""
        return Synapses(*(self._buffers[name].numpy() for name in Synapses._fields))  # type: ignore[union-attr]

    @property
    def operator(self) -> SparseOperator:
        """The LinearOperator that runs it."""
        return SparseOperator(self)

    @classmethod
    def from_edges(
        cls, source: np.ndarray, target: np.ndarray, weight: np.ndarray, *, inputs: int, outputs: int,
        delay: np.ndarray | None = None,
    ) -> SparseLinear:  # fmt: skip
        """Synapses source[s] -> target[s] of this weight, arriving `delay[s]` steps later (0 to 255; None: at once)."""
        columns = {"source": np.asarray(source), "target": np.asarray(target)}
        size = columns["source"].size
        for name, limit in (("source", inputs), ("target", outputs)):
            column = columns[name]
            if column.shape != (size,) or column.dtype.kind not in "iu":
                raise ShapeError(must(f"SparseLinear.{name}", f"({size},) whole numbers", column.shape))
            if size and not 0 <= int(column.min()) <= int(column.max()) < limit:
                got = f"{column.min()} to {column.max()}"
                raise ParameterError(must(f"SparseLinear.{name}", f"from 0 to {limit - 1}", got))
        values = np.ascontiguousarray(weight, np.float32)
        if values.shape != (size,) or not np.isfinite(values).all():
            raise ParameterError(must("SparseLinear.weight", f"({size},), finite", values.shape))
        delays = np.zeros(0, np.uint8) if delay is None else _delays(np.asarray(delay), size)
        part = columns["target"] // part_size(outputs)
        order = np.lexsort((columns["target"], columns["source"], part))
        first = np.zeros((parts_of(outputs), inputs + 1), np.int64)
        np.add.at(first, (part, columns["source"] + 1), 1)
        _to_starts(first)
        lists = Synapses(
            first, columns["target"][order].astype(np.int32), values[order], delays[order] if delays.size else delays
        )
        return _made(inputs, outputs, lists)

    @classmethod
    def from_dense(cls, weight: Tensor | np.ndarray, delay: np.ndarray | None = None) -> SparseLinear:
        """The non-zeros of weight (n_out, n_in), as `nn.Linear` has it; delay (n_out, n_in) or None."""
        w = np.asarray(weight.detach() if isinstance(weight, Tensor) else weight)
        if w.ndim != 2:
            raise ShapeError(must("SparseLinear.weight", "(n_out, n_in)", w.shape))
        target, source = np.nonzero(w)
        delays = None if delay is None else np.asarray(delay)[target, source]
        return cls.from_edges(
            source, target, w[target, source], inputs=w.shape[1], outputs=w.shape[0], delay=delays
        )  # fmt: skip

    @classmethod
    def random(
        cls, inputs: int, outputs: int, fan_out: int, *, seeds: Seeds, low: float = 0.0, high: float = 1.0,
        inhibitory: float = 0.0, factor: float = -4.0, delays: tuple[int, int] | None = None,
    ) -> SparseLinear:  # fmt: skip
        """Every source reaches `fan_out` drawn targets (the same one twice is possible), made in place in memory.

        Weights are uniform from low to high; those of the last `inhibitory` share of sources are times `factor`.
        Delays are uniform from delays[0] to delays[1] steps.
        """
        for name, value in (("inputs", inputs), ("outputs", outputs), ("fan_out", fan_out)):
            number(f"SparseLinear.{name}", value, at_least=1, at_most=2**31 - 1, integer=True)
        number("SparseLinear.inhibitory", inhibitory, at_least=0, at_most=1)
        shortest, longest = delays or (0, 0)
        number("SparseLinear.delays", shortest, at_least=0, at_most=longest, unit="steps", integer=True)
        number("SparseLinear.delays", longest, at_least=0, at_most=255, unit="steps", integer=True)
        total = inputs * fan_out
        lists = Synapses(
            np.zeros((parts_of(outputs), inputs + 1), np.int64), np.empty(total, np.int32),
            np.empty(total, np.float32), np.empty(total if delays else 0, np.uint8),
        )  # fmt: skip
        turn = inputs - int(inputs * inhibitory)
        f = np.float32
        numbers = Drawn(fan_out, f(low), f(high) - f(low), f(factor), turn, shortest, longest)
        key = philox.split(seeds.key)
        for fill in (False, True):
            drawn_kernel(numbers, *key, part_size(outputs), outputs, fill, *lists)
            if not fill:
                _to_starts(lists.first)
        return _made(inputs, outputs, lists)

    def row_fanout(self) -> np.ndarray:
        """(n_in,) synapses of every source."""
        return np.diff(self.synapses.first, axis=1).sum(0)

    def extra_repr(self) -> str:
        return f"{self.in_features} -> {self.out_features}, {self.synapses.target.size} synapses"


def _delays(delay: np.ndarray, size: int) -> np.ndarray:
    whole = delay.shape == (size,) and delay.dtype.kind in "iu"
    if not whole or (size and not 0 <= int(delay.min()) <= int(delay.max()) <= 255):
        raise ParameterError(must("SparseLinear.delay", f"({size},) whole steps from 0 to 255", delay.shape))
    return delay.astype(np.uint8)


def _to_starts(first: np.ndarray) -> None:
    """Counts at first[k, i + 1] to starts, part after part, in place."""
    np.cumsum(first, 1, out=first)
    first[1:] += np.cumsum(first[:-1, -1])[:, None]


def _made(inputs: int, outputs: int, lists: Synapses) -> SparseLinear:
    kind = DelayedLinear if lists.delay.size else SparseLinear
    return kind(inputs, outputs, lists)


class SparseOperator:
    """`SparseLinear` as a LinearOperator."""

    break_even = 0.0
    """`apply` takes the events of its input itself."""

    def __init__(self, module: SparseLinear) -> None:
        self.module = module

    def apply(self, x: Tensor, ctx: Context) -> Tensor:
        """x (T, B, n_in) -> (T, B, n_out)."""
        count_operations(x, self.row_fanout(), ctx)
        raster = events_of(x, self.module)
        ring = torch.zeros(x.shape[1], 1, self.module.out_features)
        return through(raster, self.module, ring, np.zeros(x.shape[1], np.int64))

    def apply_events(self, ptr: np.ndarray, idx: np.ndarray, val: np.ndarray | None, ctx: Context) -> Tensor:
        """Index lists of T*B rows -> (T*B, n_out)."""
        rows = SparseRaster.trusted(ptr, idx, val, 1, (self.module.in_features,))
        ring = torch.zeros(rows.batch, 1, self.module.out_features)
        return through(rows, self.module, ring, np.zeros(rows.batch, np.int64))[0]

    def row_fanout(self) -> np.ndarray:
        """Synapses of every source."""
        return self.module.row_fanout()


class Pending(NamedTuple):
    """Sums under way: ring (B, R, n_out) and, for every sample, the slot that is due next, at (B,) int64."""

    ring: Tensor
    at: Tensor


class DelayedLinear(SparseLinear):
    """`SparseLinear` whose synapses have delays: a node with state `Pending`."""

    operator = None  # type: ignore[assignment]

    @property
    def slots(self) -> int:
        """R: one more than the longest delay."""
        return int(self.synapses.delay.max(initial=0)) + 1

    def initial_state(self, shape: tuple[int, ...] | torch.Size, like: Tensor) -> Pending:
        """Nothing under way, for a batch of shape (B, n_in)."""
        return Pending(torch.zeros(shape[0], self.slots, self.out_features), torch.zeros(shape[0], dtype=torch.int64))

    def forward(self, x: Tensor, state: Pending | None = None) -> tuple[Tensor, Pending]:
        """x (T, B, n_in) -> (T, B, n_out), what is under way."""
        ring, at = state or self.initial_state(x.shape[1:], x)
        ring = ring.clone()
        y = through(events_of(x, self), self, ring, at.numpy())
        return y, Pending(ring, (at + x.shape[0]) % ring.shape[1])


def events_of(x: Tensor, module: SparseLinear) -> SparseRaster:
    """x (T, B, n_in) as events, checked."""
    if x.shape[2:] != (module.in_features,) or x.dtype != torch.float32 or x.device.type != "cpu":
        rule = f"(T, B, {module.in_features}), float32 on the CPU"
        raise ShapeError(must(f"{type(module).__name__}.x", rule, f"{tuple(x.shape)} {x.dtype} on {x.device.type}"))
    if torch.is_grad_enabled() and x.requires_grad:
        remedy = "run under torch.no_grad(), or train with nn.Linear"
        raise ParameterError(must(f"{type(module).__name__}.x", "without gradient", "requires_grad", remedy))
    return SparseRaster.from_dense(x)


def through(x: SparseRaster, module: SparseLinear, ring: Tensor, at: np.ndarray) -> Tensor:
    """Events through the synapses -> (T, B, n_out); `ring` is left as it is after the last step."""
    out = torch.empty(x.steps, x.batch, module.out_features)
    scattered_kernel(x.ptr, x.idx, x.values, module.synapses, ring.numpy(), at, out.numpy())
    return out
