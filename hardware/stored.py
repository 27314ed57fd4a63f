"""Stored: the cells of one layer, array by array: what they aimed at, what they ended at, where they stand later.

Every array draws from its own key: (chip, layer, purpose, row tile, column tile). Purposes are "programming", "ageing"
and "faults"; each is started anew for every question, so that one chip keeps its cells, its drift exponents and its
faults whatever is asked of it and in whatever order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikesim.core.seeds import Seeds
from spikesim.errors import ParameterError, ShapeError, must

from .macro import Macro


@dataclass(frozen=True)
class Stored:
    """Cells (rows, columns), float32 siemens.

    targets      what they were programmed to; None for cells that were measured
    programmed   where they ended, before faults
    seeds        of the layer
    """

    targets: np.ndarray | None
    programmed: np.ndarray
    seeds: Seeds

    def conductances(self, macro: Macro, age: float = 0.0) -> np.ndarray:
        """(rows, columns) float32 siemens: what a read sees `age` seconds after programming, faults included."""
        aimed = self.programmed if self.targets is None else self.targets
        window = macro.device.g_min, macro.device.g_max

        def now(g: np.ndarray, target: np.ndarray, draw: Callable[[str], Any]) -> np.ndarray:
            later = macro.device.aged(g, age, draw("ageing"), target)
            return macro.device.seen(macro.faults.struck(later, window, draw("faults")), macro.v_read)

        return _by_array(now, macro, self.seeds, self.programmed, aimed)


def write(targets: np.ndarray, macro: Macro, seeds: Seeds) -> Stored:
    """Program targets (rows, columns; siemens) into arrays of `macro`. RangeError outside the device's window."""

    def programmed(target: np.ndarray, draw: Callable[[str], Any]) -> np.ndarray:
        return macro.device.programmed(target, draw("programming"))

    return Stored(targets.astype(np.float32), _by_array(programmed, macro, seeds, targets), seeds)


def from_measured(g: np.ndarray, shape: tuple[int, ...], seeds: Seeds, name: str) -> Stored:
    """Cells that were measured: g (rows, columns) in siemens. ShapeError, ParameterError where it cannot be that."""
    g = np.asarray(g, np.float64)
    if g.shape != shape:
        raise ShapeError(must(name, f"(rows, columns) = {shape}, columns 2o and 2o+1 of output o", g.shape))
    if not (np.isfinite(g) & (g >= 0)).all():
        raise ParameterError(must(name, "finite and at least 0 S", float(g[~(np.isfinite(g) & (g >= 0))].flat[0])))
    return Stored(None, g.astype(np.float32), seeds)


def _arrays(shape: tuple[int, ...], macro: Macro) -> Iterator[tuple[int, int, tuple[slice, slice]]]:
    """Row tile, column tile and place of every array."""
    for i, top in enumerate(range(0, shape[0], macro.rows)):
        for j, left in enumerate(range(0, shape[1], macro.columns)):
            yield i, j, (slice(top, top + macro.rows), slice(left, left + macro.columns))


def _by_array(change: Callable[..., np.ndarray], macro: Macro, seeds: Seeds, *cells: np.ndarray) -> np.ndarray:
    """`change(*parts, draw)` of every array's parts of `cells`, as float32; draw(purpose) starts its generator."""
    out = np.empty(cells[0].shape, np.float32)
    for i, j, place in _arrays(out.shape, macro):
        parts = (np.asarray(c[place], np.float64) for c in cells)
        out[place] = change(*parts, lambda purpose, i=i, j=j: seeds.child(purpose, i, j).generator())
    return out
