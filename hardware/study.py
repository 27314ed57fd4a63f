"""Chips of a design as jobs, and what they give together: means, intervals, yield, the worst one. Results are JSON values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from spikesim.core.seeds import Seeds
from spikesim.network import Network
from spikesim.statistics import chip_accuracy, mean_interval, wilson, yields

from .comparison import compare
from .deployment import deploy
from .energy import estimate, price
from .macro import Macro

OVER_CHIPS = ("energy_J", "latency_s", "area_mm2", "timing", "tree", "assumed", "clipped")
"""What is averaged over chips; the rest is the same for all, or known of the first alone."""
POINT = 0.01
"""One point of accuracy: the yield that is always given counts chips within it of the ideal network."""


def one_chip(
    network: Network, data: Any, macro: Macro, index: int, steps: int, seeds: Seeds, board: Macro | None = None
) -> dict[str, Any]:  # fmt: skip
    """Deploy chip number `index`, run the data through it, price the run (on `board` too).

    The first chip also runs the ideal network, which is the same for all, and gives its report's rows.
    """
    chip = deploy(network, macro, seeds=seeds.child("chip", index))
    report = estimate(chip, data, steps=steps, beside=index == 0)
    found: dict[str, Any] = {"accuracy": report.accuracy, "report": report.to_json()}
    if index == 0:
        found |= {"text": str(report), "rows": list(report.rows())}
    if board is not None:
        found["board_J"] = price(report.ledger, board, steps=steps).energy_J["total"]
    return found


def compared(network: Network, data: Any, macro: Macro, steps: Sequence[int], seeds: Seeds) -> dict[str, Any]:
    """The first chip's spiking network at several T beside its ANN: rows, and in words which costs less."""
    chip = deploy(network, macro, seeds=seeds.child("chip", 0))
    found = compare(chip, data, steps=steps)
    return {"rows": found.rows(), "verdicts": found.verdicts(), "text": str(found)}


@dataclass
class OverChips:
    """Reports of chips, added up one at a time: of each chip only its accuracy and its joules are remembered."""

    accuracies: list[float] = field(default_factory=list)
    joules: list[float] = field(default_factory=list)
    first: dict[str, Any] = field(default_factory=dict)
    sums: dict[str, Any] = field(default_factory=dict)

    def add(self, report: dict[str, Any]) -> None:
        """One more chip: `EnergyReport.to_json()`, or a part of it with accuracy, energy_J and samples."""
        self.accuracies.append(report["accuracy"])
        self.joules.append(report["energy_J"]["total"])
        own = {key: report[key] for key in OVER_CHIPS if key in report}
        self.first, self.sums = self.first or report, _plus(self.sums, own)

    def report(self) -> dict[str, Any]:
        """A report's plain values, averaged over chips where they differ."""
        means = _over(self.sums, len(self.accuracies))
        found = {**self.first, **means}
        if "operations" in found:
            total = max(means["energy_J"]["total"], 1e-300)
            found["tops_per_watt"] = {name: count / total / 1e12 for name, count in found["operations"].items()}
        return found

    def statistics(self, at: Iterable[float] = ()) -> dict[str, Any]:
        """How sure the means are.

        chip_accuracy   {n, mean, ci95, worst}: interval over chips      worst_chip   its number
        chip_energy_J   {n, mean, ci95, worst}: of the total; ci95 is null for one chip
        test_sampling   {samples, ci95}: Wilson, what other test samples would give the same chips
        yield           [{accuracy, chips, share, ci95}] at each accuracy of `at`, and at one point below the ideal network
        """
        accuracy, ideal = chip_accuracy(self.accuracies), self.first.get("ideal_accuracy")
        levels = [*at, *([max(0.0, ideal - POINT)] if ideal is not None else [])]
        return {
            "chip_accuracy": accuracy, "worst_chip": self.accuracies.index(accuracy["worst"]),
            "chip_energy_J": {
                "n": len(self.joules), "mean": self.report()["energy_J"]["total"], "ci95": mean_interval(self.joules),
                "worst": max(self.joules),
            },
            "test_sampling": {
                "samples": self.first["samples"], "ci95": wilson(accuracy["mean"], self.first["samples"]),
            },
            "yield": yields(self.accuracies, dict.fromkeys(levels)),
        }  # fmt: skip


def averaged(found: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What several `one_chip` gave as one report."""
    together = OverChips()
    for each in found:
        together.add(each["report"])
    return together.report()


def _plus(total: Any, more: Any) -> Any:
    """Sum of numbers, entry by entry through dicts and lists of one form; anything else is the first's. A key that only
    some have counts as 0 in the others."""
    if isinstance(more, dict) and isinstance(total, dict):
        joined = {key: _plus(value, more[key]) if key in more else value for key, value in total.items()}
        return joined | {key: value for key, value in more.items() if key not in total}
    if isinstance(more, list) and isinstance(total, list) and len(more) == len(total):
        return [_plus(a, b) for a, b in zip(total, more)]
    return total + more if _is_number(total) and _is_number(more) else total


def _over(total: Any, n: int) -> Any:
    """Every number divided by n."""
    if isinstance(total, dict):
        return {key: _over(value, n) for key, value in total.items()}
    if isinstance(total, list):
        return [_over(value, n) for value in total]
    return total / n if _is_number(total) else total


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
