"""W3: convolutional network 2x34x34-16c5-p2-32c3-p2-10 on events, T = 25, batch 16, inference. Rate: samples/s.

Max pools of spikes; scores are spike counts. Compiled peers (torch.compile, C++ back end) run where `compiled` is True:
they need up to two minutes before their first answer, which is reported apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import spikesim as ss
from benchmarks import contenders as c
from benchmarks.workloads import BETA, THRESHOLD, convolution_weights, strokes

STEPS, BATCH = 25, 16


def measure(rounds: int = 7, compiled: bool = True) -> list[dict[str, Any]]:
    """Rows at 2 threads, and at 1 without the compiled peers."""
    raster = ss.sparse_raster(strokes(BATCH), STEPS)
    weights = convolution_weights(raster.dense())
    return [*measured(raster, weights, 1, rounds, False), *measured(raster, weights, 2, rounds, compiled)]


def network(k1: Tensor, k2: Tensor, w: Tensor) -> ss.Network:
    """Ours."""

    def neuron() -> ss.LIF:
        return ss.LIF(BETA, THRESHOLD, strict=True)

    layers = [
        c.convolution(k1), neuron(), nn.MaxPool2d(2), c.convolution(k2), neuron(), nn.MaxPool2d(2), nn.Flatten(),
        c.linear(w), neuron(),
    ]  # fmt: skip
    return ss.Network.chain(*layers, readout=ss.Sum()).eval().requires_grad_(False)


def measured(
    raster: ss.SparseRaster, weights: tuple[Tensor, Tensor, Tensor], count: int, rounds: int, compiled: bool
) -> list[dict[str, Any]]:
    net, x = network(*weights), raster.dense()
    spikes = ss.run(net, raster, record=["1", "4"]).recording
    ours = {"spikesim, events": lambda: ss.run(net, raster).readout}
    peers: dict[str, Callable[[], c.Run]] = {
        "snnTorch Leaky, per step": lambda: snntorch(*weights, x),
        "SpikingJelly LIFNode": lambda: spikingjelly(*weights, x),
        "Sinabs LIF": lambda: sinabs(*weights, x),
    }
    others: dict[str, c.Run] = {"spikesim, dense engine": lambda: ss.run(net, x, engine=ss.Fused()).readout}
    first: dict[str, float] = {}
    if compiled:
        for name, build in {
            "snnTorch + torch.compile": lambda: snntorch(*weights, x, compile=True),
            "SpikingJelly + torch.compile": lambda: spikingjelly(*weights, x, compile=True),
        }.items():
            with c.threads(count), torch.set_grad_enabled(False):
                try:
                    run, started = build(), time.perf_counter()
                    run()
                    run()
                    others[name], first[name] = run, time.perf_counter() - started
                except Exception as error:
                    print(f"  {name} left out: {type(error).__name__}: {str(error)[:200]}")
    rates = {f"rate_{name}": round(float(s.mean()), 4) for name, s in zip(("conv1", "conv2"), spikes.values())}
    rows = c.rows("w3", ours, peers, others, raster.batch, count=count, rounds=rounds, batch=raster.batch, **rates)
    fastest = min((r["median_s"] for r in rows if r["name"] in first), default=None)
    for row in rows:
        if fastest and "median_s" in row:
            row["ratio_to_best_compiled"] = fastest / row["median_s"]
        if row["name"] in first:
            row["first_calls_s"] = round(first[row["name"]], 1)
    return rows


def snntorch(k1: Tensor, k2: Tensor, w: Tensor, x: Tensor, compile: bool = False) -> c.Run:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c1, self.c2, self.fc = c.convolution(k1), c.convolution(k2), c.linear(w)
            self.l1, self.l2, self.l3 = (c.snntorch_leaky() for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            m1, m2, m3 = self.l1.reset_mem(), self.l2.reset_mem(), self.l3.reset_mem()
            out = []
            for step in x:
                s, m1 = self.l1(self.c1(step), m1)
                s, m2 = self.l2(self.c2(nn.functional.max_pool2d(s, 2)), m2)
                s, m3 = self.l3(self.fc(nn.functional.max_pool2d(s, 2).flatten(1)), m3)
                out.append(s)
            return torch.stack(out).sum(0)

    net = Net().eval()
    call = torch.compile(net, dynamic=False) if compile else net
    return lambda: call(x)


def spikingjelly(k1: Tensor, k2: Tensor, w: Tensor, x: Tensor, compile: bool = False) -> c.Run:
    from spikingjelly.activation_based import layer

    net = nn.Sequential(
        c.convolution(k1, layer.Conv2d, step_mode="m"), c.spikingjelly_lif(), layer.MaxPool2d(2, step_mode="m"),
        c.convolution(k2, layer.Conv2d, step_mode="m"), c.spikingjelly_lif(), layer.MaxPool2d(2, step_mode="m"),
        layer.Flatten(step_mode="m"), c.linear(w, layer.Linear, step_mode="m"), c.spikingjelly_lif(),
    ).eval()  # fmt: skip
    return c.multi_step(net, x, torch.compile(net, dynamic=False) if compile else None)


def sinabs(k1: Tensor, k2: Tensor, w: Tensor, x: Tensor) -> c.Run:
    import sinabs.layers as sl

    def squeezed() -> Any:
        from sinabs.activation import SingleSpike

        return sl.LIFSqueeze(tau_mem=c.TAU, norm_input=False, spike_fn=SingleSpike, batch_size=x.shape[1])

    lifs = [squeezed() for _ in range(3)]
    net = nn.Sequential(
        c.convolution(k1), lifs[0], nn.MaxPool2d(2), c.convolution(k2), lifs[1], nn.MaxPool2d(2), nn.Flatten(),
        c.linear(w), lifs[2],
    )  # fmt: skip
    flat = x.transpose(0, 1).flatten(0, 1).contiguous()

    def run() -> Tensor:
        for lif in lifs:
            lif.reset_states()
        return net(flat).unflatten(0, (x.shape[1], -1)).sum(1)

    return run
