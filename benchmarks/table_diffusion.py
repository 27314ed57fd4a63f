"""`python -m benchmarks.table_diffusion`: tables of docs/diffusion.md, from results `diffusion.jsonl`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.table import filled, results
from benchmarks.table_strangers import markdown

PAGE = Path(__file__).parents[1] / "docs" / "diffusion.md"
Row = dict[str, Any]


def sets(rows: list[Row]) -> str:
    """A line per set of pictures, and one of real ones: what the same figures say of them."""
    lines, found = [], [row for row in rows if "set" in row]
    for row in found:
        q = row["quality"]
        sure, classes, near = q["sure"], q["classes"]["sampled"], q["neighbours"]
        lines.append(
            [
                named(row, row["set"]), str(q["samples"]), interval(q["frechet"]), interval(q["kernel"], 3),
                percent(sure["sampled"]["share"]),
                f"{sure['sampled']['share'] / sure['real']['share']:.2f}", number(classes["factor"], 1), percent(near["nearer"]),
            ]
        )  # fmt: skip
    for row in found[:1]:  # the same real pictures for all
        q = row["quality"]
        sure, classes = q["sure"], q["classes"]["real"]
        lines.append(
            [
                "real test digits", str(q["samples"]), interval(q["frechet_floor"]), interval(q["kernel_floor"], 3),
                percent(sure["real"]["share"]), "1", number(classes["factor"], 1), "5.0 %",
            ]
        )  # fmt: skip
        lines.append(["blends of two digits", "", "", "", percent(sure["blends"]["share"]), "", "", ""])
        lines.append(["noise", "", "", "", percent(sure["noise"]["share"]), "", "", ""])
    head = [
        "pictures",
        "n",
        "Fréchet",
        "kernel",
        "sure of a class",
        "of the ceiling",
        "most / least class",
        "near copies",
    ]
    return markdown(head, lines)


def pairs(rows: list[Row]) -> str:
    """A line per pair: distances, their ratio, the difference."""
    lines = []
    for row in (row for row in rows if "a" in row):
        c = row["compared"]
        low, high = c["ci95"]
        verdict = (
            "yes" if c["differs"] else "no" if c["needed"] is None else f"no; about {c['needed']:.0f} would show it"
        )
        lines.append(
            [
                named(row, f"{row['a']}, {row['b']}"), str(row["samples"]), f"{c['a']:.1f}, {c['b']:.1f}", f"{c['a'] / c['b']:.2f}",
                f"{c['difference']:+.2f} [{low:+.2f}, {high:+.2f}]", verdict,
            ]
        )  # fmt: skip
    head = ["first, second", "n", "Fréchet", "ratio", "first - second", "interval excludes 0"]
    return markdown(head, lines)


def named(row: Row, name: str) -> str:
    """With the training seed, where it is not the first."""
    return f"{name} (seed {row['seed']})" if row["seed"] else name


def interval(found: Row, digits: int = 1) -> str:
    """value [low, high]"""
    spread = "" if found["ci95"] is None else f" [{found['ci95'][0]:.{digits}f}, {found['ci95'][1]:.{digits}f}]"
    return f"{found['value']:.{digits}f}{spread}"


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def number(value: float | None, digits: int) -> str:
    return "a class is missing" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    found = results("diffusion")
    filled(PAGE, "sets", sets(found))
    filled(PAGE, "pairs", pairs(found))
