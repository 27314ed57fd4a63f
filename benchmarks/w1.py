"""W1: one LIF layer forward, 65,536 neurons, T = 100, drive given as float32, spikes out. Rate: million updates/s.

The limit is a parallel copy of the same bytes, the faster of a kernel's (`limits`) and torch's: a neuron reads one float
and writes one.
"""

from __future__ import annotations

from typing import Any

import torch

import spikesim as ss
from benchmarks import contenders as c
from benchmarks.limits import copied
from benchmarks.workloads import BETA, THRESHOLD, currents


def measure(batches: tuple[int, ...] = (1, 32), rounds: int = 9) -> list[dict[str, Any]]:
    """Rows for batch 1 and 32."""
    found = []
    for batch in batches:
        for count in (1, 2) if batch == 1 else (2,):
            found += measured(batch, count, rounds if batch == 1 else 3)
    return found


def measured(batch: int, count: int, rounds: int) -> list[dict[str, Any]]:
    x = currents(batch)
    steps, _, neurons = x.shape
    out = torch.empty_like(x)
    bits = torch.empty((steps, batch, neurons // 64), dtype=torch.uint64)
    neuron = ss.LIF(BETA, THRESHOLD, strict=True)
    halves, into = x.numpy().reshape(2, -1), out.numpy().reshape(2, -1)
    ours = {
        "spikesim, float32 spikes into a given array": lambda: neuron.into(x, out),
        "spikesim, float32 spikes": lambda: neuron(x),
        "spikesim, bit-packed spikes into a given array": lambda: neuron.into(x, bits),
    }
    peers = {
        "snnTorch Leaky": lambda: snntorch(x), "SpikingJelly LIFNode, multi-step": lambda: spikingjelly(x),
        "Norse LIFBox": lambda: norse(x), "Sinabs LIF, one spike": lambda: sinabs(x, False),
        "Sinabs LIF, several spikes": lambda: sinabs(x, True), "BindsNET LIFNodes": lambda: bindsnet(x),
    }  # fmt: skip
    limits = {
        "limit: parallel copy of the same bytes": lambda: copied(halves, into),
        "limit: torch's copy": lambda: out.copy_(x), "torch loop in place": lambda: by_hand(x),
    }  # fmt: skip
    rows = c.rows(
        "w1", ours, peers, limits, x.numel() / 1e6, unit="Mupdates/s", count=count, rounds=rounds, batch=batch,
        firing=round(float(neuron(x)[0].mean()), 4),
    )  # fmt: skip
    copy = min(row["median_s"] for row in rows if row["name"].startswith("limit"))
    return [{**row, "share_of_copy": copy / row["median_s"]} if row.get("kind") == "ours" else row for row in rows]


def snntorch(x: torch.Tensor) -> c.Run:
    leaky = c.snntorch_leaky()

    def run() -> torch.Tensor:
        membrane, out = leaky.reset_mem(), []
        for drive in x:
            s, membrane = leaky(drive, membrane)
            out.append(s)
        return torch.stack(out)

    return run


def spikingjelly(x: torch.Tensor) -> c.Run:
    from spikingjelly.activation_based import functional

    node = c.spikingjelly_lif().eval()

    def run() -> torch.Tensor:
        functional.reset_net(node)
        return node(x)  # type: ignore[no-any-return]

    return run


def norse(x: torch.Tensor) -> c.Run:
    from norse.torch.functional.lif_box import LIFBoxFeedForwardState, lif_box_feed_forward_step

    parameters = c.norse_box()

    def run() -> torch.Tensor:
        state, out = LIFBoxFeedForwardState(v=torch.zeros_like(x[0])), []
        for drive in x:
            z, state = lif_box_feed_forward_step(drive, state, parameters, 0.001)
            out.append(z)
        return torch.stack(out)

    return run


def sinabs(x: torch.Tensor, multi: bool) -> c.Run:
    layer, batch_first = c.sinabs_lif(multi), x.transpose(0, 1).contiguous()

    def run() -> torch.Tensor:
        layer.reset_states()
        return layer(batch_first)  # type: ignore[no-any-return]

    return run


def bindsnet(x: torch.Tensor) -> c.Run:
    from bindsnet.network.nodes import LIFNodes

    nodes = LIFNodes(n=x.shape[2], thresh=1.0, rest=0.0, reset=0.0, refrac=0, tc_decay=c.TAU)
    nodes.compute_decays(1.0)
    nodes.dt = 1.0
    nodes.set_batch_size(x.shape[1])

    def run() -> torch.Tensor:
        nodes.reset_state_variables()
        out = []
        for drive in x:
            nodes.forward(drive.clone())  # it overwrites its input
            out.append(nodes.s)
        return torch.stack(out)

    return run


def by_hand(x: torch.Tensor) -> torch.Tensor:
    """The best a user writes in torch: in place, nothing allocated in the loop."""
    v, out = torch.zeros_like(x[0]), torch.empty_like(x)
    for drive, spikes in zip(x, out):
        v.mul_(BETA).add_(drive)
        torch.gt(v, THRESHOLD, out=spikes)
        v.sub_(spikes)
    return out
