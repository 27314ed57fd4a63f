"""Figures of sweeps and searches. Each takes plain values (`Sweep.to_json`, `Search.to_json`) and returns a Figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from .figures import ACCENT, INK, PALE, SECOND

Rows = Sequence[Mapping[str, Any]]


ACROSS = 4
"""Keys side by side; more stand below."""


def sensitivity(sweep: Mapping[str, Any]) -> Figure:
    """Two panels per key: accuracy with its interval over chips above, joules per inference below, against the values."""
    keys, given = list(sweep["vary"]), sweep["rows"][0]
    across, down = min(len(keys), ACROSS), -(-len(keys) // ACROSS)
    figure = Figure(figsize=(1.2 + 2.6 * across, 4.6 * down), layout="constrained", dpi=130)
    axes = figure.subplots(2 * down, across, sharey="row", squeeze=False)
    for i, key in enumerate(keys):
        above, below = axes[2 * (i // ACROSS) : 2 * (i // ACROSS) + 2, i % ACROSS]
        _panels(above, below, sweep, key)
        if i % ACROSS == 0:
            above.set_ylabel("accuracy (%)")
            below.set_ylabel("energy per inference (J)")
    axes[0, 0].legend(frameon=False, fontsize=7)
    for i in range(len(keys), across * down):
        for axis in axes[2 * (i // ACROSS) : 2 * (i // ACROSS) + 2, i % ACROSS]:
            axis.set_axis_off()
    chips = given["chip_accuracy"]["n"]
    figure.suptitle(f"{sweep['macro']}, T = {sweep['steps']}, {chips} chips, {sweep['samples']} samples", fontsize=9)
    return figure


def _panels(above: Any, below: Any, sweep: Mapping[str, Any], key: str) -> None:
    given = sweep["rows"][0]
    rows = [row for row in sweep["rows"] if key in row["settings"]]
    x, labels = _places([row["settings"][key] for row in rows])
    mean, spread = _accuracies(rows)
    above.axhline(100 * sweep["ideal_accuracy"], color=SECOND, linestyle="--", linewidth=1, label="ideal network")
    above.axhline(100 * given["chip_accuracy"]["mean"], color=PALE, linewidth=1, label="macro as given")
    above.errorbar(x, mean, yerr=spread, marker="o", markersize=4, color=ACCENT, capsize=3, label="95 % over chips")
    below.axhline(given["energy_J"]["total"], color=PALE, linewidth=1)
    below.plot(x, [row["energy_J"]["total"] for row in rows], marker="o", markersize=4, color=INK)
    above.set_xticks(x, [""] * len(x))
    below.set_xticks(x, labels, rotation=30, ha="right", fontsize=8)
    below.set_xlabel(key.replace("_", " "))
    for axis in (above, below):
        axis.set_xlim(-0.5, len(x) - 0.5)
        axis.spines[["top", "right"]].set_visible(False)


def pareto(sweep: Mapping[str, Any], search: Mapping[str, Any] | None = None) -> Figure:
    """Accuracy of every design against its energy and its area; with a search also the front, the limit and what it chose."""
    figure = Figure(figsize=(10.4, 4.2), layout="constrained", dpi=130)
    rows, ideal = sweep["rows"], sweep["ideal_accuracy"]
    for axis, (name, unit) in zip(figure.subplots(1, 2, sharey=True), (("energy_J", "J"), ("area_mm2", "mm²"))):
        axis.spines[["top", "right"]].set_visible(False)
        costs = [_cost(row, name) for row in rows]
        mean, spread = _accuracies(rows)
        axis.errorbar(costs, mean, yerr=spread, fmt="o", markersize=4, color=ACCENT, elinewidth=0.6, label="designs")
        axis.axhline(100 * ideal, color=SECOND, linestyle="--", linewidth=1, label="ideal network")
        axis.set_xlabel(f"{'energy per inference' if name == 'energy_J' else 'area'} ({unit})")
        if min(costs) > 0 and max(costs) > 8 * min(costs):
            axis.set_xscale("log")
        if search is not None:
            _searched(axis, rows, costs, search, name == "energy_J", ideal)
        axis.legend(frameon=False, fontsize=7, loc="lower right")
        if name == "energy_J":
            axis.set_ylabel("accuracy (%)")
    figure.suptitle(f"{sweep['macro']}, T = {sweep['steps']}, {sweep['samples']} samples that choose", fontsize=9)
    return figure


def _searched(
    axis: Any, rows: Rows, costs: Sequence[float], search: Mapping[str, Any], is_energy: bool, ideal: float
) -> None:
    axis.axhline(100 * (ideal - search["within"]), color=SECOND, linestyle=":", linewidth=1, label="least accepted")
    if is_energy:
        front = search["front"]
        steps = [costs[i] for i in front], [100 * rows[i]["chip_accuracy"]["mean"] for i in front]
        axis.step(*steps, where="post", color=INK, linewidth=1, label="front")
    at = {row["label"]: (cost, 100 * row["chip_accuracy"]["mean"]) for row, cost in zip(rows, costs)}
    together: dict[tuple[float, float], list[str]] = {}
    for label in dict.fromkeys(chosen["label"] for chosen in search["chosen"].values()):
        together.setdefault(at[label], []).append(label)
    for (cost, accuracy), labels in together.items():
        axis.scatter(cost, accuracy, s=70, facecolor="none", edgecolor=SECOND, zorder=3)
        side, shift = ("left", 6) if cost <= (min(costs) + max(costs)) / 2 else ("right", -6)
        options = {"xytext": (shift, -8), "ha": side, "va": "top", "fontsize": 7}
        axis.annotate("\n".join(labels), (cost, accuracy), textcoords="offset points", **options)


def _cost(row: Mapping[str, Any], name: str) -> float:
    return float(row["energy_J"]["total"] if name == "energy_J" else row[name])


def _accuracies(rows: Rows) -> tuple[list[float], list[list[float]] | None]:
    """Means and the distances to both ends of their intervals, in percent; no ends where chips are single."""
    chips = [row["chip_accuracy"] for row in rows]
    mean = [100 * c["mean"] for c in chips]
    if any(c["n"] < 2 for c in chips):
        return mean, None
    ends = [[100 * (c["mean"] - c["ci95"][0]) for c in chips], [100 * (c["ci95"][1] - c["mean"]) for c in chips]]
    return mean, [[max(v, 0.0) for v in side] for side in ends]


def _places(values: Sequence[float | str]) -> tuple[list[float], list[str]]:
    """Where values stand on an axis: evenly, in their order; and their labels."""
    return [float(i) for i in range(len(values))], [v if isinstance(v, str) else f"{v:g}" for v in values]
