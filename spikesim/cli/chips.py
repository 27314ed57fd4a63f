"""Chips of a study: one chip as a job, and the statistics over chips that every verb prints in the same form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def one_chip(
    network: Any, data: Any, macro: str, index: int, steps: int, seeds: Any, board: str = ""
) -> dict[str, Any]:
    """Deploy chip number `index`, run the data through it, price the run (on `board` too). JSON values only.

    The first chip also runs the ideal network, which is the same for all, and gives its report's rows.
    """
    from spikesim import hardware

    design = hardware.load_macro(macro)
    chip = hardware.deploy(network, design, seeds=seeds.child("chip", index))
    report = hardware.estimate(chip, data, steps=steps, beside=index == 0)
    found = {"accuracy": report.accuracy, "text": str(report), "report": report.to_json()}
    if index == 0:
        found["rows"] = list(report.rows())
    if board:
        found["board_J"] = hardware.price(report.ledger, hardware.load_macro(board), steps=steps).energy_J["total"]
    return found


def compared(network: Any, data: Any, macro: str, steps: list[int], seeds: Any) -> dict[str, Any]:
    """The first chip's spiking network at several T beside its ANN: rows, and in words which costs less."""
    from spikesim import hardware

    chip = hardware.deploy(network, hardware.load_macro(macro), seeds=seeds.child("chip", 0))
    found = hardware.compare(chip, data, steps=steps)
    return {"rows": found.rows(), "verdicts": found.verdicts(), "text": str(found)}


def chip_accuracy(accuracies: list[float]) -> dict[str, Any]:
    """{n, mean, ci95: [low, high], worst}: a t-interval over chips, clipped to 0..1."""
    from scipy.stats import t as student

    values = np.asarray(accuracies)
    mean, n = float(values.mean()), len(values)
    half = float(student.ppf(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n)) if n > 1 else 0.0
    return {"n": n, "mean": mean, "ci95": [max(0.0, mean - half), min(1.0, mean + half)], "worst": float(values.min())}


OVER_CHIPS = ("energy_J", "latency_s", "area_mm2", "timing", "tree", "assumed", "clipped")
"""What is averaged over chips; the rest is the same for all, or known of the first alone."""


def averaged(found: list[dict[str, Any]]) -> dict[str, Any]:
    """A report's plain values, averaged over chips where they differ."""
    reports = [f["report"] for f in found]
    means = {key: _mean([r[key] for r in reports]) for key in OVER_CHIPS}
    total = max(means["energy_J"]["total"], 1e-300)
    efficiency = {name: count / total / 1e12 for name, count in reports[0]["operations"].items()}
    return {**reports[0], **means, "tops_per_watt": efficiency}


def _mean(values: list[Any]) -> Any:
    """Mean of numbers, entry by entry through dicts and lists of one form; anything else is the first's."""
    first = values[0]
    if isinstance(first, dict):
        return {key: _mean([v[key] for v in values if key in v]) for key in first}
    if isinstance(first, list) and all(len(v) == len(first) for v in values):
        return [_mean(list(entry)) for entry in zip(*values)]
    return float(np.mean(values)) if isinstance(first, (int, float)) and not isinstance(first, bool) else first
