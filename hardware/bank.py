"""Bank: the cells of one layer as reads see them, with the converters of their columns, ready for the kernels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from spikesim.core.seeds import Seeds
from spikesim.core.simd import LANES, aligned

from ._convert import PAD, Converters, Decoding
from ._read import Cells, pair_table
from .macro import Macro
from .mappings.base import Laid
from .placement import Placement

FLOAT = np.float32


@dataclass(frozen=True, eq=False)
class Periphery:
    """Converters of a layer, by row tile and converted column (rows: row tiles).

    gain, offset (codes)   (row tiles, n);   capacitors (row tiles, bits or 0, n), codes
    """

    gain: np.ndarray
    offset: np.ndarray
    capacitors: np.ndarray


@dataclass(frozen=True, eq=False)
class Bank:
    """Cells of one layer, arrays after arrays.

    g, sd       (lines, columns) float32 siemens: conductance of each cell in a read, and how much a read fluctuates
    laid        how weights stand in them (its targets are not kept);   placement  where
    lsb         (row tiles, n) float32 siemens per code of each converted column; 0 where currents are not converted
    periphery   the converters of this chip
    """

    macro: Macro
    g: np.ndarray
    sd: np.ndarray
    laid: Laid
    placement: Placement
    lsb: np.ndarray
    periphery: Periphery

    @property
    def converted(self) -> int:
        """Columns that are converted in a read of all of a layer's columns."""
        return self.lsb.shape[1]

    @cached_property
    def weights(self) -> np.ndarray:
        """(rows, outputs of a group) float64: the weights that the cells stand for, before noise and conversion."""
        place, mapping = self.placement, self.macro.mapping
        cells = place.by_row(self.g)[:, place.order].astype(np.float64)
        n = place.outputs * mapping.cells
        stacked = cells[:, :n].reshape(len(cells), mapping.cells, place.outputs).transpose(0, 2, 1)
        total = stacked @ np.asarray(self.laid.weights) + self.laid.shift
        if mapping.referenced:
            total -= self.laid.reference_weight * cells[:, n:][:, place.reference]
        return self.laid.scale * total

    @cached_property
    def kernel_cells(self) -> Cells:
        """What `_read.read_kernel` sums."""
        g, variance = self.columns
        padded = -(-g.shape[1] // PAD) * PAD
        parts = [np.pad(p, ((0, 0), (0, padded - g.shape[1]))) for p in ((g, variance) if variance.any() else (g,))]
        table, first = pair_table(np.concatenate(parts, 1), self.placement.rows)
        blocks = aligned(-(-table.shape[1] // LANES), len(table), LANES)
        for at in range(0, table.shape[1], LANES):
            part = table[:, at : at + LANES]
            blocks[at // LANES, :, : part.shape[1]] = part
        return Cells(
            blocks, first, g.shape[1], padded, len(parts) == 2, self.placement.rows, self.placement.tile, self.placement.first,
            self._nanosiemens(),
        )  # fmt: skip

    @cached_property
    def columns(self) -> tuple[np.ndarray, np.ndarray]:
        """Conductances and variances (rows, converted columns) in the order of `_convert`, currents subtracted if so."""
        g, sd = self.placement.by_row(self.g), self.placement.by_row(self.sd)
        return self.ordered(g), self.ordered(sd * sd, -1)

    def ordered(self, cells: np.ndarray, subtracted: int = 1) -> np.ndarray:
        """Values of cells (n, columns) as those of converted columns (n, converted), in the order of `_convert`.

        subtracted   1: subtract the second of a pair where the mapping does, -1: add it
        """
        found = cells[:, self.placement.order]
        if not self.macro.mapping.subtracts:
            return found
        pairs = found.reshape(len(found), -1, 2, self.placement.outputs)
        return (pairs[:, :, 0] - subtracted * pairs[:, :, 1]).reshape(len(found), -1)

    @cached_property
    def converters(self) -> Converters:
        """The converters as `_convert` takes them."""
        missing, adc, lsb = -self.converted % PAD, self.macro.adc, self.lsb
        low, top = adc.codes(self.macro.mapping.subtracts)

        def wide(values: np.ndarray, fill: float) -> np.ndarray:
            room = [(0, 0)] * (values.ndim - 1) + [(0, missing)]
            return np.ascontiguousarray(np.pad(values.astype(FLOAT), room, constant_values=fill))

        per = np.divide(1, lsb, out=np.zeros_like(lsb), where=lsb > 0)
        gain, offset, variance = self.periphery.gain, self.periphery.offset * lsb, (adc.noise * lsb) ** 2
        return Converters(
            wide(lsb, 0.0), wide(per, 0.0), wide(gain, 0.0), wide(offset, 0.0), wide(variance, 0.0),
            wide(self.periphery.capacitors, 1.0), FLOAT(low), FLOAT(top),
        )  # fmt: skip

    @cached_property
    def decoding(self) -> Decoding:
        """How codes become outputs, in siemens."""
        weights = self.laid.weights[0::2] if self.macro.mapping.subtracts else self.laid.weights
        laid = self.laid
        return Decoding(
            np.array(weights, FLOAT), self.placement.reference, FLOAT(laid.reference_weight), FLOAT(laid.shift)
        )

    @property
    def fluctuates(self) -> bool:
        """Whether two reads of the same rows differ."""
        return self.kernel_cells.fluctuate or bool(self.macro.adc.noise and self.lsb.any())

    def _nanosiemens(self) -> np.ndarray:
        """(rows, column tiles) int64: each row's conductance in a column tile, in nanosiemens."""
        edges, g = self.placement.columns, self.placement.by_row(self.g)
        parts = [g[:, a:b].sum(1, dtype=np.float64) for a, b in pairwise(edges)]
        return np.rint(np.stack(parts, 1) * 1e9).astype(np.int64)

    def calibrated(self, largest: np.ndarray) -> Bank:
        """With converter ranges for the largest currents (row tiles, converted columns; siemens) expected."""
        limit = self.macro.i_max / self.macro.v_read if self.macro.i_max else np.inf
        adc = self.macro.adc
        shared = largest if adc.per_column else np.broadcast_to(largest.max(1, keepdims=True), largest.shape)
        return replace(self, lsb=adc.lsb(np.minimum(shared, limit / adc.headroom), self.macro.mapping.subtracts))

    def all_rows(self) -> np.ndarray:
        """(row tiles, converted columns): the current with every row of an array driven, the most there can be."""
        g, edges = self.columns[0], self.placement.rows
        parts = [g[a:b] for a, b in pairwise(edges)]
        sums = [np.maximum(np.maximum(p, 0).sum(0), np.maximum(-p, 0).sum(0)) for p in parts]
        return np.array(sums, FLOAT)


def drawn_periphery(macro: Macro, placement: Placement, seeds: Seeds) -> Periphery:
    """The converters of a layer's arrays: `columns_per_converter` neighbours share one; each array draws its own."""
    mapping, sides = macro.mapping, 2 if macro.mapping.subtracts else 1
    n = len(placement.order) // sides
    rows = placement.tiles[0]
    gain, offset = np.ones((rows, n), FLOAT), np.zeros((rows, n), FLOAT)
    capacitors = np.zeros((rows, 0, n), FLOAT)
    taken = placement.order[: placement.outputs * mapping.cells].reshape(mapping.cells, -1)[::sides].ravel()
    taken = np.concatenate([taken, placement.order[placement.outputs * mapping.cells :]])
    for i, j, (_, columns) in placement.arrays():
        mine = np.flatnonzero((taken >= columns.start) & (taken < columns.stop))
        size = (columns.stop - columns.start) // sides
        count = -(-size // macro.columns_per_converter)
        found = macro.adc.drawn(count, size, seeds.child("converters", i, j).generator())
        at = (taken[mine] - columns.start) // sides
        at = at if len(found.gain) == size else at // macro.columns_per_converter
        gain[i, mine], offset[i, mine] = found.gain[at], found.offset[at]
        if found.capacitors.shape[1]:
            if not capacitors.shape[1]:
                capacitors = np.zeros((rows, found.capacitors.shape[1], n), FLOAT)
            capacitors[i][:, mine] = found.capacitors[at].T
    return Periphery(gain, offset, capacitors)
