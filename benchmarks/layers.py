"""Single layers with their neurons, events against dense, by density: where the two ways cost the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import spikesim as ss
from benchmarks import contenders as c
from benchmarks import harness
from benchmarks.activity import LAYERS

SHARES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5)


def measure(rounds: int = 5) -> list[dict[str, Any]]:
    """Rows {name, share, median_s, dense_s, crossover, chosen}: `chosen` is where the engine turns to the dense way."""
    return [row for name, (layer, shape) in LAYERS.items() for row in measured(name, layer, shape, rounds)]


def measured(name: str, layer: torch.nn.Module, shape: tuple[int, ...], rounds: int) -> list[dict[str, Any]]:
    net = ss.Network.chain(layer, ss.LIF(0.9, 1.0, strict=True)).requires_grad_(False)
    draw = torch.Generator().manual_seed(0)
    inputs = {share: (torch.rand(shape, generator=draw) < share).float() for share in SHARES}
    ways = {str(share): by_events(net, ss.SparseRaster.from_dense(x)) for share, x in inputs.items()}
    dense = inputs[SHARES[-1]]
    with c.threads(2), torch.no_grad():
        times = harness.spent({**ways, "dense": lambda: ss.run(net, dense, engine=ss.Fused())}, rounds)
    slope, base = np.polyfit(SHARES, [min(times[str(share)]) for share in SHARES], 1)
    program = net._programs[tuple(shape[2:]), torch.float32]
    chosen = program.stages[0].break_even if program is not None else None
    crossover = (min(times["dense"]) - base) / slope
    return [
        {
            "name": name, "share": share, "median_s": float(np.median(times[str(share)])), "threads": 2,
            "dense_s": float(np.median(times["dense"])), "crossover": round(float(crossover), 3), "chosen": chosen,
        }
        for share in SHARES
    ]  # fmt: skip


def by_events(net: ss.Network, raster: ss.SparseRaster) -> c.Run:
    """A run by events at any density."""
    return lambda: ss.run(net, raster, engine=ss.EventDriven(always=True))
