"""One read of a programmed layer: rows gated by events, columns summed, noise, conversion, shift and add.

For each time step and sample, patch by patch of the layer's input, each sign and each bit plane k of the whole-number
input is one read (rows are driven or not: 1-bit drivers). With a_i in {0, 1} the rows driven in that read,

    I_j = V sum_i a_i G_ij                      column current; rows of one array only, V is left out (unit: siemens)
    I_j <- I_j + sigma sqrt(sum_i a_i G_ij^2) n     n ~ N(0, 1): independent proportional noise of each cell, exactly
    q_j = min(round(max(I_j, 0) / lsb), 2^bits - 1) lsb            one conversion per column; lsb 0: no conversion
    y_o = sum over reads of sign 2^k (q_{2o} - q_{2o+1})          columns 2o and 2o+1 hold G+ and G-

A read in which no row of the array is driven carries no current: its columns are gated and not converted. Rows are
added in the order of the event list, and n is Philox4x32-10 of (sample id, step, patch, read and column), so the
result depends on neither batch, thread nor process.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from spikesim.core import philox as philox_module
from spikesim.core.kernel import kernel, shared_out
from spikesim.core.philox import normal_pair, normal_pair_of, philox4x32, words


class Layout(NamedTuple):
    """Geometry of a layer on arrays.

    height, width, kernel_y, kernel_x, stride_y, stride_x, pad_y, pad_x, high, wide   a linear layer is a 1x1 map
    array_rows   rows of one array; layer row c kh kw + u kw + v stands in array row // array_rows
    """

    height: int
    width: int
    kernel_y: int
    kernel_x: int
    stride_y: int
    stride_x: int
    pad_y: int
    pad_x: int
    high: int
    wide: int
    array_rows: int


class Cells(NamedTuple):
    """Programmed cells.

    g           (rows, 2 n_out) float32 siemens, columns 2o and 2o+1 the pair of output o
    nanosiemens (rows, column tiles) int64, each row's total conductance in a column tile, rounded
    lsb         (row tiles,) float32 siemens per code; 0: currents are not converted
    top         largest code;     sigma  relative read noise of a cell
    """

    g: np.ndarray
    nanosiemens: np.ndarray
    lsb: np.ndarray
    top: Any
    sigma: Any


class Draw(NamedTuple):
    """Where draws are counted from: key words, first step, and whether to draw at all."""

    low: Any
    high: Any
    step0: Any
    noisy: bool


DRIVES, READS, CLIPPED, CONDUCTANCE = 0, 1, 2, 3
"""Columns of the counts: rows driven, reads converted, conversions above the largest code, and from CONDUCTANCE on
nanosiemens driven in each column tile."""


def read_reference(
    events: tuple[np.ndarray, np.ndarray, np.ndarray], ids: np.ndarray, layout: Layout, cells: Cells, draw: Draw,
    out: np.ndarray, counts: np.ndarray, peaks: np.ndarray,
) -> None:  # fmt: skip
    """numpy twin of `read_kernel`, a patch at a time over a dense im2col of the same events."""
    ptr, idx, val = events
    row_tiles, columns = len(cells.lsb), cells.g.shape[1]
    channels = cells.g.shape[0] // (layout.kernel_y * layout.kernel_x)
    for r in range(out.shape[0]):
        step, sample = r // len(ids), int(ids[r % len(ids)])
        image = np.zeros((channels, layout.height * layout.width), np.int64)
        for k in range(ptr[r], ptr[r + 1]):
            image[idx[k] // image.shape[1], idx[k] % image.shape[1]] = val[k]
        padded = np.pad(
            image.reshape(channels, layout.height, layout.width),
            ((0, 0), (layout.pad_y, layout.pad_y + layout.kernel_y), (layout.pad_x, layout.pad_x + layout.kernel_x)),
        )
        planes = int(np.abs(image).max()).bit_length()
        for patch in range(layout.high * layout.wide):
            y, x = patch // layout.wide * layout.stride_y, patch % layout.wide * layout.stride_x
            rows = padded[:, y : y + layout.kernel_y, x : x + layout.kernel_x].ravel()
            for sign in (0, 1):
                side = np.maximum(-rows if sign else rows, 0)
                for plane in range(planes):
                    driven = np.flatnonzero((side >> plane) & 1)
                    for tile in range(row_tiles):
                        here = driven[driven // layout.array_rows == tile]
                        if not len(here):
                            continue
                        current = np.zeros(columns, np.float32)
                        square = np.zeros(columns, np.float32)
                        # The kernel meets events pixel by pixel within a channel: layer rows in rising order.
                        for row in here:
                            current += cells.g[row]
                            square += cells.g[row] * cells.g[row]
                        read = (tile * 2 + sign) * 32 + plane
                        code, above = _converted_reference(
                            current, square, tile, (sample, step, patch, read), cells, draw
                        )
                        weight = np.float32((-1.0 if sign else 1.0) * 2.0**plane)
                        out[r, patch] += weight * (code[0::2] - code[1::2])
                        counts[r, tile, DRIVES] += len(here)
                        counts[r, tile, READS] += 1
                        counts[r, tile, CLIPPED] += above
                        counts[r, tile, CONDUCTANCE:] += cells.nanosiemens[here].sum(0)
                        if len(peaks):
                            peaks[r, tile] = max(peaks[r, tile], current.max())


def _converted_reference(
    current: np.ndarray, square: np.ndarray, tile: int, place: tuple[int, int, int, int], cells: Cells, draw: Draw
) -> tuple[np.ndarray, int]:
    """Currents (columns,) with noise and conversion, and how many were above the largest code."""
    sample, step, patch, read = place
    noisy = current.copy()
    if draw.noisy:
        quads = np.arange((len(current) + 3) // 4)
        key = int(draw.low) | int(draw.high) << 32
        drawn = words(sample, int(draw.step0) + step, patch, read * 4096 + quads, key)
        normals = np.empty((len(quads), 4))
        for q in range(len(quads)):
            for half in (0, 2):
                normals[q, half : half + 2] = normal_pair_of(drawn[half][q], drawn[half + 1][q])
        n = normals.reshape(-1)[: len(current)].astype(np.float32)
        noisy = current + cells.sigma * np.sqrt(square) * n
    lsb = cells.lsb[tile]
    if lsb == 0:
        return noisy, 0
    code = np.floor(np.maximum(noisy, np.float32(0)) / lsb + np.float32(0.5))
    return np.minimum(code, cells.top) * lsb, int((code > cells.top).sum())


@njit(nogil=True)
def _drive(events, r, pass_, layout, cells, current, square, driven, counts):  # type: ignore[no-untyped-def]
    """Add the rows that one pass (sign, plane) of row r drives into current and square (row tiles, patches, columns).

    -> whether any row was driven; driven (row tiles, patches) counts them.
    """
    ptr, idx, val = events
    sign, plane = pass_
    plane_size, found = layout.height * layout.width, False
    for k in range(ptr[r], ptr[r + 1]):
        size = -val[k] if sign else val[k]
        if size <= 0 or not (size >> plane) & 1:
            continue
        found = True
        c, rest = idx[k] // plane_size, idx[k] % plane_size
        y, x = rest // layout.width + layout.pad_y, rest % layout.width + layout.pad_x
        for u in range(y % layout.stride_y, min(layout.kernel_y, y + 1), layout.stride_y):
            i = (y - u) // layout.stride_y
            if i >= layout.high:
                continue
            for v in range(x % layout.stride_x, min(layout.kernel_x, x + 1), layout.stride_x):
                j = (x - v) // layout.stride_x
                if j >= layout.wide:
                    continue
                row = (c * layout.kernel_y + u) * layout.kernel_x + v
                tile, patch = row // layout.array_rows, i * layout.wide + j
                g, total, squares = cells.g[row], current[tile, patch], square[tile, patch]
                for o in range(g.size):
                    total[o] += g[o]
                    squares[o] += g[o] * g[o]
                driven[tile, patch] += 1
                for part in range(cells.nanosiemens.shape[1]):
                    counts[tile, CONDUCTANCE + part] += cells.nanosiemens[row, part]
    return found


@njit(nogil=True)
def _disturb(total, squares, place, cells, draw):  # type: ignore[no-untyped-def]
    """Add noise of variance sigma^2 squares to the column currents `total`; squares is used up."""
    sample, step, patch, read = place
    for quad in range((total.size + 3) // 4):
        a, b, c, d = philox4x32(sample, step, patch, read + np.uint64(quad), draw.low, draw.high)
        n0, n1 = normal_pair(a, b)
        n2, n3 = normal_pair(c, d)
        for o, n in enumerate((n0, n1, n2, n3)):
            at = 4 * quad + o
            if at < total.size:
                squares[at] = cells.sigma * math.sqrt(squares[at]) * np.float32(n)
    for o in range(total.size):
        total[o] += squares[o]


@njit(nogil=True)
def _convert(total, lsb, top):  # type: ignore[no-untyped-def]
    """Column currents to the nearest code of a saturating converter, in place, as currents; lsb 0 leaves them.

    -> how many were above the largest code.
    """
    zero, half, above = np.float32(0), np.float32(0.5), 0
    if lsb > zero:
        for o in range(total.size):
            code = np.floor(max(total[o], zero) / lsb + half)
            above += code > top
            total[o] = min(code, top) * lsb
    return above


@kernel(reference=read_reference, items=lambda *a: len(a[5]), depends=(philox_module,))
def read_kernel(events, ids, layout, cells, draw, out, counts, peaks, begin, end, team):  # type: ignore[no-untyped-def]
    """events (ptr, idx int32, val int32) of rows r = t B + b; ids (B,); out (R, patches, n_out) float32, zeros;
    counts (R, row tiles, 3 + column tiles) int64, zeros; peaks (R or 0, row tiles) float32, largest current met."""
    if shared_out(begin, end, team):
        return
    ptr, _, val = events
    row_tiles, columns, patches = cells.lsb.size, cells.g.shape[1], layout.high * layout.wide
    for r in range(begin, end):
        current = np.zeros((row_tiles, patches, columns), np.float32)
        square, driven = np.zeros_like(current), np.zeros((row_tiles, patches), np.int32)
        sample = np.uint64(ids[r % ids.size]) & philox_module.MASK
        step = np.uint64(draw.step0 + r // ids.size)
        largest, planes = 0, 0
        for k in range(ptr[r], ptr[r + 1]):
            largest = max(largest, abs(val[k]))
        while largest >> planes:
            planes += 1
        for pass_ in range(2 * planes):
            sign, plane = pass_ // planes, pass_ % planes
            if not _drive(events, r, (sign, plane), layout, cells, current, square, driven, counts[r]):
                continue
            weight = np.float32(1 << plane) * np.float32(1 - 2 * sign)
            for at in range(row_tiles * patches):
                tile, patch = at // patches, at % patches
                if not driven[tile, patch]:
                    continue
                counts[r, tile, DRIVES] += driven[tile, patch]
                counts[r, tile, READS] += 1
                driven[tile, patch] = 0
                total, squares, target = current[tile, patch], square[tile, patch], out[r, patch]
                if peaks.shape[0]:
                    peaks[r, tile] = max(peaks[r, tile], total.max())
                if draw.noisy:
                    read = np.uint64(((tile * 2 + sign) * 32 + plane) * 4096)
                    _disturb(total, squares, (sample, step, np.uint64(patch), read), cells, draw)
                counts[r, tile, CLIPPED] += _convert(total, cells.lsb[tile], cells.top)
                for o in range(columns // 2):
                    target[o] += weight * (total[2 * o] - total[2 * o + 1])
                total[:] = 0
                squares[:] = 0
