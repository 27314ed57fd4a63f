"""What the machine allows: nanoseconds for adding one weight row of 64, by where the rows lie, and a copy's GB/s; and what
a layer of neurons gains from fetching its drive ahead and from storing its spikes past the caches.

Each thread adds rows drawn at random from a table of its own; `offset` is where the table begins within a cache line.
The layer is W1's: 65,536 LIF neurons, 100 steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, prange

from benchmarks.contenders import threads
from benchmarks.workloads import BETA, THRESHOLD, currents
from spikesim.core import simd
from spikesim.neurons._membrane import Coefficients, run_kernel
from spikesim.neurons._streamed import streamed_kernel

_rows_64 = simd.rows_summed_64
TABLES_KB = (16, 128, 400, 592, 2400, 4800, 12000)
ROW_KB = 4 * simd.LANES / 1024
EVENTS, REPEATS = 60_000, 3


@njit(parallel=True)
def added(tables, idx, none, out, repeats):  # type: ignore[no-untyped-def]
    """out[p] = the sum of the rows of table p, one table a thread."""
    for p in prange(tables.shape[0]):
        for _ in range(repeats):
            _rows_64(out[p], out[p], tables[p], idx, none, 0, idx.size)


@njit(parallel=True)
def copied(x, out):  # type: ignore[no-untyped-def]
    """out = x, both (parts, n)."""
    for p in prange(x.shape[0]):
        for i in range(x.shape[1]):
            out[p, i] = x[p, i] * np.float32(1)


def measure(rounds: int = 9) -> list[dict[str, Any]]:
    """Rows {name, threads, table_kb, offset, ns_per_row} and {name, threads, megabytes, gb_per_s}."""
    found: list[dict[str, Any]] = []
    for count in (1, 2):
        with threads(count):
            for kb in TABLES_KB:
                for offset in (0, 16):
                    ns = 1e9 * row_seconds(int(kb / ROW_KB), offset, rounds) * count
                    found.append(
                        {
                            "name": "row of 64 added",
                            "threads": count,
                            "table_kb": kb,
                            "offset": offset,
                            "ns_per_row": ns,
                        }
                    )
            for megabytes in (1, 4, 26, 100):
                rate = copy_rate(megabytes, rounds) / 1e9
                found.append({"name": "copy", "threads": count, "megabytes": megabytes, "gb_per_s": rate})
            for name, seconds in layer_seconds(rounds).items():
                found.append({"name": f"layer of neurons, {name}", "threads": count, "least_s": seconds})
    return found


def layer_seconds(rounds: int) -> dict[str, float]:
    """Seconds of a layer's steps by each way of moving its bytes."""
    x = currents(1).numpy()
    c = Coefficients(*(np.float32(n) for n in (BETA, 1, 0, THRESHOLD, 0, THRESHOLD)))
    v, out = np.zeros(x.shape[1:], np.float32), simd.aligned(*x.shape)
    return {
        "plain loop": least(lambda: run_kernel(x, v, c, False, out), rounds),
        "drive fetched ahead": least(lambda: streamed_kernel(x, v, c, False, False, out), rounds),
        "and spikes past the caches": least(lambda: streamed_kernel(x, v, c, False, True, out), rounds),
    }


def row_seconds(rows: int, offset: int, rounds: int) -> float:
    """Seconds per row added, of two tables of that many rows that begin `offset` bytes into a cache line."""
    raw = simd.aligned(2 * rows * simd.LANES + simd.FEW)
    tables = raw[offset // 4 :][: 2 * rows * simd.LANES].reshape(2, rows, simd.LANES)
    tables[:] = 1  # pages that were never written are all the same one
    idx = np.random.default_rng(0).integers(0, rows, EVENTS).astype(np.int32)
    out, none = simd.aligned(2, simd.LANES), np.empty(0, np.float32)
    return least(lambda: added(tables, idx, none, out, REPEATS), rounds) / (2 * EVENTS * REPEATS)


def copy_rate(megabytes: int, rounds: int) -> float:
    """Bytes read and written per second, copying that many."""
    x = np.ones((2, megabytes << 17), np.float32)
    out = np.ones_like(x)
    return 2 * x.nbytes / least(lambda: copied(x, out), rounds)


def least(run: Callable[[], object], rounds: int) -> float:
    """Least seconds of several runs after one."""
    run()
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return min(taken)
