"""W4: one training step of 2312-512-10 by BPTT, T = 25, batch 128: forward, cross-entropy on spike counts, backward, Adam.

Learning rate 0, so that every repetition does the same work; about 10 % of neuron-steps spike. ATan surrogate, reset
detached where the peer can. Rate: samples/s. torch's fused Adam is allowed to everybody; peers run as shipped, with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import spikesim as ss
from benchmarks import contenders as c
from benchmarks.w2 import flattened
from benchmarks.workloads import BETA, THRESHOLD, dense_weights, strokes

STEPS, BATCH = 25, 128


def measure(rounds: int = 7) -> list[dict[str, Any]]:
    """Rows at 1 and 2 threads."""
    raster = flattened(ss.sparse_raster(strokes(BATCH), STEPS))
    w1, w2 = dense_weights(raster.dense(), rate=0.1, last=0.1)
    return [row for count in (1, 2) for row in measured(raster, w1, w2, count, rounds)]


def measured(raster: ss.SparseRaster, w1: Tensor, w2: Tensor, count: int, rounds: int) -> list[dict[str, Any]]:
    x, labels = raster.dense(), torch.randint(0, 10, (raster.batch,), generator=torch.Generator().manual_seed(1))
    builders: dict[str, Callable[[], tuple[nn.Module, c.Run]]] = {
        "snnTorch Leaky": lambda: snntorch(w1, w2, x), "SpikingJelly LIFNode": lambda: spikingjelly(w1, w2, x),
        "Norse LIFBox": lambda: norse(w1, w2, x), "Sinabs LIF": lambda: sinabs(w1, w2, x),
    }  # fmt: skip
    net = network(w1, w2)
    ours = {"spikesim, events": step(net, lambda: net(raster)[0].sum(0), labels)}
    others = {"spikesim, dense input": step(net, lambda: net(x, engine=ss.Fused())[0].sum(0), labels)}
    peers = {name: (lambda b=build: step(*b(), labels)) for name, build in builders.items()}
    norms = {"gradient_norm": gradient_norm(net, lambda: net(raster)[0].sum(0), labels)}
    if "SpikingJelly LIFNode" in c.made(peers)[0]:
        norms["gradient_norm_spikingjelly"] = gradient_norm(*spikingjelly(w1, w2, x), labels)
    return c.rows(
        "w4", ours, peers, others, raster.batch, count=count, rounds=rounds, grad=True, batch=raster.batch, **norms
    )


def step(net: nn.Module, scores: c.Run, labels: Tensor) -> c.Run:
    """One training step."""
    optimiser = torch.optim.Adam(net.parameters(), lr=0.0, fused=True)

    def run() -> None:
        optimiser.zero_grad()
        nn.functional.cross_entropy(scores(), labels).backward()  # type: ignore[arg-type]
        optimiser.step()

    return run


def gradient_norm(net: nn.Module, scores: c.Run, labels: Tensor) -> float:
    """Norm of the first weight's gradient: contenders with the same neuron and surrogate agree in it."""
    net.zero_grad()
    nn.functional.cross_entropy(scores(), labels).backward()  # type: ignore[arg-type]
    gradient = next(net.parameters()).grad
    return round(float(gradient.norm()), 5) if gradient is not None else 0.0


def network(w1: Tensor, w2: Tensor) -> ss.Network:
    """Ours."""

    def neuron() -> ss.LIF:
        return ss.LIF(BETA, THRESHOLD, strict=True, detach_reset=True)

    return ss.Network.chain(c.linear(w1), neuron(), c.linear(w2), neuron())


def snntorch(w1: Tensor, w2: Tensor, x: Tensor) -> tuple[nn.Module, c.Run]:
    from snntorch import surrogate

    layers = [m for w in (w1, w2) for m in (c.linear(w), c.snntorch_leaky(spike_grad=surrogate.atan()))]
    return nn.ModuleList(layers), c.per_step(layers, x)


def spikingjelly(w1: Tensor, w2: Tensor, x: Tensor) -> tuple[nn.Module, c.Run]:
    from spikingjelly.activation_based import layer

    layers = [
        m for w in (w1, w2) for m in (c.linear(w, layer.Linear, step_mode="m"), c.spikingjelly_lif(detach_reset=True))
    ]
    net = nn.Sequential(*layers)
    return net, c.multi_step(net, x)


def norse(w1: Tensor, w2: Tensor, x: Tensor) -> tuple[nn.Module, c.Run]:
    import norse.torch as nt

    net = nt.SequentialState(c.linear(w1), nt.LIFBoxCell(c.norse_box()), c.linear(w2), nt.LIFBoxCell(c.norse_box()))

    def run() -> Tensor:
        state, out = None, []
        for row in x:
            s, state = net(row, state)
            out.append(s)
        return torch.stack(out).sum(0)

    return net, run


def sinabs(w1: Tensor, w2: Tensor, x: Tensor) -> tuple[nn.Module, c.Run]:
    lifs = [c.sinabs_lif(), c.sinabs_lif()]
    net = nn.Sequential(c.linear(w1), lifs[0], c.linear(w2), lifs[1])
    batch_first = x.transpose(0, 1).contiguous()

    def run() -> Tensor:
        for lif in lifs:
            lif.reset_states()
        return net(batch_first).sum(1)  # type: ignore[no-any-return]

    return net, run
