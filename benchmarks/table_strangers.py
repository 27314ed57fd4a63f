"""`python -m benchmarks.table_strangers`: the tables of docs/conversion-strangers.md, from the committed results."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.table import filled, results

PAGE = Path(__file__).parents[1] / "docs" / "conversion-strangers.md"
BARS = {("signed", 32): 0.3, ("levels", 4): 0.5, ("levels", 8): 0.2, ("binary", 32): 1.0, ("advanced", 32): 1.0}
"""Points that a network may lose, by recipe and T."""

Row = dict[str, Any]


def losses(rows: list[Row]) -> str:
    """One line per stranger, one column per recipe and T: points lost, paired standard error."""
    rows = [row for row in rows if row["most"] is None]
    plan = list(dict.fromkeys((row["recipe"], row["steps"]) for row in rows))
    head = [
        f"{recipe} {steps}" + (f" (≤ {BARS[recipe, steps]:g})" if (recipe, steps) in BARS else "")
        for recipe, steps in plan
    ]
    lines = []
    for name, mine in by_stranger(rows):
        found = {(row["recipe"], row["steps"]): row for row in mine}
        cells = [lost(found[key]) if key in found else "" for key in plan]
        lines.append([name, str(mine[0]["samples"]), f"{100 * mine[0]['ann_accuracy']:.2f} %", *cells])
    return markdown(["network", "samples", "ANN", *head], lines)


def oracles(rows: list[Row]) -> str:
    """`cos` beside the layer-synchronous closed form; early exit."""
    lines = []
    for name, mine in by_stranger([row for row in rows if row["most"] is None]):
        cos = next((row for row in mine if row["recipe"] == "cos"), None)
        early = next((row for row in mine if "early_drop_points" in row), None)
        offset = [f"{100 * cos['accuracy']:.2f} %", f"{100 * cos['oracle_accuracy']:.2f} %"] if cos else ["", ""]
        left = [""] * 3
        if early:
            gap = f"{early['early_drop_points'] + 0:.2f} ± {early['early_standard_error_points']:.2f}"
            left = [f"{100 * early['accuracy']:.2f} %", gap, f"{early['early_mean_steps']:.1f}"]
        lines.append([name, *offset, *left])
    head = ["network", "cos, T = 8 + 8", "oracle, T = 8", "signed, T = 32", "early exit loses", "mean T"]
    return markdown(head, lines)


def few_steps(rows: list[Row]) -> str:
    """Points lost at small T by `auto` and `signed` on the first test samples."""
    rows = [row for row in rows if row["most"] is not None]
    steps = sorted({row["steps"] for row in rows})
    lines = []
    for name, mine in by_stranger(rows):
        for recipe in ("auto", "signed"):
            found = {row["steps"]: row for row in mine if row["recipe"] == recipe}
            cells = [lost(found[t]) if t in found else "" for t in steps]
            lines.append([name, recipe, str(mine[0]["samples"]), *cells])
    return markdown(["network", "recipe", "samples", *(f"T = {t}" for t in steps)], lines)


def conversions(rows: list[Row]) -> str:
    """Seconds and memory of every recipe's conversion."""
    rows = [row for row in rows if row["name"] == "convert"]
    steps = sorted({row["steps"] for row in rows})
    lines = []
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        found = {row["steps"]: row for row in rows if row["recipe"] == recipe}
        cells = [
            f"{found[t]['seconds']:.1f} s, {found[t]['peak_mib'] / 1024:.2f} GiB" if t in found else "" for t in steps
        ]
        lines.append([recipe, *cells])
    return markdown(["recipe", *(f"T = {t}" for t in steps)], lines)


def runs(rows: list[Row]) -> str:
    """What a step costs in passes of the ANN."""
    lines = []
    for row in (row for row in rows if row["name"] == "run"):
        seconds = [f"{row[key]:.2f} s" for key in ("ann_pass_s", "snn_s")]
        lines.append([row["recipe"], str(row["threads"]), *seconds, f"{row['ann_passes_per_step']:.2f}"])
    return markdown(["recipe", "threads", "ANN pass", "run, T = 8", "ANN passes per step (≤ 3)"], lines)


def long_runs(rows: list[Row]) -> str:
    """Memory of runs of many steps."""
    lines = [
        [str(row["steps"]), f"{row['peak_before_mib']} MiB", f"{row['peak_mib']} MiB"]
        for row in rows
        if row["name"] == "memory"
    ]
    return markdown(["T", "before", "peak"], lines)


def exits(rows: list[Row]) -> str:
    """Early exit in seconds."""
    lines = []
    for row in (row for row in rows if row["name"] == "exit"):
        whole, early = (f"{100 * row[key]:.1f} %, {row[took]:.1f} s" for key, took in EXIT)
        lines.append(
            [str(row["threads"]), whole, early, f"{row['mean_steps']:.1f}", f"{row['whole_s'] / row['early_s']:.1f}"]
        )
    return markdown(["threads", "all 32 steps", "early exit", "mean T", "times as fast"], lines)


EXIT = (("accuracy", "whole_s"), ("early_accuracy", "early_s"))
"""Where a row has accuracy and seconds of the whole run and of the early one."""


def lost(row: Row) -> str:
    """Points lost ± paired standard error; what misses its bar in bold."""
    text = f"{row['drop_points'] + 0:.2f} ± {row['standard_error_points']:.2f}"
    return f"**{text}**" if row["drop_points"] > BARS.get((row["recipe"], row["steps"]), 100) else text


def by_stranger(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    """(name, its rows), in the order of the results."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["stranger"], []).append(row)
    return list(found.items())


def markdown(head: list[str], lines: list[list[str]]) -> str:
    """A table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))


TABLES: dict[str, tuple[str, Callable[[list[Row]], str]]] = {
    "losses": ("strangers", losses), "oracles": ("strangers", oracles), "few": ("strangers", few_steps),
    "conversions": ("conversion_cost", conversions), "runs": ("conversion_cost", runs),
    "long": ("conversion_cost", long_runs), "exits": ("conversion_cost", exits),
}  # fmt: skip
"""Marker in the page -> claim, what makes its table of the rows."""

if __name__ == "__main__":
    for marker, (claim, made) in TABLES.items():
        filled(PAGE, marker, made(results(claim)))
