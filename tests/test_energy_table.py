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
    path = ROOT / "benchmarks" / "results" / f"{claim}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def of(subject: str) -> list[dict[str, Any]]:
    return [row for row in stored("energy") if "network" in row and row["subject"] == subject]


MEASURED = [(subject, macro) for subject in STEPS for macro in MACROS]
LAGGING = pytest.mark.xfail(reason="frames through 14 layers: at T = 1 few spikes reach the later ones", strict=True)


@pytest.mark.parametrize("subject", STEPS)
def test_the_tables_in_the_documentation_are_the_stored_ones(subject: str) -> None:
    measured = of(subject)
    page = (ROOT / "docs" / "energy.md").read_text()
    assert table(measured, subject) in page and laws(stored("energy")) in page
    assert len(measured) == len(MACROS) * (len(STEPS[subject]) + 2)
    assert all(r["low"] <= r["joules"] <= r["high"] for r in measured)


@pytest.mark.parametrize(("subject", "macro"), MEASURED)
def test_gains_by_operations_are_larger_than_on_the_macro(subject: str, macro: str) -> None:
    """At every T."""
    spiking = [r for r in of(subject) if r["macro"] == macro and r["network"].startswith("SNN")]
    assert len(spiking) == len(STEPS[subject])
    assert all(r["gain_by_operations"] >= r["gain_on_macro"] for r in spiking)


@pytest.mark.parametrize(
    ("subject", "macro"), [pytest.param(*case, marks=[LAGGING] if case[0] == "resnet14" else []) for case in MEASURED]
)
def test_energy_times_delay_of_four_steps(subject: str, macro: str) -> None:
    """8 to 16 times that of one step."""
    by = {r["network"]: r["joule_seconds"] for r in of(subject) if r["macro"] == macro}
    assert 8 <= by["SNN, T = 4"] / by["SNN, T = 1"] <= 16


def test_the_table_of_repairs_is_the_stored_one() -> None:
    rows = stored("repair")
    assert repair.table(rows) in (ROOT / "docs" / "repair.md").read_text()
    assert {r["design"] for r in rows} == set(repair.DESIGNS) and all(r["chips"] >= 8 for r in rows)
