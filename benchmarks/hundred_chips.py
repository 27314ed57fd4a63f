"""A hundred emulated chips on the real recordings of fold 0, with the demo's network, on two processes: seconds, and results.

    SPIKESIM_SHARED=FOLDER python -m benchmarks hundred_chips

FOLDER holds nmnist_small.npz. The network is the demo's: trained on the other folds (minutes, not timed), converted, T = 8.
Timed is everything from starting processes to the statistics.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import spikesim as ss
from spikesim import hardware
from spikesim.cli.demo_study import CHIP_STEPS, run_fold
from spikesim.datasets import load
from spikesim.hardware.study import OverChips, one_chip
from spikesim.jobs import parallel_map

MACRO, CHIPS, WORKERS, AIM_S = "taox40-projected", 100, 2, 240.0


def measure(chips: int = CHIPS) -> list[dict[str, Any]]:
    """One row {chips, samples, workers, seconds, aim_s, load, ideal_accuracy, chip_accuracy, chip_energy_J, ...}."""
    data, seeds = load(Path(os.environ["SPIKESIM_SHARED"]) / "nmnist_small.npz"), ss.Seeds(0)
    rows = data.folds(5)[0]
    with tempfile.TemporaryDirectory() as folder:
        run_fold(data, rows, 0, 40, seeds, Path(folder))
        network = ss.load(Path(folder) / "network-0")
    return [timed(network, data.subset(rows[1]), chips, seeds)]


def timed(network: ss.Network, test: Any, chips: int, seeds: ss.Seeds) -> dict[str, Any]:
    """The row of so many chips on these recordings."""
    together, macro, started = OverChips(), hardware.load_macro(MACRO), time.perf_counter()
    jobs = ((macro, k, CHIP_STEPS, seeds) for k in range(chips))
    for found in parallel_map(one_chip, jobs, shared=(network, test), workers=WORKERS):
        together.add(found["report"])
    told = together.statistics()
    return {
        "macro": MACRO, "chips": chips, "samples": len(test), "steps": CHIP_STEPS, "workers": WORKERS,
        "seconds": time.perf_counter() - started, "aim_s": AIM_S, "load": os.getloadavg()[0],
        "ideal_accuracy": together.first["ideal_accuracy"], **told,
    }  # fmt: skip
