"""What counting costs: a run with a ledger against the same run without, same engine, same input.

The network is the demo's, the input has N-MNIST's density (1.15 % non-zero at T = 100 scaled to T = 32).
"""

from __future__ import annotations

from statistics import median
from typing import Any

import numba
import torch

import spikesim as ss
from spikesim.cli.demo_study import small_cnn


def measure(batch: int = 66, steps: int = 32, rounds: int = 31) -> list[dict[str, Any]]:
    """Rows {name, threads, median_s, ratio} for engine "fused" with and without a ledger."""
    from benchmarks.harness import median_ratio, spent

    torch.manual_seed(0)
    draw = torch.Generator().manual_seed(0)
    frames = torch.poisson(torch.full((64, 2, 34, 34), 1.8), generator=draw)
    network, _ = ss.convert(small_cnn().eval(), calibration=frames)
    network = network.bound(steps).requires_grad_(False)
    x = torch.poisson(torch.full((steps, batch, 2, 34, 34), 1.8 / steps), generator=draw)
    rows = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        numba.set_num_threads(threads)
        with torch.inference_mode():
            times = spent(
                {
                    "without": lambda: ss.run(network, x, engine=ss.Fused()),
                    "with ledger": lambda: ss.run(network, x, engine=ss.Fused(), ledger=ss.Ledger()),
                },
                rounds,
            )
        rows += [
            {
                "name": name, "threads": threads, "batch": batch, "steps": steps, "rounds": rounds,
                "median_s": median(found), "ratio": median_ratio(found, times["without"]),
            }
            for name, found in times.items()
        ]  # fmt: skip
    return rows
