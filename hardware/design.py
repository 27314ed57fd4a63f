"""Design-space search: which design costs least, or asks least, of those that keep the accuracy of the ideal network.

Every combination of the values is run on the samples that choose. Kept are the designs whose mean accuracy over chips is
within so many points of the ideal network's on the same samples. Of these are chosen, for each key, the design at its
hardest value (fewest bits, largest array, most noise; the cheaper one where several have it), and those of least energy and
of least area. Only these are then run on the samples that test, and reported as they are there: the best of many on one
set of samples is lucky on it, and nothing is chosen twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spikesim.core.params import number
from spikesim.core.seeds import Seeds
from spikesim.errors import DatasetError, SpikesimError, must
from spikesim.units import measure

from .macro import Macro
from .presets import load_macro
from .sensitivity import Data, Sweep, Vary, Work, checked_values, measured, points, table
from .variation import LARGEST, hardest

COSTS = ("energy_J", "area_mm2", "latency_s")


@dataclass(frozen=True)
class Search:
    """What a search found.

    within    accuracy that a design may lose against the ideal network (a share)
    designs   all combinations, on the samples that chose
    chosen    {reason: row of `tested`}: "least adc_bits", "largest array", "least energy_J", ...; empty where none is within
    tested    the chosen designs on the samples that test, the macro as it is given first
    ideal_accuracy   of the ideal network on the samples that test
    """

    within: float
    designs: Sweep
    chosen: dict[str, int]
    tested: tuple[dict[str, Any], ...]
    ideal_accuracy: float

    def to_json(self) -> dict[str, Any]:
        """Plain values for files."""
        return {
            "within": self.within, "designs": self.designs.to_json(), "tested": list(self.tested),
            "ideal_accuracy": self.ideal_accuracy, "samples": self.tested[0]["test_sampling"]["samples"],
            "chosen": {reason: {"row": at, "label": self.tested[at]["label"]} for reason, at in self.chosen.items()},
            "front": front(self.designs.rows),
        }  # fmt: skip

    def figure(self) -> Any:
        """A matplotlib Figure: what accuracy costs, the front and the chosen designs."""
        from spikesim.report import sweep as drawn

        return drawn.pareto(self.designs.to_json(), self.to_json())

    def __str__(self) -> str:
        designs, points = self.designs, 100 * self.within
        kept = sum(is_within(row, designs.ideal_accuracy, self.within) for row in designs.rows)
        lines = [
            f"{kept} of {len(designs.rows)} designs are within {points:g} points of the ideal network "
            f"({100 * designs.ideal_accuracy:.2f} %) on the {designs.samples} samples that choose"
        ]
        lines += [f"  {reason}: {self.tested[at]['label']}" for reason, at in self.chosen.items()]
        samples = self.tested[0]["test_sampling"]["samples"]
        lines.append(f"the same designs on {samples} other samples; ideal network {100 * self.ideal_accuracy:.2f} %")
        return "\n".join([*lines, *table(self.tested)])


def search(
    network: Any, choose: Data, test: Data, macro: Macro | str | Path, *, vary: Vary, within: float = 0.01,
    chips: int = 4, steps: int | None = None, seeds: Seeds | None = None, **options: Any,
) -> Search:  # fmt: skip
    """Search the combinations of `vary` on the samples of `choose`; report what was chosen on those of `test`.

    within    accuracy that may be lost against the ideal network, as a share: 0.01 is one point
    options   workers, cluster, keep, advance, as of `hardware.sweep`
    Raises what `hardware.sweep` raises, and DatasetError where both sets share samples.
    """
    number("search.within", within, at_least=0, at_most=1)
    _check_apart(choose, test)
    macro = macro if isinstance(macro, Macro) else load_macro(macro)
    bound: Any = network.conversion.steps if steps is None and network.conversion is not None else steps
    work = Work(chips, bound, seeds if seeds is not None else Seeds(), **options)
    checked = checked_values(vary)
    designs = points(macro, checked, grid=True)
    ideal, rows = measured(network, choose, designs, work)
    found = Sweep(macro.name, checked, True, work.steps, len(choose), ideal, tuple(rows))
    reasons = picked(rows, list(checked), ideal, within)
    wanted = list(dict.fromkeys([0, *reasons.values()]))
    ideal, tested = measured(network, test, [designs[i] for i in wanted], work)
    return Search(within, found, {r: wanted.index(i) for r, i in reasons.items()}, tuple(tested), ideal)


def _check_apart(choose: Data, test: Data) -> None:
    """DatasetError where samples of one set of data are in both parts."""
    both = np.intersect1d(choose.sample_ids, test.sample_ids) if choose.name == test.name else np.zeros(0)
    if len(both):
        rule, got = "other samples than those that choose", f"{len(both)} that are in both"
        raise DatasetError(must("search.test", rule, got, "hardware.design.halves makes two parts"))


def is_within(row: dict[str, Any], ideal: float, within: float) -> bool:
    """Whether a row's mean accuracy is at least that of the ideal network less `within`."""
    return bool(row["chip_accuracy"]["mean"] >= ideal - within - 1e-12)


def picked(rows: Sequence[dict[str, Any]], keys: Sequence[str], ideal: float, within: float) -> dict[str, int]:
    """{reason: number of the row that is chosen for it}, of the rows that are within; see above."""
    good = [i for i, row in enumerate(rows) if is_within(row, ideal, within)]
    if not good:
        return {}
    found = {}
    for key in keys:
        end = hardest(key)
        known = [i for i in good if _is_number(rows[i]["settings"].get(key))]
        if end and known:
            sign = -1 if end == LARGEST else 1
            found[f"{end} {key}"] = min(known, key=lambda i: (sign * _value(rows[i]["settings"][key]), _cost(rows[i])))
    return found | {f"least {name}": min(good, key=lambda i: _cost(rows[i], name)) for name in COSTS[:2]}


def front(rows: Sequence[dict[str, Any]], cost: str = "energy_J") -> list[int]:
    """Numbers of the rows that no other beats in accuracy and cost, by rising cost."""
    best, found = -np.inf, []
    for i in sorted(range(len(rows)), key=lambda i: (_cost(rows[i], cost)[0], -rows[i]["chip_accuracy"]["mean"])):
        if rows[i]["chip_accuracy"]["mean"] > best:
            best = rows[i]["chip_accuracy"]["mean"]
            found.append(i)
    return found


def halves(data: Data, seed: int = 0) -> tuple[Data, Data]:
    """Two parts of a data set with equal shares of each class: one to choose on, one to test."""
    first, second = data.folds(2, seed)[0]
    return data.subset(first), data.subset(second)


def _cost(row: dict[str, Any], first: str = "energy_J") -> tuple[float, ...]:
    """What a row costs, `first` before the others."""
    costs = {"energy_J": row["energy_J"]["total"], "area_mm2": row["area_mm2"], "latency_s": row["latency_s"]}
    return (costs.pop(first), *costs.values())


def _is_number(setting: Any) -> bool:
    try:
        _value(setting)
    except (SpikesimError, TypeError):
        return False
    return True


def _value(setting: Any) -> float:
    """A setting as a number, whatever its unit."""
    return measure(setting)
