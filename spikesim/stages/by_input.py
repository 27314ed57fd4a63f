"""Events in the order of their inputs: what the gradient of a weight needs to be summed input by input."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ..core.kernel import kernel, shared_out
from ..core.raster import SparseRaster

PARTS = 8
"""Parts of the rows whose events are brought in order side by side; results do not depend on it."""


def counted_reference(ptr: np.ndarray, idx: np.ndarray, counts: np.ndarray) -> None:
    """numpy twin of `counted_kernel`, same arguments."""
    edges = ptr[(ptr.size - 1) * np.arange(len(counts) + 1) // len(counts)]
    counts[:] = [np.bincount(idx[a:b], minlength=counts.shape[1]) for a, b in pairwise(edges)]


@kernel(reference=counted_reference, items=lambda *a: len(a[2]))
def counted_kernel(ptr, idx, counts, begin, end, team):  # type: ignore[no-untyped-def]
    """counts (parts, n_in) = how many events of each part of the rows there are at each input."""
    if shared_out(begin, end, team):
        return
    rows, parts = ptr.size - 1, counts.shape[0]
    for part in range(begin, end):
        here = counts[part]
        here[:] = 0
        for e in range(ptr[rows * part // parts], ptr[rows * (part + 1) // parts]):
            here[idx[e]] += 1


def placed_reference(
    ptr: np.ndarray, idx: np.ndarray, val: np.ndarray, free: np.ndarray, rows: np.ndarray, values: np.ndarray
) -> None:
    """numpy twin of `placed_kernel`, same arguments."""
    order = np.argsort(idx, kind="stable")
    rows[:] = np.repeat(np.arange(ptr.size - 1), np.diff(ptr))[order]
    if val.size:
        values[:] = val[order]
    counts = np.zeros_like(free)
    counted_reference(ptr, idx, counts)
    free += counts


@kernel(reference=placed_reference, items=lambda *a: len(a[3]))
def placed_kernel(ptr, idx, val, free, rows, values, begin, end, team):  # type: ignore[no-untyped-def]
    """Events of each part of the rows to their places: free (parts, n_in), which moves on."""
    if shared_out(begin, end, team):
        return
    parts = free.shape[0]
    for part in range(begin, end):
        places = free[part]
        for r in range((ptr.size - 1) * part // parts, (ptr.size - 1) * (part + 1) // parts):
            for e in range(ptr[r], ptr[r + 1]):
                place = places[idx[e]]
                places[idx[e]] = place + 1
                rows[place] = r
                if val.size:
                    values[place] = val[e]


def started_reference(counts: np.ndarray, first: np.ndarray, free: np.ndarray) -> None:
    """numpy twin of `started_kernel`, same arguments."""
    ends = np.cumsum(counts.T.ravel()).reshape(counts.shape[::-1]).T
    free[:] = ends - counts
    first[:-1], first[-1] = free[0], ends[-1, -1]


@kernel(reference=started_reference)
def started_kernel(counts, first, free):  # type: ignore[no-untyped-def]
    """free (parts, n_in) = where the events of each part at each input begin, first (n_in + 1,) = where those of an input do."""
    n = np.int64(0)
    for i in range(counts.shape[1]):
        first[i] = n
        for part in range(counts.shape[0]):
            free[part, i] = n
            n += counts[part, i]
    first[counts.shape[1]] = n


def by_input(x: SparseRaster, inputs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Events in the order of their inputs, those of one input as before: first (n_in + 1,), rows, values (`gathered_kernel`)."""
    counts, free = np.empty((PARTS, inputs), np.int64), np.empty((PARTS, inputs), np.int64)
    first = np.empty(inputs + 1, np.int64)
    counted_kernel(x.ptr, x.idx, counts)
    started_kernel(counts, first, free)
    rows, values = np.empty(x.idx.size, np.int32), np.empty(x.values.size, np.float32)
    placed_kernel(x.ptr, x.idx, x.values, free, rows, values)
    return first, rows, values
