"""Chips of a study: one chip as a job, and the statistics over chips that every verb prints in the same form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def one_chip(
    network: Any, data: Any, macro: str, index: int, steps: int, seeds: Any, board: str = ""
) -> dict[str, Any]:
    """Deploy chip number `index`, run the data through it, price the run (on `board` too). JSON values only."""
    from spikesim import hardware

    design = hardware.load_macro(macro)
    chip = hardware.deploy(network, design, seeds=seeds.child("chip", index))
    report = hardware.estimate(chip, data, steps=steps, beside=index == 0)  # the ideal network is the same for all
    found = {"accuracy": report.accuracy, "text": str(report), "report": report.to_json()}
    if board:
        found["board_J"] = hardware.price(report.ledger, hardware.load_macro(board)).energy_J["total"]
    return found


def chip_accuracy(accuracies: list[float]) -> dict[str, Any]:
    """{n, mean, ci95: [low, high], worst}: a t-interval over chips, clipped to 0..1."""
    from scipy.stats import t as student

    values = np.asarray(accuracies)
    mean, n = float(values.mean()), len(values)
    half = float(student.ppf(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n)) if n > 1 else 0.0
    return {"n": n, "mean": mean, "ci95": [max(0.0, mean - half), min(1.0, mean + half)], "worst": float(values.min())}


def averaged(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Energy, latency, baselines and assumptions, averaged over chips where they differ."""
    reports = [f["report"] for f in found]
    return {
        "energy_J": _mean([r["energy_J"] for r in reports]),
        **{k: v for k, v in reports[0].items() if k != "energy_J"},
    }


def _mean(values: list[Any]) -> Any:
    """Mean of numbers, entry by entry through dicts and lists."""
    if isinstance(values[0], dict):
        return {key: _mean([v[key] for v in values]) for key in values[0]}
    if isinstance(values[0], list):
        return [_mean(list(entry)) for entry in zip(*values)]
    return float(np.mean(values))
