"""W2b: reservoir, 2312 inputs to 1,000 recurrent LIF, 10 % connected both ways, T = 100, batch 128, about 5 % firing.

Output: spikes counted per neuron. Rate: samples/s. Every contender has the same weights and feeds back last step's
spikes (Norse's neuron is current-based).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import spikesim as ss
from benchmarks import contenders as c
from benchmarks.w2 import flattened
from benchmarks.workloads import BETA, INPUTS, THRESHOLD, reservoir_weights, strokes

STEPS, BATCH, NEURONS = 100, 128, 1000


def measure(rounds: int = 5) -> list[dict[str, Any]]:
    """Rows at 1 and 2 threads."""
    raster = flattened(ss.sparse_raster(strokes(BATCH), STEPS))
    x = raster.dense()
    inward, around = reservoir_weights(x)
    return [row for count in (1, 2) for row in measured(raster, x, inward, around, count, rounds)]


def network(inward: Tensor, around: Tensor) -> ss.Network:
    """Ours."""
    nodes = {"in": c.linear(inward.T), "back": c.linear(around.T), "n": ss.LIF(BETA, THRESHOLD, strict=True)}
    edges = [ss.Edge("input", "in"), ss.Edge("in", "n"), ss.Edge("n", "back", 1), ss.Edge("back", "n")]
    return ss.Network(nodes, edges, output="n", readout=ss.Sum()).eval().requires_grad_(False)


def measured(
    raster: ss.SparseRaster, x: Tensor, inward: Tensor, around: Tensor, count: int, rounds: int
) -> list[dict[str, Any]]:
    net = network(inward, around)
    firing = float(ss.run(net, raster).output.mean())
    ours = {
        "spikesim, events": lambda: ss.run(net, raster).readout,
        "spikesim, events, every spike in a list": lambda: ss.run(net, raster, record=["n.events"]),
    }
    peers = {
        "snnTorch RLeaky": lambda: snntorch(inward, around, x), "SpikingJelly recurrent container": lambda: spikingjelly(
            inward, around, x), "Norse LIFRecurrent": lambda: norse(inward, around, x),
        "Sinabs LIFRecurrent": lambda: sinabs(inward, around, x),
    }  # fmt: skip
    others = {"torch by hand, input product over all steps": lambda: by_hand(inward, around, x)}
    return c.rows(
        "w2b", ours, peers, others, raster.batch, count=count, rounds=rounds, batch=raster.batch,
        firing=round(firing, 4),
    )  # fmt: skip


def snntorch(inward: Tensor, around: Tensor, x: Tensor) -> c.Run:
    import snntorch as snn

    leaky = snn.RLeaky(beta=0.9, linear_features=NEURONS, all_to_all=True, reset_delay=False)
    leaky.recurrent.weight.data = around.T.contiguous()
    leaky.recurrent.bias.data.zero_()
    linear = c.linear(inward.T.contiguous())

    def run() -> Tensor:
        s, membrane = leaky.reset_mem()
        total = torch.zeros(x.shape[1], NEURONS)
        for step in x:
            s, membrane = leaky(linear(step), s, membrane)
            total = total + s
        return total

    return run


def spikingjelly(inward: Tensor, around: Tensor, x: Tensor) -> c.Run:
    from spikingjelly.activation_based import functional, layer

    linear = c.linear(inward.T.contiguous(), layer.Linear, step_mode="m")
    loop = layer.LinearRecurrentContainer(
        c.spikingjelly_lif("s"), in_features=NEURONS, out_features=NEURONS, bias=False, step_mode="m"
    )
    loop.rc.weight.data = torch.cat([torch.eye(NEURONS), around.T], 1).contiguous()

    def run() -> Tensor:
        functional.reset_net(loop)
        return loop(linear(x)).sum(0)  # type: ignore[no-any-return]

    return run


def norse(inward: Tensor, around: Tensor, x: Tensor) -> c.Run:
    import norse.torch as nt

    module = nt.LIFRecurrent(
        INPUTS, NEURONS, input_weights=inward.T.contiguous(), recurrent_weights=around.T.contiguous()
    )
    return lambda: module(x)[0].sum(0)


def sinabs(inward: Tensor, around: Tensor, x: Tensor) -> c.Run:
    import sinabs.layers as sl
    from sinabs.activation import SingleSpike

    linear, batch_first = c.linear(inward.T.contiguous()), x.transpose(0, 1).contiguous()
    loop = sl.LIFRecurrent(
        tau_mem=c.TAU, rec_connect=c.linear(around.T.contiguous()), norm_input=False, spike_fn=SingleSpike
    )

    def run() -> Tensor:
        loop.reset_states()
        return loop(linear(batch_first)).sum(1)  # type: ignore[no-any-return]

    return run


def by_hand(inward: Tensor, around: Tensor, x: Tensor) -> Tensor:
    """Loop in torch, all in place."""
    drive = (x.flatten(0, 1) @ inward).view(*x.shape[:2], -1)
    v, s = torch.zeros_like(drive[0]), torch.zeros_like(drive[0])
    total = torch.zeros_like(v)
    for row in drive:
        v.mul_(BETA).add_(row)
        v.addmm_(s, around)
        torch.gt(v, THRESHOLD, out=s)
        v.sub_(s)
        total.add_(s)
    return total
