"""`python -m benchmarks.table_zoo`: what headroom does to errors and slopes, for docs/conversion.md, from the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.table import filled, results
from benchmarks.table_strangers import markdown

PAGE = Path(__file__).parents[1] / "docs" / "conversion.md"
SHOWN, BAR = ("4", "8", "16", "32", "64", "256", "1024"), -0.9
"""T of the columns; the slope that is asked for."""


def table(rows: list[dict[str, Any]]) -> str:
    """One line per factor: slopes, and errors beside those of factor 1."""
    base = {_pair(row): row["relative_error"] for row in rows if row["factor"] == 1}
    lines = []
    for factor in dict.fromkeys(row["factor"] for row in rows):
        mine = [row for row in rows if row["factor"] == factor]
        slopes = [row["slope"] for row in mine]
        ratios = [_ratio(mine, base, t) for t in SHOWN]
        steep = f"{sum(slope <= BAR for slope in slopes)} of {len(slopes)}"
        lines.append([f"{factor:g}", f"{np.mean(slopes):.2f}", f"{max(slopes):.2f}", steep, *ratios])
    return markdown(["f", "mean slope", "worst", f"≤ {BAR}", *(f"T = {t}" for t in SHOWN)], lines)


def _pair(row: dict[str, Any]) -> tuple[str, str]:
    return row["network"], row["weights"]


def _ratio(rows: list[dict[str, Any]], base: dict[Any, dict[str, float]], steps: str) -> str:
    """Geometric mean over networks of the error beside that of factor 1."""
    return f"{np.exp(np.mean([np.log(row['relative_error'][steps] / base[_pair(row)][steps]) for row in rows])):.2f}"


if __name__ == "__main__":
    filled(PAGE, "headroom", table(results("headroom")))
