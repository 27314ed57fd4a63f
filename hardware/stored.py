"""Stored: the cells of one layer, array by array: what they aimed at, what they ended at, where they stand later.

Every array draws from its own key: (chip, layer, purpose, row tile, column tile). Purposes are "programming", "ageing"
and "faults"; each is started anew for every question, so that one chip keeps its cells, its drift exponents and its
faults whatever is asked of it and in whatever order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikesim.core.seeds import Seeds
from spikesim.errors import ParameterError, ShapeError, must

from .macro import Macro
from .placement import Placement
from .wires import Ideal


@dataclass(frozen=True)
class Stored:
    """Cells (rows, columns), float32 siemens.

    targets      what they were programmed to; None for cells that were measured
    programmed   where they ended, before faults
    placement    where they stand
    seeds        of the layer
    """

    targets: np.ndarray | None
    programmed: np.ndarray
    placement: Placement
    seeds: Seeds

    def seen(self, macro: Macro, age: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """(rows, columns) float32 siemens each: what a read sees `age` seconds after programming, and its standard deviation.

        Faults, conduction at the read voltage and the resistance of driven wires included. Through wires the
        fluctuation of a cell is taken to shrink as its share of the current does.
        """
        g, sd = np.empty_like(self.programmed), np.empty_like(self.programmed)
        for i, j, place in self.placement.arrays():
            g[place], sd[place] = self._array(macro, age, i, j, place)
        return g, sd

    def bare(self, macro: Macro, age: float = 0.0) -> np.ndarray:
        """(rows, columns) float32 siemens: conductances as in `seen`, but with ideal wires."""
        return self.seen(macro.varied(wires=Ideal()), age)[0]

    def stuck(self, macro: Macro) -> np.ndarray:
        """(lines, columns) siemens: where cells stand that do not move whatever is programmed; NaN for all others. What a
        test that writes both ends of the window and reads them finds."""
        found = np.full(self.programmed.shape, np.nan)
        window = macro.device.g_min, macro.device.g_max
        for i, j, place in self.placement.arrays():
            low, high = (
                macro.faults.struck(
                    np.full(found[place].shape, end), window, self.seeds.child("faults", i, j).generator()
                )
                for end in (-1.0, -2.0)
            )
            found[place] = np.where(low == high, low, np.nan)
        return found

    def _array(
        self, macro: Macro, age: float, i: int, j: int, place: tuple[slice, slice]
    ) -> tuple[np.ndarray, np.ndarray]:
        aimed = self.programmed if self.targets is None else self.targets
        start, target = self.programmed[place].astype(np.float64), aimed[place].astype(np.float64)
        window = macro.device.g_min, macro.device.g_max
        now = macro.device.aged(start, age, self.seeds.child("ageing", i, j).generator(), target)
        now = macro.faults.struck(now, window, self.seeds.child("faults", i, j).generator())
        g = macro.device.seen(now, macro.v_read)
        sd = macro.device.read_sd(g, age, start)
        matrix = None if isinstance(macro.wires, Ideal) else macro.wires.matrix(g)
        if matrix is None:
            return g, sd
        return matrix, sd * np.divide(matrix, g, out=np.zeros_like(g), where=g > 0)


def write(targets: np.ndarray, macro: Macro, placement: Placement, seeds: Seeds) -> Stored:
    """Program targets (rows, columns; siemens) into arrays of `macro`. RangeError outside the device's window."""
    programmed = np.empty(targets.shape, np.float32)
    for i, j, place in placement.arrays():
        generator = seeds.child("programming", i, j).generator()
        programmed[place] = macro.device.programmed(targets[place].astype(np.float64), generator)
    return Stored(targets.astype(np.float32), programmed, placement, seeds)


def from_measured(g: np.ndarray, shape: tuple[int, ...], placement: Placement, seeds: Seeds, name: str) -> Stored:
    """Cells that were measured: g (rows, columns) in siemens. ShapeError, ParameterError where it cannot be that."""
    g = np.asarray(g, np.float64)
    if g.shape != shape:
        raise ShapeError(must(name, f"(rows, columns) = {shape}, the cells of an output side by side", g.shape))
    if not (np.isfinite(g) & (g >= 0)).all():
        raise ParameterError(must(name, "finite and at least 0 S", float(g[~(np.isfinite(g) & (g >= 0))].flat[0])))
    return Stored(None, g.astype(np.float32), placement, seeds)
