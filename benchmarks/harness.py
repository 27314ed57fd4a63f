"""Timing side by side: every contender in turn, several rounds, medians; one JSON line per contender."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


ROUND_S = 0.12
"""Seconds a contender works for in one round, as in the project's reference measurements: short runs are repeated."""


def spent(contenders: dict[str, Callable[[], object]], rounds: int = 7) -> dict[str, list[float]]:
    """Seconds of each contender in each round; one warm-up, then all run in turn, so that noise hits all alike."""
    repeats = {}
    for name, run in contenders.items():
        run()
        repeats[name] = max(1, int(ROUND_S / _seconds(run, 1)))
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            times[name].append(_seconds(run, repeats[name]))
    return times


def _seconds(run: Callable[[], object], repeats: int) -> float:
    started = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - started) / repeats


def median_ratio(times: list[float], base: list[float]) -> float:
    """Median over rounds of time over base time: a machine that slows down for a while moves both."""
    return statistics.median(t / b for t, b in zip(times, base))


def machine() -> dict[str, Any]:
    """Processor, cores and versions."""
    import os

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    packages = {name: version(name) for name in ("torch", "numpy", "numba")}
    return {"machine": model, "cores": os.cpu_count(), "python": platform.python_version(), **packages}


def record(claim: str, rows: list[dict[str, Any]]) -> Path:
    """Write the rows of a claim as JSON lines, each with the machine it was measured on."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{claim}.jsonl"
    about = machine()
    path.write_text("".join(json.dumps({"claim": claim, **row, **about}) + "\n" for row in rows))
    return path
