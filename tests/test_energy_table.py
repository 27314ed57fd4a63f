"""The table in docs/energy.md is that of the stored results."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.energy import MACROS, STEPS, table

ROOT = Path(__file__).parents[1]


def test_the_table_in_the_documentation_is_the_stored_one() -> None:
    rows = [json.loads(line) for line in (ROOT / "benchmarks" / "results" / "energy.jsonl").read_text().splitlines()]
    assert table(rows) in (ROOT / "docs" / "energy.md").read_text()
    measured = [row for row in rows if "network" in row]
    assert len(measured) == len(MACROS) * (len(STEPS) + 2) and all(
        r["low"] <= r["joules"] <= r["high"] for r in measured
    )
    by = {(r["macro"], r["network"]): r["joule_seconds"] for r in measured}
    assert all(8 <= by[macro, "SNN, T = 4"] / by[macro, "SNN, T = 1"] <= 16 for macro in MACROS)
