"""Wires of an array: resistances, and the exact currents they leave, driven or gated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spikesim.core.params import check
from spikesim.errors import ParameterError, ShapeError, must

from .effective import effective
from .ladder import Ladder, batched, checked
from .line import read_kernel

SWEEPS = 100_000
"""No read needs as many: an end to a loop whose tolerance rounding keeps out of reach."""


class Solution(NamedTuple):
    """A read in full: currents (batch, columns) amperes; word, bit (batch, rows, columns) volts at the cells."""

    currents: np.ndarray
    word: np.ndarray
    bit: np.ndarray


@dataclass(frozen=True)
class Wires:
    """Resistances (ohm, 0 to inf): a word-line segment, a bit-line segment, and what sources and senses add to theirs.

    A source meets its first cell, and the last cell its sense amplifier, through one segment each (the convention of
    badcrossbar). tolerance: of single reads, see `line`: a bound on the summed error of the column currents, relative
    to the summed currents of the cells without word-line drop. Raises ParameterError.
    """

    r_word: float
    r_bit: float
    r_source: float = 0.0
    r_sense: float = 0.0
    tolerance: float = 1e-11

    def __post_init__(self) -> None:
        for name in ("r_word", "r_bit", "r_source", "r_sense"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
                raise ParameterError(must(f"Wires.{name}", "a resistance of at least 0 ohm (inf is open)", value))
        check(self, "tolerance", at_least=1e-14, at_most=1e-2)

    @property
    def ideal(self) -> bool:
        """Whether there is no resistance at all."""
        return not (self.r_word or self.r_bit or self.r_source or self.r_sense)

    def effective(self, g: np.ndarray) -> np.ndarray:
        """(rows, columns) siemens: I = V^T G_eff for any V at the driven rows, exactly, at the cost of an ideal product.

        g (rows, columns) siemens, 0 (open) and inf (shorted) included. Once per programmed array; with m the shorter
        and n the longer side about n (7/3 m^3 + n m^2) operations and (m n + 3 m^2) numbers of memory.
        Raises ParameterError where the network has no solution.
        """
        return effective(self._ladder(checked(g)))

    def currents(self, g: np.ndarray, v: np.ndarray) -> np.ndarray:
        """(batch, columns) amperes for row potentials v (batch, rows) or (rows,) volts; every row is driven.

        Each read is solved alone, from the same start: the result depends on neither batch nor thread. Cost: a dozen
        sweeps over the array (more where wires take most of the voltage). With r_word or r_bit 0, by `effective`.
        """
        g = checked(g)
        v = batched("Wires.v", v, g.shape[0])
        if not self._resistive():
            return v @ effective(self._ladder(g))
        return self._read(g, v, None, False).currents

    def solve(self, g: np.ndarray, v: np.ndarray, start: Solution | None = None) -> Solution:
        """Currents and all node potentials; r_word and r_bit must be above 0 and all resistances finite.

        start: the solution of a similar read (an aged array, another chip) to begin with. Memory is batch x array.
        """
        g = checked(g)
        if not self._resistive():
            raise ParameterError(must("Wires", "resistive in both lines where potentials are asked for", repr(self),
                                      "use currents or effective"))  # fmt: skip
        return self._read(g, batched("Wires.v", v, g.shape[0]), start, True)

    def gated_currents(self, g: np.ndarray, active: np.ndarray, v: np.ndarray | float) -> np.ndarray:
        """(batch, columns) amperes where only `active` rows are connected: the cells of the others are open.

        active (batch, rows) bool; v a number or (batch, rows) volts. The network depends on the pattern, so there is
        no matrix; cost and memory follow the number of active rows. A read without any gives 0.
        """
        g = checked(g)
        active = np.atleast_2d(np.asarray(active))
        if active.dtype != bool or active.ndim != 2 or active.shape[1] != g.shape[0]:
            rule = f"booleans (batch, {g.shape[0]})"
            raise ShapeError(must("Wires.active", rule, f"{active.dtype} {active.shape}"))
        v = np.broadcast_to(np.asarray(v, np.float64), active.shape) if np.ndim(v) == 0 else v
        v = batched("Wires.v", np.asarray(v), g.shape[0])
        if v.shape != active.shape:
            raise ShapeError(must("Wires.v", f"a number or {active.shape}", str(v.shape)))
        ladder = self._ladder(g)
        if not ladder.carries():
            return np.zeros((len(v), g.shape[1]))
        currents = np.zeros((len(v), g.shape[1]))
        if not self._resistive():
            for s, rows in enumerate(map(np.flatnonzero, active)):
                if len(rows):
                    currents[s] = v[s, rows] @ effective(ladder.only(rows))
            return currents
        return self._read(g, v, None, False, active).currents

    def _ladder(self, g: np.ndarray) -> Ladder:
        along, below = np.full(g.shape[1], float(self.r_word)), np.full(g.shape[0], float(self.r_bit))
        along[0] += self.r_source
        below[-1] += self.r_sense
        return Ladder(g, along, below)

    def _resistive(self) -> bool:
        """Whether the line solver applies: both wires resistive, nothing infinite."""
        return self.r_word > 0 and self.r_bit > 0 and math.isfinite(
            self.r_word + self.r_bit + self.r_source + self.r_sense
        )  # fmt: skip

    def _read(
        self, g: np.ndarray, v: np.ndarray, start: Solution | None, fields: bool, active: np.ndarray | None = None
    ) -> Solution:
        shape, ladder = (len(v), *g.shape), self._ladder(g)
        if start is not None and np.shape(start.word) != shape:
            raise ShapeError(must("Wires.start", f"a solution of shape {shape}", str(np.shape(start.word))))
        # One empty read stands for "no start" and for "no fields": the kernel then never looks at it.
        begin = np.empty((1, 0, shape[2])) if start is None else np.array(start.word, np.float64, order="C")
        word, bit = (np.empty(shape if fields else (1, 0, shape[2])) for _ in range(2))
        rows, gated = (np.zeros((len(v), 0), bool), False) if active is None else (np.array(active, order="C"), True)
        currents, missing = np.empty((shape[0], shape[2])), np.empty(len(v))
        read_kernel(
            *ladder, v, rows, gated, begin, self.tolerance, SWEEPS, fields, currents, word, bit, missing
        )  # fmt: skip
        return Solution(self._reached(currents, missing), word, bit)

    def _reached(self, currents: np.ndarray, missing: np.ndarray) -> np.ndarray:
        worst = float(missing.max(initial=0.0))
        if not worst <= self.tolerance:
            raise ParameterError(must("Wires.tolerance", "within reach of rounding for this array", f"{worst:.1e} left",
                                      "use effective, or a larger tolerance"))  # fmt: skip
        return currents
