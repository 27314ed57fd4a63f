"""Which rows are driven in which read: a layer's inputs sorted into lists, read after read.

A read is one (row tile, patch) under one pass: sign and bit plane of the whole-number inputs of one row of the batch.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numba import njit

from spikesim.core import simd as simd_module
from spikesim.core.kernel import kernel
from spikesim.core.simd import lowest, word

from . import _inputs as inputs_module
from ._inputs import ONE, Steps, driven, scan_reference, scanned, stepped, taken

Listed = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Rows driven int32, read after read, rising in each; where each read starts (reads + 1,) int64; and (reads, 5) int64: its
tile, patch, row of the batch, sign and plane."""


class Layout(NamedTuple):
    """Geometry of a layer: a linear layer is a 1x1 map.

    Input pixel (c, y + u dilate, x + v dilate) of a patch drives layer row c row_c + u row_u + v row_v.
    """

    height: int
    width: int
    kernel_y: int
    kernel_x: int
    stride_y: int
    stride_x: int
    pad_y: int
    pad_x: int
    dilate_y: int
    dilate_x: int
    high: int
    wide: int
    row_c: int
    row_u: int
    row_v: int


@njit(nogil=True)
def room(inputs, layout, edges, planes, most, kept):  # type: ignore[no-untyped-def]
    """Empty lists for up to `kept` reads and those of any one row of the batch, and scratch to fill them.

    inputs   of a row of the batch, `most` of them not 0;    planes   of the rows, as `scanned` finds them
    """
    patches, passes = layout.high * layout.wide, 0
    most = max(1, most) * layout.kernel_y * layout.kernel_x
    for r in range(planes.shape[0]):
        passes = max(passes, planes[r].sum())
    reads, rows = passes * edges.size * patches + kept, passes * most + kept * np.diff(edges).max()
    listed = np.empty(rows + 1, np.int32), np.empty(reads + 1, np.int64), np.empty((reads, 5), np.int64)
    listed[1][0] = 0
    pairs = np.empty(most, np.int32), np.empty(most, np.int32), np.zeros((edges.size - 1, patches), np.int64)
    given = np.zeros((inputs + 63) // 64 * 64, np.uint8), np.empty(most, np.int32), np.empty(most, np.int32)
    return listed, (pairs, given)


@njit(nogil=True)
def list_row(row, r, steps, passes, layout, tiling, listed, scratch, found):  # type: ignore[no-untyped-def]
    """List all reads of `row`, the inputs of row r of the batch. tiling: rows' edges of each tile, tile of each row. -> reads
    listed now.

    listed   the rows driven, read after read; where each read starts; its tile, patch, row of the batch, sign, plane
    """
    if not passes.any():  # nothing but zeros, or a row that is refused
        return found
    (pairs, given), entries = scratch, listed[1][found]
    flat = layout.height * layout.width * layout.kernel_y * layout.kernel_x == 1
    n = 0 if flat else taken(row, steps, given[0], given[1], given[2])
    for way in range(passes[0] + passes[1]):
        of = (r, 0, way) if way < passes[0] else (r, 1, way - passes[0])
        if flat:
            driven(row, steps, of[1], of[2], given[0])
            entries, found = _flat(given[0], of, tiling[0], listed, entries, found)
        else:
            met = _paired(given[1][:n], given[2], of, layout, pairs[0], pairs[1])
            before = found
            entries, found = _listed((pairs[0], pairs[1], met), of, tiling[1], pairs[2], listed, entries, found)
            if layout.row_v != 1:  # inputs come channel by channel, rows stand pixel by pixel
                for e in range(before, found):
                    listed[0][listed[1][e] : listed[1][e + 1]].sort()
    return found


@njit(nogil=True)
def _flat(fired, of, edges, listed, entries, reads):  # type: ignore[no-untyped-def]
    """As `_paired` and `_listed` for a 1x1 map, whose inputs that are driven are the rows of tile after tile."""
    lists = listed[0]
    at, before, tile = entries, entries, 0
    for first in range(0, fired.size, 64):
        left = word(fired, first)
        while left:
            i = first + lowest(left)
            left &= left - ONE
            while i >= edges[tile + 1]:
                reads, before, tile = _closed(listed, before, at, tile, of, reads), at, tile + 1
            lists[at] = i
            at += 1
    return at, _closed(listed, before, at, tile, of, reads)


@njit(nogil=True)
def _closed(listed, before, at, tile, of, reads):  # type: ignore[no-untyped-def]
    """The rows listed from `before` on are a read of a tile, if there are any. -> reads listed now."""
    _, starts, about = listed
    if at > before:
        starts[reads], about[reads, 0], about[reads, 1] = before, tile, 0
        about[reads, 2], about[reads, 3], about[reads, 4] = of
        reads += 1
        starts[reads] = at
    return reads


@njit(nogil=True)
def _paired(idx, val, of, layout, slots, rows):  # type: ignore[no-untyped-def]
    """The rows that one pass (of: row of the batch, sign, plane) drives: their patches in `slots`, themselves in `rows`.

    idx, val   inputs that are not 0, in whole steps
    -> how many.
    """
    _, sign, plane = of
    size, n = layout.height * layout.width, 0
    for k in range(idx.size):
        there = -val[k] if sign else val[k]
        if there <= 0 or not (there >> plane) & 1:
            continue
        c, rest = idx[k] // size, idx[k] % size
        y, x = rest // layout.width + layout.pad_y, rest % layout.width + layout.pad_x
        for u in range(layout.kernel_y):
            top = y - u * layout.dilate_y
            i = top // layout.stride_y
            if top < 0 or top % layout.stride_y or i >= layout.high:
                continue
            for v in range(layout.kernel_x):
                left = x - v * layout.dilate_x
                j = left // layout.stride_x
                if left < 0 or left % layout.stride_x or j >= layout.wide:
                    continue
                slots[n] = i * layout.wide + j
                rows[n] = c * layout.row_c + u * layout.row_u + v * layout.row_v
                n += 1
    return n


@njit(nogil=True)
def _listed(pairs, of, tile_of, counted, listed, entries, reads):  # type: ignore[no-untyped-def]
    """Append the pairs of one pass (of: row of the batch, sign, plane) as a read for each (tile, patch) met, tile by tile.

    counted  scratch (tiles, patches), zeros
    -> rows and reads listed now.
    """
    (slots, rows, n), (lists, starts, about) = pairs, listed
    for k in range(n):
        counted[tile_of[rows[k]], slots[k]] += 1
    at = entries
    for tile in range(counted.shape[0]) if n else range(0):
        for patch in range(counted.shape[1]):
            size = counted[tile, patch]
            if size:
                starts[reads], about[reads, 0], about[reads, 1] = at, tile, patch
                about[reads, 2], about[reads, 3], about[reads, 4] = of
                counted[tile, patch] = at
                at += size
                reads += 1
    for k in range(n):
        tile = tile_of[rows[k]]
        lists[counted[tile, slots[k]]] = rows[k]
        counted[tile, slots[k]] += 1
    for k in range(n):
        counted[tile_of[rows[k]], slots[k]] = 0
    starts[reads] = at
    return at, reads


def list_reference(
    x: np.ndarray, steps: Steps, layout: Layout, edges: np.ndarray, tile: np.ndarray, bad: np.ndarray
) -> Listed:
    """All reads of all rows of x (R, inputs), a patch at a time over every pixel of it; bad as `scan_reference`."""
    rows, starts, about = [np.zeros(0, np.int32)], [0], []
    scan_reference(x, steps, np.zeros((len(x), 2), np.int64), bad)
    for r in np.flatnonzero(bad == 0):
        row = stepped(x[r], steps)
        image = row.reshape(-1, layout.height, layout.width)
        patches = [_patch(image, p, layout) for p in range(layout.high * layout.wide)]
        for sign, top in enumerate((row.max(initial=0), -row.min(initial=0))):
            for plane, t in itertools.product(range(int(top).bit_length()), range(len(edges) - 1)):
                for patch, (there, what) in enumerate(patches):
                    driven = (((np.maximum(-what if sign else what, 0) >> plane) & 1) == 1) & (tile[there] == t)
                    if driven.any():
                        rows.append(np.sort(there[driven]).astype(np.int32))
                        starts.append(starts[-1] + int(driven.sum()))
                        about.append((t, patch, r, sign, plane))
    return np.concatenate(rows), np.array(starts, np.int64), np.array(about, np.int64).reshape(-1, 5)


def _patch(image: np.ndarray, patch: int, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Layer rows of a patch's pixels inside the image (channels, height, width), in the order of pixels; their values."""
    top = patch // layout.wide * layout.stride_y - layout.pad_y
    left = patch % layout.wide * layout.stride_x - layout.pad_x
    rows, values = [], []
    for c, u, v in itertools.product(range(len(image)), range(layout.kernel_y), range(layout.kernel_x)):
        y, x = top + u * layout.dilate_y, left + v * layout.dilate_x
        if 0 <= y < layout.height and 0 <= x < layout.width:
            rows.append(c * layout.row_c + u * layout.row_u + v * layout.row_v)
            values.append(image[c, y, x])
    return np.array(rows, np.int64), np.array(values, np.int64)


@kernel(reference=list_reference, depends=(simd_module, inputs_module))
def list_kernel(x, steps, layout, edges, tile, bad):  # type: ignore[no-untyped-def]
    """As `list_reference`."""
    rows, inputs = x.shape
    planes = np.zeros((rows, 2), np.int64)
    most = scanned(x, steps, planes, bad, 0, rows)
    reads = planes.sum() * (edges.size - 1) * layout.high * layout.wide
    entries = planes.sum() * most * layout.kernel_y * layout.kernel_x
    listed = np.empty(entries + 1, np.int32), np.empty(reads + 1, np.int64), np.empty((reads, 5), np.int64)
    listed[1][0] = 0
    _, scratch = room(inputs, layout, edges, planes, most, 0)
    found = 0
    for r in range(rows):
        found = list_row(x[r], r, steps, planes[r], layout, (edges, tile), listed, scratch, found)
    return listed[0][: listed[1][found]].copy(), listed[1][: found + 1].copy(), listed[2][:found].copy()
