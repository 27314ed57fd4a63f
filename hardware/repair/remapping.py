"""Fault-aware remapping: the same weights programmed again, around the cells that a test of the chip found stuck.

    cells     a stuck cell's weight is put right by the other cells of its output, as far as their window goes
    rows      a row tile's rows change lines (linear assignment), so that stuck cells meet weights they hurt least
    outputs   outputs change columns within their column tile, for the same reason

What a place costs is the expected squared error of the outputs, sum p_i (w - w_stuck)^2, p_i the mean square of input i on the
calibration inputs. Input lines and codes are addressed digitally, so permutations cost nothing in use; all row tiles of a layer
share that of the outputs. Cells of a reference column are not moved.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from spikesim.errors import ParameterError, must

from .._dense import unrolled
from ..bank import drawn_periphery
from ..calibration import Calibration
from ..chips import Chip
from ..crossbar import Crossbar
from ..deployment import layer_rows, ranged, reaching
from ..macro import Macro
from ..mappings.base import Laid
from ..placement import Placement, physical
from ..stored import write
from .base import Way, corrected

CHUNK = 2**22
"""Values of a table of errors that is made at a time."""


@dataclass(frozen=True)
class Remapping(Way):
    """What is allowed: cells, rows, outputs, see the module; rounds of rows after outputs."""

    cells: bool = True
    rows: bool = True
    outputs: bool = True
    rounds: int = 2
    programs: ClassVar[bool] = True

    def applied(self, chip: Chip, shown: Calibration) -> Chip:
        struck = {n: c for n, c in chip.crossbars.items() if not np.isnan(c.stored.stuck(chip.macro)).all()}
        if not struck:
            return chip
        if chip.age:
            remedy = "repair it before it ages: all cells are programmed again"
            raise ParameterError(must("Remapping.chip.age", "0 s", f"{chip.age:g} s", remedy))
        inputs, changes = reaching(chip.source, list(struck), shown), {}
        for name, crossbar in struck.items():
            if crossbar.stored.targets is None:
                rule = "a chip whose cells can be programmed again"
                raise ParameterError(must("Remapping.chip", rule, f"measured cells in {name}"))
            layer: Any = chip.source.node(name)
            weights = layer_rows(
                layer.weight.detach().numpy().astype(np.float64), crossbar.groups, crossbar.patches.by_pixel
            )
            changes[name] = self._programmed(crossbar, weights, power(inputs[name], crossbar))
        return ranged(corrected(chip, shown, changes), shown)[0]

    def _programmed(self, crossbar: Crossbar, weights: np.ndarray, p: np.ndarray) -> dict[str, Any]:
        macro, stored, old = crossbar.macro, crossbar.stored, crossbar.bank.placement
        laid, stuck = macro.mapping.lay(weights, macro.device.g_min, macro.device.g_max), stored.stuck(macro)
        place = self._arranged(laid, stuck, old, macro, p)
        if self.cells:
            here = _of_outputs(place.by_row(stuck), place, laid)
            laid = replace(laid, targets=compensated(laid.targets, here, laid, macro))
        written = write(physical(laid, place), macro, place, stored.seeds)
        g, sd = written.seen(macro)
        small = replace(laid, targets=laid.targets[:0], reference=None)
        periphery = drawn_periphery(macro, place, stored.seeds)
        bank = replace(crossbar.bank, g=g, sd=sd, laid=small, placement=place, periphery=periphery)
        return {"bank": bank, "stored": written}

    def _arranged(self, laid: Laid, stuck: np.ndarray, old: Placement, macro: Macro, p: np.ndarray) -> Placement:
        """Where rows and outputs stand: assignments in turn, each given the other."""
        n, k = old.outputs, laid.targets.shape[2]
        columns = old.order[: n * k].reshape(k, n)  # of the k cells of each slot; outputs take slots
        slots, lines = np.arange(n), np.arange(len(laid.targets))
        for _ in range(self.rounds):
            if self.rows:
                for a, b in zip(old.rows[:-1], old.rows[1:]):
                    at = stuck[a:b][:, columns[:, slots]].transpose(0, 2, 1)
                    cost = self._costs(laid.targets[a:b], at, laid, macro) * p[a:b, None]
                    lines[a:b] = a + linear_sum_assignment(cost)[1]
            if self.outputs:
                of = np.searchsorted(old.columns, columns[0], side="right")
                for tile in np.unique(of):
                    here = np.flatnonzero(of == tile)
                    at = stuck[lines][:, columns[:, here]].transpose(2, 0, 1)
                    aimed = laid.targets[:, here].transpose(1, 0, 2)
                    cost = self._costs(aimed, at, laid, macro, p)
                    slots[here] = here[linear_sum_assignment(cost)[1]]
        order = np.concatenate([columns[:, slots].ravel(), old.order[n * k :]])
        return replace(old, order=order, lines=lines)

    def _costs(
        self, aimed: np.ndarray, stuck: np.ndarray, laid: Laid, macro: Macro, p: np.ndarray | None = None
    ) -> np.ndarray:  # fmt: skip
        """cost (things, places): the squared error of thing i, cells aimed[i] (m, K), where cells stuck[q] (m, K) are.

        p (m,)   weights of the m entries; None: all 1
        """
        cost = np.zeros((len(aimed), len(stuck)))
        faulty = ~np.isnan(stuck).all(2)
        place, entry = np.nonzero(faulty)
        step = max(1, CHUNK // max(len(aimed) * aimed.shape[2], 1))
        for begin in range(0, len(place), step):
            q, m = place[begin : begin + step], entry[begin : begin + step]
            wanted, fixed = aimed[:, m], np.broadcast_to(stuck[q, m], aimed[:, m].shape)
            cells = compensated(wanted, fixed, laid, macro) if self.cells else wanted
            cells = np.where(np.isnan(fixed), cells, fixed)
            error = np.square((cells - wanted) @ np.asarray(laid.weights))
            np.add.at(cost.T, q, (error if p is None else error * p[m]).T)
        return cost


def compensated(targets: np.ndarray, stuck: np.ndarray, laid: Laid, macro: Macro) -> np.ndarray:
    """Targets (..., K) changed where other cells of the same output and row are stuck (siemens; NaN: not stuck): what these
    are wrong by is given to the cells that are left, those of the largest digits first, within the window and on its levels."""
    mapping, (low, high) = macro.mapping, (macro.device.g_min, macro.device.g_max)
    weights, found = np.asarray(laid.weights), targets.copy()
    at = np.nonzero(~np.isnan(stuck).all(-1))
    fixed, cells = stuck[at], targets[at]
    free, wanted = np.isnan(fixed), targets[at] @ weights
    left = wanted - np.where(free, cells, fixed) @ weights
    spacing = (high - low) / (2**mapping.cell_bits - 1) if mapping.cell_bits else 0.0
    for k in np.argsort(-np.abs(weights), kind="stable"):
        moved = np.clip(cells[:, k] + left / weights[k], low, high)
        if spacing:
            moved = low + spacing * np.rint((moved - low) / spacing)
        moved = np.where(free[:, k], moved, cells[:, k])
        left = left - (moved - cells[:, k]) * weights[k]
        cells[:, k] = moved
    found[at] = cells
    return found


def _of_outputs(values: np.ndarray, place: Placement, laid: Laid) -> np.ndarray:
    """Values of cells (rows, columns) as (rows, outputs, K)."""
    k = laid.targets.shape[2]
    return values[:, place.order[: place.outputs * k]].reshape(len(values), k, place.outputs).transpose(0, 2, 1)


def power(x: torch.Tensor, crossbar: Crossbar) -> np.ndarray:
    """(rows,) mean square of every row's input on x (T, B, *in_shape)."""
    found = [unrolled(step.float(), crossbar.patches).square().mean((0, 1)).double() for step in x]
    return torch.stack(found).mean(0).numpy()
