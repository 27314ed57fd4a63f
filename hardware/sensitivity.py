"""Sensitivity: accuracy, joules, seconds and area of a design as its numbers vary, one at a time or all combinations.

    found = hardware.sweep(network, test, "taox40-projected", vary={"read_noise": (0, 0.02, 0.1), "adc_bits": (4, 6, 8)})
    print(found); found.to_csv("sweep.csv"); found.figure().savefig("sweep.png")

Chip k of every point is deployed with the same seeds, reads the same samples, and fluctuates with the same draws: points are
paired, and `change` is the mean of the differences, chip by chip, to the macro as it is given. Where a value changes which
cells there are (the size of arrays), the draws of moved cells differ.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from spikesim.core.files import written
from spikesim.core.params import number
from spikesim.core.seeds import Seeds
from spikesim.datasets.base import ArrayDataset, EventDataset
from spikesim.errors import ParameterError, must
from spikesim.evaluation import evaluate
from spikesim.fingerprint import fingerprint
from spikesim.jobs import Kept, parallel_map
from spikesim.network import Network
from spikesim.statistics import mean_interval
from spikesim.units import si

from .deployment import deploy
from .energy import estimate, gathered
from .macro import Macro
from .presets import load_macro
from .study import OverChips
from .variation import Point, Setting, point

Vary = Mapping[str, Sequence[Setting]]
Data = EventDataset | ArrayDataset
COLUMNS = (
    "accuracy", "accuracy_low", "accuracy_high", "worst_chip_accuracy", "sampling_low", "sampling_high", "change",
    "change_low", "change_high", "energy_J", "latency_s", "area_mm2", "chips", "samples",
)  # fmt: skip
"""Columns of a sweep's CSV after those of the keys."""
PARTS = ("accuracy", "energy_J", "latency_s", "area_mm2", "samples", "warnings", "clipped")
"""What is kept of a chip's report."""


@dataclass(frozen=True)
class Work:
    """How points are run: chips each, steps, seeds; workers or a cluster; a folder that finished results stay in."""

    chips: int
    steps: int
    seeds: Seeds
    workers: int = 1
    cluster: str | None = None
    keep: Path | None = None
    advance: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        number("sweep.chips", self.chips, at_least=1, integer=True)
        number("sweep.steps", self.steps, at_least=1, integer=True, remedy="the number of time steps to simulate")


