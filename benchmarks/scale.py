"""A million neurons, a hundred million recurrent synapses with delays: memory, and time per step against activity.

Every neuron reaches 100 others, delays 1 to 8 steps. Recurrent weights are 0, so that activity is what is put in: each
event from outside makes one neuron spike, and every spike is sent through its 100 synapses all the same.
"""

from __future__ import annotations

import resource
import statistics
import time
from typing import Any

import numpy as np
import torch

import spikesim as ss
from benchmarks import contenders as c

SHARES = (0.0, 0.0001, 0.001, 0.01, 0.03, 0.1)


def measure(neurons: int = 1_000_000, fan_out: int = 100, steps: int = 20, rounds: int = 3) -> list[dict[str, Any]]:
    """Rows {name, share, ms_per_step, synapses_per_s, peak_mib}."""
    started = time.perf_counter()
    net = network(neurons, fan_out)
    made_s, rows = time.perf_counter() - started, []
    for share in SHARES:
        raster, taken = poked(neurons, steps, share), []
        with c.threads(2), torch.no_grad():
            for _ in range(rounds + 1):
                begun = time.perf_counter()
                run = ss.run(net, raster, record=["n.events"])
                taken.append(time.perf_counter() - begun)
        spikes = run.recording["n.events"].idx.size / steps
        step_s = statistics.median(taken[1:]) / steps
        rows.append(
            {
                "name": f"{neurons} neurons, {neurons * fan_out} synapses", "share": share, "threads": 2,
                "active": spikes / neurons, "ms_per_step": 1e3 * step_s, "synapses_per_s": spikes * fan_out / step_s,
                "made_s": round(made_s, 1), "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }
        )  # fmt: skip
    return rows


def network(neurons: int, fan_out: int) -> ss.Network:
    """Input i makes neuron i spike; the loop has weights of 0."""
    each = np.arange(neurons)
    nodes = {
        "in": ss.SparseLinear.from_edges(each, each, np.full(neurons, 2.0), inputs=neurons, outputs=neurons),
        "back": ss.SparseLinear.random(
            neurons, neurons, fan_out, seeds=ss.Seeds(1), low=0.0, high=0.0, delays=(0, 7)
        ), "n": ss.LIF(0.9, 1.0, reset=ss.ToValue(0.0)),
    }  # fmt: skip
    edges = [ss.Edge("input", "in"), ss.Edge("in", "n"), ss.Edge("n", "back", 1), ss.Edge("back", "n")]
    return ss.Network(nodes, edges, output="n")


def poked(neurons: int, steps: int, share: float) -> ss.SparseRaster:
    """Events that make this share of the neurons spike at every step."""
    rng, n = np.random.default_rng(0), int(share * neurons)
    idx = [np.sort(rng.choice(neurons, n, replace=False)) for _ in range(steps)]
    return ss.SparseRaster(np.arange(steps + 1) * n, np.concatenate(idx).astype(np.int32), None, steps, (neurons,))
