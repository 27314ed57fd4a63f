"""Timing side by side: every contender in turn, several rounds, medians; one JSON line per contender."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable, Iterable
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


def resumed(
    claim: str, cases: Iterable[dict[str, Any]], measured: Callable[[dict[str, Any]], dict[str, Any]]
) -> list[dict[str, Any]]:
    """The row of every case; those that an interrupted measurement left in `results/CLAIM.part` are taken from there.

    `record` removes that file: a finished measurement begins anew the next time, unless `keep` is called before it.
    """
    path, done, rows = _part(claim), left(claim), []
    for case in cases:
        row = next((row for row in done if case.items() <= row.items()), None)
        if row is None:
            row = case | measured(case) | machine()
            _append(path, [row])
        rows.append(row)
    return rows


def left(claim: str) -> list[dict[str, Any]]:
    """The rows that `resumed` will take as they are."""
    path = _part(claim)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def keep(claim: str, wanted: Callable[[dict[str, Any]], bool] = lambda row: True) -> None:
    """Put the recorded rows of a claim beside those of an interrupted measurement: `resumed` then measures the rest.

    wanted  which of them; the others are measured again
    """
    path, recorded = _part(claim), RESULTS / f"{claim}.jsonl"
    if recorded.exists():
        _append(path, filter(wanted, map(json.loads, recorded.read_text().splitlines())))


def _append(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    RESULTS.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def _part(claim: str) -> Path:
    return RESULTS / f"{claim}.part"


def record(claim: str, rows: list[dict[str, Any]]) -> Path:
    """Write the rows of a claim as JSON lines, each with the machine it was measured on (a row that names one keeps it)."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{claim}.jsonl"
    about = machine()
    path.write_text("".join(json.dumps({"claim": claim, **about, **row}) + "\n" for row in rows))
    _part(claim).unlink(missing_ok=True)
    return path
