"""Activity of a layer's input: how much there is, which synapses it reaches, and its index lists.

All kernels read x as (T, B, N): steps, samples, inputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from ..core.kernel import kernel, shared_out
from ..core.ledger import Action
from ..core.operator import Activity, Context


def as_rows(x: Tensor) -> np.ndarray:
    """x (T, B, *shape) as numpy (T, B, N), without a copy where it is contiguous."""
    return x.detach().reshape(*x.shape[:2], -1).contiguous().numpy()


def activity_reference(x: np.ndarray, unit: np.ndarray, some: np.ndarray) -> None:
    """unit, some (B, N) int32: in how many steps each input was -1 or 1, and in how many it was not 0."""
    unit[:], some[:] = (np.abs(x) == 1).sum(0), (x != 0).sum(0)


@kernel(reference=activity_reference, items=lambda x, *_: x.shape[1])
def activity_kernel(x, unit, some, begin, end, team):  # type: ignore[no-untyped-def]
    if shared_out(begin, end, team):
        return
    steps, _, size = x.shape
    for b in range(begin, end):
        # Four steps a pass, in narrow integers and without branches: vectorised, and bound by reading x.
        ones, nonzero = np.zeros(size, np.int32), np.zeros(size, np.int32)
        for t in range(0, steps - 3, 4):
            p, q, r, s = x[t, b], x[t + 1, b], x[t + 2, b], x[t + 3, b]
            for i in range(size):
                ones[i] += np.int32(abs(p[i]) == 1) + np.int32(abs(q[i]) == 1)
                ones[i] += np.int32(abs(r[i]) == 1) + np.int32(abs(s[i]) == 1)
                nonzero[i] += np.int32(p[i] != 0) + np.int32(q[i] != 0) + np.int32(r[i] != 0) + np.int32(s[i] != 0)
        for t in range(steps - steps % 4, steps):
            p = x[t, b]
            for i in range(size):
                ones[i] += np.int32(abs(p[i]) == 1)
                nonzero[i] += np.int32(p[i] != 0)
        unit[b], some[b] = ones, nonzero


def activity(x: Tensor) -> Activity:
    """How often each input of x (T, B, *shape) was active."""
    rows = as_rows(x)
    counts = Activity(np.empty(rows.shape[1:], np.int32), np.empty(rows.shape[1:], np.int32))
    activity_kernel(rows, *counts)
    return counts


def fired_reference(x: np.ndarray, fired: np.ndarray) -> None:
    """fired (B, N) int32: in how many steps each neuron spiked."""
    fired[:] = (x != 0).sum(0)


@kernel(reference=fired_reference, items=lambda x, *_: x.shape[1])
def fired_kernel(x, fired, begin, end, team):  # type: ignore[no-untyped-def]
    if shared_out(begin, end, team):
        return
    steps, _, size = x.shape
    for b in range(begin, end):
        counts = np.zeros(size, np.int32)
        for t in range(0, steps - 3, 4):
            p, q, r, s = x[t, b], x[t + 1, b], x[t + 2, b], x[t + 3, b]
            for i in range(size):
                counts[i] += np.int32(p[i] != 0) + np.int32(q[i] != 0) + np.int32(r[i] != 0) + np.int32(s[i] != 0)
        for t in range(steps - steps % 4, steps):
            p = x[t, b]
            for i in range(size):
                counts[i] += np.int32(p[i] != 0)
        fired[b] = counts


def spike_activity(spikes: Tensor) -> Activity:
    """`activity` of spikes (T, B, *shape), which are -1, 0 or 1: both counts are one."""
    rows = as_rows(spikes)
    fired = np.empty(rows.shape[1:], np.int32)
    fired_kernel(rows, fired)
    return Activity(fired, fired)


def line_activity(spikes: Tensor) -> Activity:
    """`activity` of spikes (T, B, *shape) that leave as binary lines, one per binary digit of their size."""
    lines = np.bitwise_count(np.abs(as_rows(spikes)).astype(np.uint32)).sum(0, dtype=np.int32)
    return Activity(lines, lines)


def count_operations(x: Tensor, fanout: np.ndarray, ctx: Context) -> None:
    """Book additions for unit inputs (a spike adds its weights) and multiply-accumulates for graded ones."""
    if ctx.ledger is None:
        return
    unit, some = activity(x) if ctx.activity is None else ctx.activity
    graded = None if unit is some or np.array_equal(unit, some) else (some - unit) @ fanout
    for action, counts in ((Action.digital_add, unit @ fanout), (Action.digital_mac, graded)):
        if counts is not None and counts.any():
            ctx.ledger.add(ctx.where, "", action, counts)


def count_neurons(spikes: Tensor, ctx: Context, neuron: Any) -> Activity | None:
    """Book one update and two membrane accesses per neuron and step, one hop per spike; -> the spikes' activity."""
    if ctx.ledger is None:
        return None
    steps, batch = spikes.shape[:2]
    updates = np.full(batch, steps * spikes[0, 0].numel(), np.int64)
    ctx.ledger.add(ctx.where, "", Action.neuron_update, updates)
    ctx.ledger.add(ctx.where, "", Action.membrane_access, 2 * updates)
    if not neuron.spiking:
        return None
    counted = line_activity(spikes) if getattr(neuron, "peak", 1) > 1 else spike_activity(spikes)
    ctx.ledger.add(ctx.where, "", Action.spike_hop, counted.some.sum(1, dtype=np.int64))
    return counted


def index_reference(x: np.ndarray, ptr: np.ndarray, idx: np.ndarray, val: np.ndarray) -> None:
    """Non-zeros of x (R, N) as lists: row r holds idx[ptr[r]:ptr[r+1]] with values val; ptr (R+1,) is given."""
    rows, columns = np.nonzero(x)
    idx[:], val[:] = columns, x[rows, columns]


@kernel(reference=index_reference, items=lambda x, *_: len(x))
def index_kernel(x, ptr, idx, val, begin, end, team):  # type: ignore[no-untyped-def]
    if shared_out(begin, end, team):
        return
    for r in range(begin, end):
        k, row = ptr[r], x[r]
        for i in range(row.size):
            if row[i] != 0:
                idx[k], val[k] = i, row[i]
                k += 1


Lists = tuple[np.ndarray, np.ndarray, np.ndarray]
PIECE = 2**18
"""Numbers that are counted before the count is compared with the limit: 1 MB."""


def event_lists(rows: np.ndarray) -> Lists:
    """(ptr int64 (R+1,), idx int32, val float32) of the non-zeros of rows (R, N)."""
    ptr = np.zeros(rows.shape[0] + 1, np.int64)
    np.cumsum(np.count_nonzero(rows, axis=1), out=ptr[1:])
    idx, val = np.empty(ptr[-1], np.int32), np.empty(ptr[-1], np.float32)
    index_kernel(rows, ptr, idx, val)
    return ptr, idx, val


def more_than(x: Tensor, most: float) -> bool:
    """Whether more than `most` numbers of x are not 0. They are looked at as they lie in memory: `channels_last` is brought into
    rows only where events are taken."""
    lying = x.detach().permute(sorted(range(x.ndim), key=x.stride, reverse=True)).contiguous().view(-1).numpy()
    found = 0
    for at in range(0, lying.size, PIECE):
        found += int(np.count_nonzero(lying[at : at + PIECE] != 0))
        if found > most:
            return True
    return False
