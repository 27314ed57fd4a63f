"""How fast emulated recordings become features: from files in parts to spike counts, with two threads.

    EMULATED=DIR python -m benchmarks lsm_speed      DIR: `spikesim data emulate mnist --limit 60000 --cache --out DIR`

published   256 -> 200, 16 x 16 ON pixels, 50 bins (aim: 60,000 in 15 s)       tuned   2312 -> 1000, all pixels, 50 bins
Kernels compiled before, files in the page cache.
"""

from __future__ import annotations

import os
import time
from typing import Any

import torch

import spikesim as ss
from benchmarks.lsm_vision import SETUPS
from spikesim.datasets import load
from spikesim.lsm.extraction import features

THREADS, AIM_S = 2, 15.0
Row = dict[str, Any]


def measure(made: Any = None, rounds: int = 3) -> list[Row]:
    """A row for each set-up: least of the rounds, the machine being shared."""
    made = load(os.environ["EMULATED"]) if made is None else made
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        return [measured(name, made, rounds) for name in SETUPS]
    finally:
        torch.set_num_threads(before)


def measured(name: str, made: Any, rounds: int) -> Row:
    """Seconds of all recordings, from files to features."""
    frames, windows, reservoir = SETUPS[name]
    network = reservoir.network(ss.Seeds(0))
    features(network, made.subset(range(256)), frames, windows=windows)
    seconds = [_seconds(lambda: features(network, made, frames, windows=windows)) for _ in range(rounds)]
    return {
        "setup": name, "neurons": reservoir.neurons, "recordings": len(made), "threads": THREADS, "seconds": min(seconds),
        "all_seconds": seconds, "recordings_per_s": len(made) / min(seconds), "rounds": rounds,
        **({"aim_s": AIM_S} if name == "published" else {}),
    }  # fmt: skip


def _seconds(run: Any) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
