"""How rows without input are treated, and what wires do: ideal, driven or gated. A choice a design makes by name.

    Ideal           no wire resistance: I = V^T G
    Driven(wires)   every row is driven, rows without input to 0 V: I = V^T G_eff, one matrix for all inputs
    Gated(wires)    rows without input are disconnected (their cells' transistors are off): a network per pattern

Rows held at 0 V take current back out of the bit lines, disconnected rows do not: the same spikes lose more current
driven than gated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .ladder import batched, checked
from .wires import Wires

LOSS_LIMIT = 0.05
"""Share of column current lost to wires above which a design deserves a warning."""


class Drive:
    """Abstract: one way to drive an array. Subclasses are frozen dataclasses."""

    def matrix(self, g: np.ndarray) -> np.ndarray | None:
        """(rows, columns) siemens with I = V^T matrix for every V, or None where the network depends on the input."""
        raise NotImplementedError

    def currents(self, g: np.ndarray, v: np.ndarray) -> np.ndarray:
        """(batch, columns) amperes for row potentials v (batch, rows) volts; 0 V is a row without input."""
        raise NotImplementedError

    def reader(self, g: np.ndarray, reads: int = 1) -> Callable[[np.ndarray], np.ndarray]:
        """v (batch, rows) -> currents (batch, columns), the cheaper way for about `reads` reads of this array in all.

        The matrix where there is one and reads are more than the array's shorter side, else single reads: Monte-Carlo
        over arrays that are read a few times each never pays for an elimination. Both agree within Wires.tolerance.
        """
        matrix = self.matrix(g) if reads > min(np.shape(g)) else None
        if matrix is None:
            return lambda v: self.currents(g, v)
        return lambda v: batched("Drive.v", v, matrix.shape[0]) @ matrix

    def ir_loss(self, g: np.ndarray, v: np.ndarray) -> float:
        """Share of the ideal column currents that wires lose over the reads v; see `lost` and LOSS_LIMIT."""
        g = checked(g)
        v = batched("Drive.v", v, g.shape[0])
        with np.errstate(invalid="ignore"):
            return lost(self.currents(g, v), v @ g)


def lost(currents: np.ndarray, ideal: np.ndarray) -> float:
    """1 - sum |currents| / sum |ideal|: relative loss of column current over all columns and reads; 0 without current.

    Where a shorted cell makes an ideal current infinite it is 1.
    """
    total = float(np.abs(ideal).sum())
    if not np.isfinite(total):
        return 1.0
    return 1.0 - float(np.abs(currents).sum()) / total if total > 0 else 0.0


@dataclass(frozen=True)
class Ideal(Drive):
    """No wire resistance: the matrix is g. A shorted cell is refused, it would join two ideal terminals."""

    def matrix(self, g: np.ndarray) -> np.ndarray | None:
        return Wires(0.0, 0.0).effective(g)

    def currents(self, g: np.ndarray, v: np.ndarray) -> np.ndarray:
        return Wires(0.0, 0.0).currents(g, v)


@dataclass(frozen=True)
class Driven(Drive):
    """Every row driven. matrix costs an elimination once per programmed array, currents a line solve per read:
    the matrix pays where an array is read many times, the line solver in Monte-Carlo over arrays (docs/wires.md)."""

    wires: Wires

    def matrix(self, g: np.ndarray) -> np.ndarray | None:
        return self.wires.effective(g)

    def currents(self, g: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self.wires.currents(g, v)


@dataclass(frozen=True)
class Gated(Drive):
    """Rows at 0 V disconnected (event-driven 1T1R). No matrix; currents cost what the active rows cost."""

    wires: Wires

    def matrix(self, g: np.ndarray) -> np.ndarray | None:
        return None

    def currents(self, g: np.ndarray, v: np.ndarray) -> np.ndarray:
        v = batched("Gated.v", v, np.shape(g)[0])
        return self.wires.gated_currents(g, v != 0, v)