@dataclass(frozen=True)
class Sweep:
    """What a sweep found. `rows`: one dict per point, the macro as it is given first:

    label, settings {key: value}, age_s, chip_accuracy {n, mean, ci95, worst}, test_sampling {samples, ci95},
    change {mean, ci95} of accuracy against the first row, chip by chip; energy_J {total, by_component, by_layer},
    latency_s, area_mm2, yield, warnings
    """

    macro: str
    vary: Mapping[str, tuple[Setting, ...]]
    grid: bool
    steps: int
    samples: int
    ideal_accuracy: float
    rows: tuple[dict[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values for files."""
        vary = {key: list(values) for key, values in self.vary.items()}
        return {
            "macro": self.macro, "vary": vary, "grid": self.grid, "steps": self.steps, "samples": self.samples,
            "ideal_accuracy": self.ideal_accuracy, "paired": "chip k has the same seeds in every row", "rows": list(self.rows),
        }  # fmt: skip

    def to_csv(self, path: str | Path) -> Path:
        """One line per row: the keys' values ("" where as given), then COLUMNS. ArtefactError where that is not possible."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow([*self.vary, *COLUMNS])
        for row in self.rows:
            table.writerow([*(row["settings"].get(key, "") for key in self.vary), *_values(row)])
        with written(Path(path)) as temporary:
            temporary.write_text(text.getvalue())
        return Path(path)

    def figure(self) -> Any:
        """A matplotlib Figure: a panel per key, or what accuracy costs where all combinations were run."""
        from spikesim.report import sweep as drawn

        return drawn.pareto(self.to_json()) if self.grid else drawn.sensitivity(self.to_json())

    def __str__(self) -> str:
        head = (
            f"{self.macro}: {self.rows[0]['chip_accuracy']['n']} chips (the same in every row), {self.samples} samples"
        )
        return "\n".join(
            [f"{head}, T = {self.steps}; ideal network {100 * self.ideal_accuracy:.2f} %", *table(self.rows)]
        )


def table(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Rows as lines of text."""
    rows = list(rows)
    wide = max(len("design"), *(len(r["label"]) for r in rows))
    head = f"  {'design':<{wide}}  {'accuracy (95 % over chips)':<26} {'change, chip by chip':<24}"
    lines = [f"{head} {'energy':>8} {'latency':>8} {'mm²':>8}"]
    for row in rows:
        chips, change = row["chip_accuracy"], row["change"]
        ends = "one chip" if chips["n"] == 1 else "{:.1f} to {:.1f}".format(*(100 * v for v in chips["ci95"]))
        moved = f"{100 * change['mean']:+.2f}"
        if change["ci95"] is not None:
            moved += " ({:+.2f} to {:+.2f})".format(*(100 * v for v in change["ci95"]))
        costs = f"{si(row['energy_J']['total'], 'J'):>9} {si(row['latency_s'], 's'):>8} {row['area_mm2']:>8.3g}"
        lines.append(f"  {row['label']:<{wide}}  {100 * chips['mean']:6.2f} % {f'({ends})':<17} {moved:<24}{costs}")
    return lines


def _values(row: dict[str, Any]) -> list[Any]:
    chips, change, sampling = row["chip_accuracy"], row["change"], row["test_sampling"]
    return [
        chips["mean"], *chips["ci95"], chips["worst"], *sampling["ci95"], change["mean"], *(change["ci95"] or ("", "")),
        row["energy_J"]["total"], row["latency_s"], row["area_mm2"], chips["n"], sampling["samples"],
    ]  # fmt: skip


def sweep(
    network: Network, data: Data | Any, macro: Macro | str | Path, *, vary: Vary, chips: int = 4, steps: int | None = None,
    seeds: Seeds | None = None, grid: bool = False, workers: int = 1, cluster: str | None = None,
    keep: Path | None = None, advance: Callable[[], None] = lambda: None,
) -> Sweep:  # fmt: skip
    """Run `chips` chips of a design at every value of `vary`, each key alone with the others as given, or as a `grid`.

    data      a data set, (x, y) arrays, or batches of them
    vary      {key: values}; keys as in the macro's file ("device.read_noise") or by name (`hardware.variation`)
    steps     time steps; None takes those the network is bound to
    workers, cluster   as in `jobs.parallel_map`; results do not depend on them
    keep      a folder for finished chips: an interrupted sweep goes on from there, a longer one uses what it can
    advance   called after each finished chip
    Raises ParameterError for keys that are not known, with the nearest, and for values out of range, before anything runs.
    """
    data = data if isinstance(data, (EventDataset, ArrayDataset)) else gathered(data)
    macro = macro if isinstance(macro, Macro) else load_macro(macro)
    bound: Any = network.conversion.steps if steps is None and network.conversion is not None else steps
    work = Work(chips, bound, seeds if seeds is not None else Seeds(), workers, cluster, keep, advance)
    checked = checked_values(vary)
    ideal, rows = measured(network, data, points(macro, checked, grid), work)
    return Sweep(macro.name, checked, grid, work.steps, len(data), ideal, tuple(rows))


def checked_values(vary: Vary) -> dict[str, tuple[Setting, ...]]:
    """Keys with their values, each once. ParameterError where there are none."""
    if not vary or not all(len(tuple(values)) for values in vary.values()):
        raise ParameterError(must("sweep.vary", "keys with at least one value each", dict(vary), "like adc_bits=4,6,8"))
    return {key: tuple(dict.fromkeys(values)) for key, values in vary.items()}


def points(macro: Macro, vary: Mapping[str, Sequence[Setting]], grid: bool) -> list[Point]:
    """The macro as it is, then every point. ParameterError as in `point`."""
    if grid:
        settings: Iterable[dict[str, Setting]] = (dict(zip(vary, combined)) for combined in product(*vary.values()))
    else:
        settings = ({key: value} for key, values in vary.items() for value in values)
    return [point(macro, {}), *(point(macro, each) for each in settings)]


def run_point(
    network: Network, data: Data, macro: Macro | None, age: float, index: int, steps: int, seeds: Seeds
) -> dict[str, Any]:  # fmt: skip
    """One chip of one point, as a job; no macro: the ideal network."""
    if macro is None:
        of = network.bound(steps) if isinstance(data, EventDataset) else network
        return {"accuracy": evaluate(of, data, steps=steps).accuracy}
    chip = deploy(network, macro, seeds=seeds.child("chip", index))
    chip = chip.aged(age) if age else chip
    report = estimate(chip, data, steps=steps, beside=False).to_json()
    return {key: report[key] for key in PARTS}


def measured(
    network: Network, data: Data, designs: Sequence[Point], work: Work
) -> tuple[float, list[dict[str, Any]]]:  # fmt: skip
    """The ideal network's accuracy, and a row per design; all chips of all designs are jobs side by side."""
    kept = None
    if work.keep is not None:
        key = fingerprint(network=network, data=data, seeds=work.seeds, steps=work.steps)
        kept = Kept(work.keep, key)
    found = parallel_map(
        run_point, _tasks(designs, work), shared=(network, data), workers=work.workers, cluster=work.cluster,
        kept=kept, names=None if kept is None else _names(designs, work),
    )  # fmt: skip
    ideal = next(found)["accuracy"]
    work.advance()
    rows, base = [], list[float]()
    for design in designs:
        together = OverChips()
        for _ in range(work.chips):
            together.add({**next(found), "ideal_accuracy": ideal})
            work.advance()
        base = base or together.accuracies
        rows.append(_row(design, together, base))
    return ideal, rows


def _tasks(designs: Sequence[Point], work: Work) -> Iterator[tuple[Any, ...]]:
    yield None, 0.0, 0, work.steps, work.seeds
    yield from ((d.macro, d.age, k, work.steps, work.seeds) for d in designs for k in range(work.chips))


def _names(designs: Sequence[Point], work: Work) -> Iterator[str]:
    yield "ideal"
    for design in designs:
        key = fingerprint(macro=design.macro, age=design.age)
        yield from (f"{key}-chip-{k}" for k in range(work.chips))


def _row(design: Point, together: OverChips, base: Sequence[float]) -> dict[str, Any]:
    report, change = together.report(), [a - b for a, b in zip(together.accuracies, base)]
    ends = mean_interval(change)
    return {
        "label": design.label, "settings": dict(design.settings), "age_s": design.age, **together.statistics(),
        "change": {"mean": sum(change) / len(change), "ci95": ends and [max(-1.0, ends[0]), min(1.0, ends[1])]},
        **{key: report[key] for key in ("energy_J", "latency_s", "area_mm2", "clipped", "warnings")},
    }  # fmt: skip
