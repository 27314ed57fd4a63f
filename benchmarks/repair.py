"""What ways to repair give, in points: the demo's network on eight chips of each of five designs that need it, seed 0.

    python -m benchmarks repair            # a stopped run goes on
    python -m benchmarks.repair            # puts the table into docs/repair.md

Trains the demo's network on the embedded recordings (a minute); the first 198 test recordings at T = 8, each chip with and
without. Calibration is the 32 training recordings that conversion kept; fine-tuning has all training recordings and their
labels. Nothing is chosen on test recordings: options are the defaults.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import spikesim as ss
from benchmarks.energy import digits
from benchmarks.harness import RESULTS, resumed
from benchmarks.table import filled
from spikesim import hardware
from spikesim.datasets import load
from spikesim.hardware.converters.uniform import ADC
from spikesim.hardware.macro import Macro
from spikesim.hardware.repair.base import Way
from spikesim.training import RasterBatches

STEPS, CHIPS, SAMPLES = 8, 8, 198
DAY = 86_400.0


def _base() -> Macro:
    return hardware.load_macro("taox40-projected")


FAULTY, SPREAD, COARSE = "a tenth of cells stuck", "programming error 30 %", "converters of 5 bits"
DESIGNS: dict[str, tuple[Callable[[], Macro], float]] = {
    SPREAD: (lambda: _base().varied(device=replace(_base().device, programming_error=0.3)), 0.0),
    "converters: offsets 3 codes, gains 10 %": (lambda: _base().varied(adc=ADC(8, offset_sd=3.0, gain_sd=0.1)), 0.0),
    FAULTY: (lambda: hardware.load_macro("taox40-projected", faults="immature"), 0.0),
    COARSE: (lambda: _base().varied(adc=ADC(5)), 0.0),
    "cells of wan2022, a day old": (lambda: hardware.load_macro("wan2022"), DAY),
}
"""Design -> macro, seconds after programming."""

WAYS: dict[str, tuple[Way, ...]] = {
    "ranges": (hardware.Ranges(),),
    "offsets": (hardware.Offsets(),),
    "statistics": (hardware.Statistics(),),
}
REMAPPING: dict[str, tuple[Way, ...]] = {
    "remapping": (hardware.Remapping(),),
    "remapping, ranges, statistics": (hardware.Remapping(), hardware.Ranges(), hardware.Statistics()),
}
"""Further, where cells are stuck."""


def tuning() -> Way:
    """Two epochs of all training recordings. The default rate was chosen on a sixth of them."""
    data: Any = load("digits")
    return hardware.FineTuning(RasterBatches(data.part("train"), STEPS, 32), steps=STEPS)


TUNED = (SPREAD,)
"""Designs for which networks are tuned."""


@cache
def subject() -> tuple[ss.Network, Any]:
    """The demo's network and its test recordings."""
    return digits()


def measure() -> list[dict[str, Any]]:
    """Rows {design, name, chips, samples, before, after, points, over_chips, over_samples, standard_error_points}."""
    cases = [{"design": design} for design in DESIGNS] + [{"design": design, "tuned": True} for design in TUNED]
    return [row for found in resumed("repair", cases, rows_of) for row in found["rows"]]


def rows_of(case: dict[str, Any]) -> dict[str, Any]:
    """Several ways on the chips of one design."""
    (network, test), (macro, age), design = subject(), DESIGNS[case["design"]], case["design"]
    ways = {**WAYS, **(REMAPPING if design == FAULTY else {})}
    if case.get("tuned"):
        ways = {"fine-tuning": (tuning(),), "fine-tuning, statistics": (tuning(), hardware.Statistics())}
    found = hardware.gains(
        network, macro(), test.subset(range(SAMPLES)), ways, chips=CHIPS, steps=STEPS, seeds=ss.Seeds(0), age=age
    )
    for gain in found:
        print(design, gain, flush=True)
    return {
        "rows": [
            {"design": design, **asdict(g), "standard_error_points": g.standard_error, "steps": STEPS} for g in found
        ]
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The results as the table of docs/repair.md."""
    lines = ["| chips | without | way | with | gain, points |", "| --- | --- | --- | --- | --- |"]
    for r in sorted(rows, key=lambda r: list(DESIGNS).index(r["design"])):
        gain = f"{r['points']:+.2f} ± {r['standard_error_points']:.2f}"
        lines.append(f"| {r['design']} | {100 * r['before']:.2f} % | {r['name']} | {100 * r['after']:.2f} % | {gain} |")
    return "\n".join(lines)


if __name__ == "__main__":
    stored = [json.loads(line) for line in (RESULTS / "repair.jsonl").read_text().splitlines()]
    filled(Path(__file__).parents[1] / "docs" / "repair.md", "repair", table(stored))
