"""One read of a programmed layer: rows gated by events, columns summed, noise, conversion, shift and add.

For each time step and sample, patch by patch of the layer's input, each sign and each bit plane k of the whole-number
input is one read (rows are driven or not: 1-bit drivers). With a_i in {0, 1} the rows of an array driven in that read,

    I_j = sum_i a_i G_ij            column current over read voltage (siemens)
    S_j = sum_i a_i s_ij^2          variance of one read of these cells

and `_convert.py` says how they become a share 2^k (-1)^sign of the outputs. A read in which no row of the array is driven
carries no current: its columns are gated and not converted. Rows are added in the order of the event list, and draws are
counted by sample, step, patch, read and column, so the result depends on neither batch, thread nor process.

Rows 2p and 2p + 1 of an array are a pair. Behind the rows stand the sums of the pairs, so that a read adds one or the other
of them or their sum: half as many where all rows are driven. They stand in blocks of 64 columns, those of S behind those of
G: sums stay in registers and a block in the cache; up to GROUP reads of an array are summed block by block.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numba import njit

from spikesim.core import normals as normals_module
from spikesim.core import philox as philox_module
from spikesim.core import simd as simd_module
from spikesim.core.kernel import kernel, shared_out
from spikesim.core.simd import LANES, rows_summed_64

from . import _convert as convert_module
from . import _inputs as inputs_module
from . import _list as list_module
from ._convert import Converters, Decoding, Draw, convert, convert_reference, decode, decode_reference, disturb
from ._inputs import Steps, scanned
from ._list import Layout, Listed, list_reference, list_row, room

DRIVES, READS, CLIPPED, CONDUCTANCE = 0, 1, 2, 3
"""Columns of the counts: rows driven, reads converted, conversions outside the codes, and from CONDUCTANCE on
nanosiemens driven in each column tile."""
GROUP = 128
"""Reads summed together."""
CHUNK = 64
"""Pairs whose rows in a block fit the smallest cache, or nearly."""
MANY = 0.25
"""Share of an array's rows that reads add on average from which they are summed in runs of CHUNK pairs."""


class Cells(NamedTuple):
    """Programmed cells as the kernel reads them.

    blocks      (n, rows + pairs, 64) float32: padded columns of G (siemens), then of s^2 where cells fluctuate
    pairs       (row tiles,) int64, where the sum of each tile's first pair stands
    columns     of G before padding;     padded   after it
    fluctuate   whether blocks hold s^2
    edges       (row tiles + 1,) int64, rows of each tile;    tile (rows,) int32, the same by row
    first       (row tiles,) int64, first output that a tile's columns belong to
    nanosiemens (rows, column tiles) int64, each row's total conductance in a column tile, rounded
    """

    blocks: np.ndarray
    pairs: np.ndarray
    columns: int
    padded: int
    fluctuate: bool
    edges: np.ndarray
    tile: np.ndarray
    first: np.ndarray
    nanosiemens: np.ndarray


