"""Activity of a layer's input: how much there is, which synapses it reaches, and its index lists.

All kernels read x as (T, B, N): steps, samples, inputs.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from torch import Tensor

from ..core.kernel import kernel
from ..core.ledger import Action
from ..core.operator import Context


def as_rows(x: Tensor) -> np.ndarray:
    """x (T, B, *shape) as numpy (T, B, N), without a copy where it is contiguous."""
    return x.detach().reshape(*x.shape[:2], -1).contiguous().numpy()


def reach_reference(x: np.ndarray, fanout: np.ndarray, out: np.ndarray) -> None:
    """out (B, 2) int64: synapses reached per sample by unit inputs (-1 or 1) and by all other non-zero inputs."""
    unit, other = np.abs(x) == 1, (x != 0) & (np.abs(x) != 1)
    out[:, 0] = (unit * fanout).sum(axis=(0, 2))
    out[:, 1] = (other * fanout).sum(axis=(0, 2))


@kernel(reference=reach_reference, parallel=True)
def reach_kernel(x, fanout, out):  # type: ignore[no-untyped-def]
    steps, batch, size = x.shape
    for b in prange(batch):
        # Counted per input first, in narrow integers and without branches, so that the pass over x is vectorised.
        unit, some = np.zeros(size, np.int32), np.zeros(size, np.int32)
        for t in range(steps):
            row = x[t, b]
            for i in range(size):
                unit[i] += np.int32(abs(row[i]) == 1)
                some[i] += np.int32(row[i] != 0)
        reached, others = 0, 0
        for i in range(size):
            reached += unit[i] * fanout[i]
            others += (some[i] - unit[i]) * fanout[i]
        out[b, 0], out[b, 1] = reached, others


def reach(x: Tensor, fanout: np.ndarray) -> np.ndarray:
    """(B, 2) int64, see `reach_reference`; x (T, B, *shape), fanout (N,) int64."""
    rows = as_rows(x)
    out = np.zeros((rows.shape[1], 2), np.int64)
    reach_kernel(rows, fanout, out)
    return out


def count_operations(x: Tensor, fanout: np.ndarray, ctx: Context) -> None:
    """Book additions for unit inputs (a spike adds its weights) and multiply-accumulates for graded ones."""
    if ctx.ledger is None:
        return
    counts = reach(x, fanout)
    for column, action in enumerate((Action.digital_add, Action.digital_mac)):
        if counts[:, column].any():
            ctx.ledger.add(ctx.where, "", action, counts[:, column])


def index_reference(x: np.ndarray, ptr: np.ndarray, idx: np.ndarray, val: np.ndarray) -> None:
    """Non-zeros of x (R, N) as lists: row r holds idx[ptr[r]:ptr[r+1]] with values val; ptr (R+1,) is given."""
    rows, columns = np.nonzero(x)
    idx[:], val[:] = columns, x[rows, columns]


@kernel(reference=index_reference, parallel=True)
def index_kernel(x, ptr, idx, val):  # type: ignore[no-untyped-def]
    for r in prange(x.shape[0]):
        k, row = ptr[r], x[r]
        for i in range(row.size):
            if row[i] != 0:
                idx[k], val[k] = i, row[i]
                k += 1


def event_lists(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ptr int64 (R+1,), idx int32, val float32) of the non-zeros of rows (R, N)."""
    ptr = np.zeros(rows.shape[0] + 1, np.int64)
    np.cumsum(np.count_nonzero(rows, axis=1), out=ptr[1:])
    idx, val = np.empty(ptr[-1], np.int32), np.empty(ptr[-1], np.float32)
    index_kernel(rows, ptr, idx, val)
    return ptr, idx, val
