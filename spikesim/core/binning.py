"""Raw recordings to sparse rasters in one pass: no frame is ever made.

Bin k holds the events with floor((t - start) T / duration) = k. Recordings are in time order, so bins follow one
another and their edges are computed once, ceil(k duration / T), not once an event. Events of one pixel and bin merge
into a count; inputs come out in ascending order, as `SparseRaster.from_dense` lists them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from ..errors import ParameterError, ShapeError, must
from . import simd
from .events import POLARITIES, Columns, EventStream, Window, natural_window
from .kernel import kernel, shared_out
from .params import number
from .raster import SparseRaster

_lowest = simd.lowest


def merged_reference(
    events: Columns, offsets: np.ndarray, window: Window, shape: tuple[int, int, int], merge: bool,
    counts: np.ndarray, idx: np.ndarray, val: np.ndarray,
) -> None:  # fmt: skip
    """numpy twin of `merged_kernel`, same arguments."""
    steps = counts.shape[1]
    for b, row in enumerate(window.rows):
        t, x, y, p = events.between(offsets[row], offsets[row + 1])
        since = t - window.start[b]
        kept = (since >= 0) & (since < window.duration[b])
        k = since[kept] * steps // window.duration[b]
        i = (p[kept].astype(np.int64) * shape[1] + y[kept]) * shape[2] + x[kept]
        inputs = shape[0] * shape[1] * shape[2]
        found, many = np.unique(k * inputs + i, return_counts=True) if merge else (k * inputs + i, None)
        counts[b] = np.bincount(found // inputs, minlength=steps)
        here = slice(offsets[row], offsets[row] + found.size)
        idx[here] = found % inputs
        if many is not None:
            val[here] = many


@njit(nogil=True)
def _flushed(words, low, high, seen, idx, val, k):  # type: ignore[no-untyped-def]
    """One bin's inputs, ascending, to the lists at k; the bitmap and the counts are left empty. -> the next k"""
    for w in range(low, high + 1):
        word = words[w]
        words[w] = np.uint64(0)
        while word:
            i = w * 64 + _lowest(word)
            idx[k], val[k] = i, seen[i]
            seen[i] = 0
            k += 1
            word &= word - np.uint64(1)
    return k


@njit(nogil=True)
def _merged(events, first, last, start, duration, shape, merge, counts, idx, val):  # type: ignore[no-untyped-def]
    times, p, y, x = events
    steps, high, wide = counts.size, np.int32(shape[1]), np.int32(shape[2])
    inputs = shape[0] * shape[1] * shape[2] if merge else 0
    words, seen = np.zeros((inputs + 63) // 64, np.uint64), np.zeros(inputs, np.int32)
    k, e = first, first
    while e < last and times[e] < start:
        e += 1
    for t in range(steps):
        edge, begun, done = start + ((t + 1) * duration + steps - 1) // steps, e, k
        while e < last and times[e] < edge:
            e += 1
        if merge:
            low, high_word = words.size, -1
            for n in range(begun, e):
                i = (np.int32(p[n]) * high + np.int32(y[n])) * wide + np.int32(x[n])
                w = i >> 6
                words[w] |= np.uint64(1) << np.uint64(i & 63)
                low, high_word = min(low, w), max(high_word, w)  # type: ignore[assignment]
                seen[i] += 1
            k = _flushed(words, low, high_word, seen, idx, val, k)
        else:
            for n in range(begun, e):
                idx[k + n - begun] = (np.int32(p[n]) * high + np.int32(y[n])) * wide + np.int32(x[n])
            k += e - begun
        counts[t] = k - done


@kernel(reference=merged_reference, items=lambda *a: a[2].rows.size, depends=(simd,))
def merged_kernel(events, offsets, window, shape, merge, counts, idx, val, begin, end, team):  # type: ignore[no-untyped-def]
    """Lists of every recording at its own place: idx, val from offsets[row] on; counts (B, T) int64. `merge`: events
    of one input and bin become one entry, in ascending order of inputs, val their number (else val is empty)."""
    if shared_out(begin, end, team):
        return
    columns = (events.t, events.p, events.y, events.x)
    for b in range(begin, end):
        first, last = offsets[window.rows[b]], offsets[window.rows[b] + 1]
        _merged(columns, first, last, window.start[b], window.duration[b], shape, merge, counts[b], idx, val)


def moved_reference(starts: np.ndarray, ends: np.ndarray, values: np.ndarray) -> None:
    """Part b of values, from starts[b], down to ends[b]:ends[b + 1], in place; ends[b] is at most starts[b]."""
    for b, start in enumerate(starts):
        values[ends[b] : ends[b + 1]] = values[start : start + ends[b + 1] - ends[b]].copy()


@kernel(reference=moved_reference)
def moved_kernel(starts, ends, values):  # type: ignore[no-untyped-def]
    for b in range(starts.size):
        shift = starts[b] - ends[b]
        for k in range(ends[b], ends[b + 1]):
            values[k] = values[k + shift]


def binned(
    events: Columns, offsets: np.ndarray, window: Window, steps: int, shape: tuple[int, int, int], merge: bool = True
) -> SparseRaster:  # fmt: skip
    """Recordings that stand end to end as one sparse raster of inputs `shape` (P, H, W); the other arguments as
    `events.raster`, rows rising, each once."""
    number("sparse_raster.steps", steps, at_least=1, integer=True)
    if int(window.duration.max(initial=1)) > np.iinfo(np.int64).max // (steps + 1):
        raise ParameterError(must("sparse_raster.steps", "below 2^63 / duration", steps, "shorten the window"))
    batch, most = len(window.rows), int(offsets[-1])
    counts, idx = np.empty((batch, steps), np.int64), np.empty(most, np.int32)
    val = np.empty(most if merge else 0, np.float32)
    merged_kernel(events, offsets, window, shape, merge, counts, idx, val)
    ptr = np.zeros(batch * steps + 1, np.int64)
    np.cumsum(counts.ravel(), out=ptr[1:])
    if ptr[-1] < most:
        for values in (idx, val) if merge else (idx,):
            moved_kernel(offsets[window.rows], ptr[::steps], values)
    return SparseRaster.trusted(ptr, idx[: ptr[-1]], val[: ptr[-1]] if merge else None, steps, shape)


def sparse_raster(streams: Sequence[EventStream], steps: int, *, merge: bool = True) -> SparseRaster:
    """Recordings of one sensor, binned into `steps` bins each from its first to its last event.

    The same counts as `EventStream.raster`, as event lists: what the event-driven engine takes without a detour.
    merge  events of one pixel and bin become one entry worth their number; False keeps them apart and in the order in
           which they came, which is quicker here and slower in the network
    Raises ShapeError for no recordings or sensors that differ, ParameterError for steps < 1.
    """
    sensors = {stream.sensor for stream in streams}
    if len(sensors) != 1:
        got = ", ".join(map(str, sorted(sensors))) or "no recording"
        raise ShapeError(must("sparse_raster.streams", "recordings of one sensor", got))
    offsets = np.cumsum([0, *(len(stream) for stream in streams)])
    columns = streams[0].columns if len(streams) == 1 else Columns(
        *(np.concatenate([getattr(stream, name) for stream in streams]) for name in Columns._fields)
    )  # fmt: skip
    window = natural_window(columns.t, offsets, np.arange(len(streams)))
    return binned(columns, offsets, window, steps, (POLARITIES, *sensors.pop()), merge)
