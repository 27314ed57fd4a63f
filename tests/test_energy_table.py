"""The tables in docs/energy.md and docs/repair.md are those of the stored results, and what these say of the laws."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import repair
from benchmarks.energy import MACROS, STEPS, laws, table

ROOT = Path(__file__).parents[1]


def stored(claim: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (ROOT / "benchmarks" / "results" / f"{claim}.jsonl").read_text().splitlines()]


def of(subject: str) -> list[dict[str, Any]]:
    return [row for row in stored("energy") if "network" in row and row["subject"] == subject]


@pytest.mark.parametrize("subject", STEPS)
def test_the_tables_in_the_documentation_are_the_stored_ones(subject: str) -> None:
    measured = of(subject)
    page = (ROOT / "docs" / "energy.md").read_text()
    assert table(measured, subject) in page and laws(stored("energy")) in page
    assert len(measured) == len(MACROS) * (len(STEPS[subject]) + 2)
    assert all(r["low"] <= r["joules"] <= r["high"] for r in measured)


@pytest.mark.parametrize("subject", STEPS)
@pytest.mark.parametrize("macro", MACROS)
def test_laws_of_three_networks(subject: str, macro: str) -> None:
    """The gain by operations is at least that on the macro at every T; energy times delay grows 8 to 16 fold from T = 1 to 4."""
    spiking = {r["network"]: r for r in of(subject) if r["macro"] == macro and "gain_on_macro" in r}
    assert len(spiking) == len(STEPS[subject])
    assert all(r["gain_by_operations"] >= r["gain_on_macro"] for r in spiking.values())
    assert 8 <= spiking["SNN, T = 4"]["joule_seconds"] / spiking["SNN, T = 1"]["joule_seconds"] <= 16


def test_the_table_of_repairs_is_the_stored_one() -> None:
    rows = stored("repair")
    assert repair.table(rows) in (ROOT / "docs" / "repair.md").read_text()
    assert {r["design"] for r in rows} == set(repair.DESIGNS) and all(r["chips"] >= 8 for r in rows)
