"""IR drop: single reads, the effective matrix and gated reads beside badcrossbar, SuperLU and the ideal product.

Square arrays, conductances uniform in 1 to 100 uS (seed 0), 1 ohm per segment, 0.2 V, float64. badcrossbar runs where
it is installed (`make peers`; its plotting is left out), without currents of branches. Errors are against SuperLU's
solution of the nodal equations, relative to the largest column current. Beside wall-clock medians stands the time on
the processor (all threads together): at 1 thread it hardly changes when the machine is shared.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import statistics
import sys
import time
import types
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks import contenders as c
from benchmarks import harness
from spikesim.hardware.wires import Driven, Gated, Wires

SIZES = {64: (3, (1, 2)), 256: (1, (1, 2)), 512: (1, (1,))}
"""Rows = columns: rounds, and threads."""
BATCH, READS, SHARE, VOLTS = 256, 16, 0.1, 0.2


def measure() -> list[dict[str, Any]]:
    """Rows of every array, or of those that $WIRES names, beside what is recorded of others; goes on after the last array."""
    measured(16, 1, 1)  # compiles
    wanted = [int(size) for size in os.environ.get("WIRES", "").split(",") if size] or list(SIZES)
    recorded = harness.RESULTS / "wires.jsonl"
    rows = [json.loads(line) for line in recorded.read_text().splitlines()] if recorded.exists() else []
    cases = [{"size": size, "threads": threads} for size in wanted for threads in SIZES[size][1]]
    done = harness.resumed("wires", cases, lambda c: {"found": measured(c["size"], SIZES[c["size"]][0], c["threads"])})
    kept = [row for row in rows if row["rows"] not in wanted]
    return [*kept, *(row for case in done for row in case["found"])]


def measured(size: int, rounds: int, threads: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    g, wires = rng.uniform(1e-6, 1e-4, (size, size)), Wires(1.0, 1.0)
    one, some = VOLTS * rng.random((1, size)), VOLTS * rng.random((READS, size))
    spikes = VOLTS * (rng.random((READS, size)) < SHARE)
    batch = VOLTS * (rng.random((BATCH, size)) < SHARE)
    driven, gated = Driven(wires), Gated(wires)
    matrix = driven.matrix(g)
    single = torch.from_numpy(batch).float(), torch.from_numpy(g).float(), torch.from_numpy(matrix).float()
    peer = badcrossbar()
    ways: dict[str, Any] = {
        "badcrossbar, one read": peer and (lambda: peer(one.T, 1 / g, 1.0, node_voltages=False, all_currents=False)),
        "scipy SuperLU, one read": lambda: nodal(g, 1.0, one),
        "line, one read": lambda: driven.currents(g, one),
        f"line, {READS} reads": lambda: driven.currents(g, some),
        f"gated, {READS} reads": lambda: gated.currents(g, spikes),
        "effective matrix, once": lambda: driven.matrix(g),
        "ideal product, batch": lambda: batch @ g,
        "effective product, batch": lambda: batch @ matrix,
        "ideal product, batch, torch float32": lambda: single[0] @ single[1],
        "effective product, batch, torch float32": lambda: single[0] @ single[2],
    }
    with c.threads(threads), threadpool_limits(threads):
        times = spent({name: run for name, run in ways.items() if run}, rounds)
    exact = nodal(g, 1.0, one)
    errors = {"line, one read": driven.currents(g, one), "effective matrix, once": one @ matrix}
    shared = {
        "rows": size, "columns": size, "ohm": 1.0, "threads": threads, "rounds": rounds,
        "loss_driven": round(driven.ir_loss(g, spikes), 4), "loss_gated": round(gated.ir_loss(g, spikes), 4),
    }  # fmt: skip
    rows = []
    for name, (wall, processor) in times.items():
        row = {
            "name": name,
            "median_s": statistics.median(wall),
            "cpu_s": statistics.median(processor),
            "reads": reads(name),
        }
        if name in errors:
            row["error"] = float(np.abs(errors[name] - exact).max() / np.abs(exact).max())
        for other in ("badcrossbar, one read", "scipy SuperLU, one read", name.replace("effective", "ideal")):
            if other in times and other != name:
                row[f"times {other}"] = round(harness.median_ratio(wall, times[other][0]), 5)
                row[f"cpu times {other}"] = round(harness.median_ratio(processor, times[other][1]), 5)
        rows.append({**row, **shared})
    return rows


def reads(name: str) -> int:
    return READS if "reads" in name else BATCH if "batch" in name else 1


def spent(ways: dict[str, Any], rounds: int) -> dict[str, tuple[list[float], list[float]]]:
    """Seconds and processor seconds per call, by round, all in turn. What fills a round is not warmed up (kernels are)."""
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in ways}
    repeats = {name: max(1, int(harness.ROUND_S / harness._seconds(run, 1))) for name, run in ways.items()}
    for _ in range(rounds):
        for name, run in ways.items():
            before = time.process_time()
            times[name][0].append(harness._seconds(run, repeats[name]))
            times[name][1].append((time.process_time() - before) / repeats[name])
    return times


def nodal(g: np.ndarray, ohm: float, v: np.ndarray) -> np.ndarray:
    """Currents (batch, columns) from the sparse nodal equations of the whole array, by SuperLU."""
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import splu

    m, n = g.shape
    word = np.arange(m * n).reshape(m, n)
    bit = word + m * n
    pairs = [(word, bit, g), (word[:, :-1], word[:, 1:], 1 / ohm), (bit[:-1], bit[1:], 1 / ohm)]
    i = np.concatenate([a.ravel() for a, _, _ in pairs])
    j = np.concatenate([b.ravel() for _, b, _ in pairs])
    x = np.concatenate([np.broadcast_to(x, a.shape).ravel() for a, _, x in pairs])
    ends = np.concatenate([word[:, 0], bit[-1]])
    diagonal = (
        np.bincount(i, x, 2 * m * n) + np.bincount(j, x, 2 * m * n) + np.bincount(ends, minlength=2 * m * n) / ohm
    )
    own = np.arange(2 * m * n)
    rows, columns = np.concatenate([i, j, own]), np.concatenate([j, i, own])
    matrix = coo_array((np.concatenate([-x, -x, diagonal]), (rows, columns))).tocsc()
    right = np.zeros((2 * m * n, len(v)))
    right[word[:, 0]] = v.T / ohm
    return splu(matrix, permc_spec="MMD_AT_PLUS_A").solve(right)[bit[-1]].T / ohm  # type: ignore[no-any-return]


@functools.cache
def badcrossbar() -> Any:
    """Its `compute` for currents, or None where it is not installed; its plotting needs cairo and is stubbed."""
    sys.modules.setdefault("badcrossbar.plot", types.ModuleType("badcrossbar.plot"))
    try:
        from badcrossbar import compute
    except ImportError:
        return None
    logging.getLogger("badcrossbar").setLevel(logging.ERROR)
    return compute