def pair_table(rows: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """rows (n, columns) float32 of tiles with these edges -> them and the sums of their pairs, and `Cells.pairs`."""
    parts, first = [rows], [len(rows)]
    for start, stop in itertools.pairwise(edges):
        two = np.pad(rows[start:stop], ((0, (stop - start) % 2), (0, 0))).reshape(-1, 2, rows.shape[1])
        parts.append(two[:, 0] + two[:, 1])
        first.append(first[-1] + len(two))
    return np.concatenate(parts), np.array(first[:-1], np.int64)


def sums_reference(listed: Listed, cells: Cells, draw: Draw, sums: np.ndarray) -> None:
    """sums (reads, 64 n): columns of each read, one pair after the other."""
    table = cells.blocks.transpose(1, 0, 2).reshape(cells.blocks.shape[1], -1)
    for e, tile in enumerate(listed[2][:, 0]):
        rows = listed[0][listed[1][e] : listed[1][e + 1]] - cells.edges[tile]
        total = np.zeros(table.shape[1], np.float32)
        for pair in np.unique(rows // 2):
            sides = rows[rows // 2 == pair] % 2
            both = len(sides) == 2
            total += table[cells.pairs[tile] + pair if both else cells.edges[tile] + 2 * pair + sides[0]]
        sums[e] = total


def finish_reference(
    listed: Listed, sums: np.ndarray, ids: np.ndarray, cells: Cells, by: Converters, rule: Decoding, draw: Draw,
    out: np.ndarray, counts: np.ndarray,
) -> None:  # fmt: skip
    """Reads from their sums to outputs (R, patches, n_out) and counts (R, row tiles, 3 + column tiles), tile after tile."""
    lists, starts, about = listed
    outputs = len(rule.reference) or cells.columns // len(rule.weights)
    for e in np.argsort(about[:, 0], kind="stable"):
        tile, patch, r, sign, plane = about[e].tolist()
        rows = lists[starts[e] : starts[e + 1]]
        place = int(ids[r % len(ids)]), int(draw.step0) + r // len(ids), patch, ((tile * 2 + sign) * 32 + plane) * 4096
        square = sums[e, cells.padded : 2 * cells.padded] if cells.fluctuate else np.zeros(cells.padded, np.float32)
        q, clipped = convert_reference(sums[e, : cells.padded], square, tile, place, by, draw, cells.columns)
        weight = np.float32((1 - 2 * sign) * 2.0**plane)
        decode_reference(q, weight, len(rows), rule, out[r, patch, cells.first[tile] : cells.first[tile] + outputs])
        counts[r, tile, [DRIVES, READS, CLIPPED]] += np.array([len(rows), 1, clipped])
        counts[r, tile, CONDUCTANCE:] += cells.nanosiemens[rows].sum(0)


def read_reference(
    x: np.ndarray, steps: Steps, ids: np.ndarray, layout: Layout, cells: Cells, by: Converters, rule: Decoding,
    draw: Draw, out: np.ndarray, counts: np.ndarray, bad: np.ndarray,
) -> None:  # fmt: skip
    """All reads listed, summed and finished, one after the other."""
    listed = list_reference(x, steps, layout, cells.edges, cells.tile, bad)
    sums = np.zeros((len(listed[2]), cells.blocks.shape[0] * LANES), np.float32)
    sums_reference(listed, cells, draw, sums)
    finish_reference(listed, sums, ids, cells, by, rule, draw, out, counts)


@njit(nogil=True)
def _summed(listed, some, cells, draw, scratch):  # type: ignore[no-untyped-def]
    """Columns of the reads `some` (their numbers, of one tile), block by block; variances only where they are drawn from.

    Where many rows are driven, each block in runs of CHUNK pairs, which stay in the smallest cache for all reads.
    """
    sums, nothing, none, codes, bounds = scratch[0], scratch[4], scratch[5], scratch[6], scratch[7]
    tile = listed[2][some[0], 0]
    size, at = cells.edges[tile + 1] - cells.edges[tile], 0
    for m in range(some.size):
        at = _paired(listed, some[m], cells.edges[tile], cells.pairs[tile], codes, at, bounds[m])
    runs = (size + 2 * CHUNK - 1) // (2 * CHUNK)
    step = 1 if at > MANY * size * some.size else runs
    blocks = cells.blocks.shape[0] if draw.noisy else (cells.padded + LANES - 1) // LANES
    for block in range(blocks):
        table, left = cells.blocks[block], block * LANES
        for run in range(0, runs, step):
            for m in range(some.size):
                here = sums[m, left : left + LANES]
                rows_summed_64(
                    here, here if run else nothing, table, codes, none, bounds[m, run], bounds[m, run + step]
                )


@njit(nogil=True)
def _paired(listed, e, begin, first, codes, at, bounds):  # type: ignore[no-untyped-def]
    """The rows of read e as rows of the table of pairs, into codes from `at` on; bounds: where each run of CHUNK pairs
    begins, and the last ends. -> where they end."""
    lists, starts, _ = listed
    last, run = -2, 0
    bounds[0] = at
    for k in range(starts[e], starts[e + 1]):
        row = lists[k] - begin
        while row >= 2 * CHUNK * (run + 1):
            run += 1
            bounds[run] = at
        both = (row & 1) & (row == last + 1)  # its pair is there already
        at += 1 - both
        codes[at - 1] = first + (row >> 1) if both else begin + row
        last = row
    bounds[run + 1 :] = at
    return at


@njit(nogil=True)
def _scratch(cells):  # type: ignore[no-untyped-def]
    """Sums, noise, no variance, numbers of reads, an empty row, no values, rows of the table, bounds in them, words."""
    most = np.diff(cells.edges).max()
    return (
        np.empty((GROUP, cells.blocks.shape[0] * LANES), np.float32), np.empty(cells.padded, np.float32),
        np.zeros(cells.padded, np.float32), np.empty(GROUP, np.int64), np.zeros(LANES, np.float32),
        np.empty(0, np.float32), np.empty(GROUP * most + 1, np.int32), np.zeros((GROUP, most // (2 * CHUNK) + 2), np.int64),
        np.empty(cells.padded, np.uint32),
    )  # fmt: skip


@kernel(
    reference=read_reference, items=lambda x, *_: len(x),
    depends=(philox_module, normals_module, simd_module, convert_module, inputs_module, list_module),
)  # fmt: skip
def read_kernel(x, steps, ids, layout, cells, by, rule, draw, out, counts, bad, begin, end, team):  # type: ignore[no-untyped-def]
    """x (R, inputs) float32, rows r = t B + b; ids (B,); out (R, patches, n_out) float32, zeros; counts (R, row tiles,
    3 + column tiles) int64, zeros; bad (R,) int64, inputs that no driver can apply: then the rest means nothing."""
    if shared_out(begin, end, team):
        return
    planes, scratch, found = np.zeros((end - begin, 2), np.int64), _scratch(cells), 0
    tiling, most = (cells.edges, cells.tile), scanned(x, steps, planes, bad, begin, end)
    listed, lists = room(x.shape[1], layout, cells.edges, planes, most, GROUP)
    for r in range(begin, end):
        found = list_row(x[r], r, steps, planes[r - begin], layout, tiling, listed, lists, found)
        # Reads of one row of the batch stay together, so that its sums do not depend on who else is there.
        if found >= GROUP or r == end - 1:
            _done(listed, found, ids, cells, by, rule, draw, scratch, out, counts)
            found = 0


@njit(nogil=True)
def _done(listed, found, ids, cells, by, rule, draw, scratch, out, counts):  # type: ignore[no-untyped-def]
    """Sum, convert and add up the reads that are listed, tile by tile, GROUP at a time."""
    some = scratch[3]
    for tile in range(cells.first.size):
        n = 0
        for e in range(found + 1):
            if n == GROUP or (e == found and n):
                _summed(listed, some[:n], cells, draw, scratch)
                for m in range(n):
                    _finished(listed, some[m], scratch[0][m], ids, cells, by, rule, draw, scratch, out, counts)
                n = 0
            if e < found and listed[2][e, 0] == tile:
                some[n] = e
                n += 1


@njit(nogil=True)
def _finished(listed, e, sums, ids, cells, by, rule, draw, scratch, out, counts):  # type: ignore[no-untyped-def]
    """One read from its sums to the outputs and counts."""
    lists, starts, about = listed
    tile, patch, r, sign, plane = about[e, 0], about[e, 1], about[e, 2], about[e, 3], about[e, 4]
    start, stop, current, count = starts[e], starts[e + 1], sums[: cells.padded], counts[r, tile]
    if draw.noisy:
        square = sums[cells.padded : 2 * cells.padded] if cells.fluctuate else scratch[2]
        sample = np.uint64(ids[r % ids.size]) & philox_module.MASK
        step = np.uint64(draw.step0 + r // ids.size)
        read = np.uint64(((tile * 2 + sign) * 32 + plane) * 4096)
        disturb(current, square, scratch[1], scratch[8], tile, (sample, step, np.uint64(patch), read), by, draw)
    count[CLIPPED] += convert(current, tile, by, cells.columns)
    weight = np.float32(1 << plane) * np.float32(1 - 2 * sign)
    outputs = rule.reference.size if rule.reference.size else cells.columns // rule.weights.size
    decode(current, weight, stop - start, rule, out[r, patch, cells.first[tile] : cells.first[tile] + outputs])
    count[DRIVES] += stop - start
    count[READS] += 1
    conductance = cells.nanosiemens
    for part in range(conductance.shape[1]):
        total = 0
        for k in range(start, stop):
            total += conductance[lists[k], part]
        count[CONDUCTANCE + part] += total


@kernel(
    reference=sums_reference, items=lambda listed, *_: len(listed[2]),
    depends=(simd_module, list_module, convert_module),
)  # fmt: skip
def sums_kernel(listed, cells, draw, sums, begin, end, team):  # type: ignore[no-untyped-def]
    """As `sums_reference`, for reads that another kernel finishes: those of measured ranges, of gated wires."""
    if shared_out(begin, end, team):
        return
    scratch, about, e = _scratch(cells), listed[2], begin
    some = scratch[3]
    while e < end:
        n = 0
        while n < GROUP and e + n < end and about[e + n, 0] == about[e, 0]:
            some[n] = e + n
            n += 1
        _summed(listed, some[:n], cells, draw, scratch)
        sums[e : e + n] = scratch[0][:n]
        e += n


@kernel(
    reference=finish_reference, items=lambda *a: len(a[7]),
    depends=(philox_module, normals_module, list_module, convert_module),
)  # fmt: skip
def finish_kernel(listed, sums, ids, cells, by, rule, draw, out, counts, begin, end, team):  # type: ignore[no-untyped-def]
    """As `finish_reference`; reads are listed row of the batch after row of the batch. sums are used up."""
    if shared_out(begin, end, team):
        return
    scratch, about = _scratch(cells), listed[2]
    first, last = _first_of(about, begin), _first_of(about, end)
    for tile in range(cells.first.size):
        for e in range(first, last):
            if about[e, 0] == tile:
                _finished(listed, e, sums[e], ids, cells, by, rule, draw, scratch, out, counts)


@njit(nogil=True)
def _first_of(about, r):  # type: ignore[no-untyped-def]
    """The first read of row r of the batch, or of a later one."""
    low, high = 0, about.shape[0]
    while low < high:
        middle = (low + high) // 2
        if about[middle, 2] < r:
            low = middle + 1
        else:
            high = middle
    return low
