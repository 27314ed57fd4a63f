"""A training step of the spiking U-Net (16 x 16, width 32, multipliers 1-2-2, 2 blocks, T = 4), time and memory, beside the same
U-Net with SpikingJelly's multi-step neurons.

    .venv-peers/bin/python -m benchmarks diffusion_step

Theirs: the same layers and weights, `seq_to_ann_forward` around those without state, `IFNode(step_mode="m", v_reset=0)`, torch
backend, in the order of the same graph. Loss |eps - eps^|^2, Adam, learning rate 0.

The limit: of their step, convolutions and linear layers take some share w (profiled: time within their operators, forward and
backward). Whoever runs these products as fast, and all else in no time, is 1 / w times as fast. The aim is 0.8 of that.
Memory as in `training_step`. A row of kind "other": ours with layers in bfloat16 (`Training(precision="bfloat16")`), where the
processor multiplies that.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import spikesim as ss
from benchmarks import contenders as c
from benchmarks import training_step as alike
from spikesim.core.allocator import freed_memory_kept
from spikesim.diffusion import UNet
from spikesim.network import Network

BATCH, UNET = 32, UNet()
PRODUCTS = ("aten::mkldnn_convolution", "aten::convolution_backward", "aten::addmm", "aten::mm")
Step = Callable[[], None]


def measure(rounds: int = 5, batch: int = BATCH, threads: tuple[int, ...] = (1, 2)) -> list[dict[str, Any]]:
    """Rows at 1 and 2 threads, with `peak_mb`; theirs with `limit`, ours with `share_of_limit`."""
    rows = []
    for count in threads:
        with freed_memory_kept():  # as `fit` does; the peer has it too
            found = c.rows(
                "diffusion_step", {OURS: ours(batch)}, {PEER: lambda: theirs(batch)}, others(batch), batch, count=count,
                rounds=rounds, grad=True, batch=batch, steps=UNET.steps,
            )  # fmt: skip
        if not any("skipped" in row for row in found):
            with freed_memory_kept(), c.threads(count):
                limit = 1 / share_of_products(theirs(batch))
            for row in (row for row in found if row["kind"] != "other"):
                row |= {"limit": limit, "share_of_limit": row["ratio_to_best_peer"] / limit}
        rows += found
    peaks = {row["name"]: alike.peak(row["name"], batch, "benchmarks.diffusion_step") for row in rows}
    return [row | {"peak_mb": peaks[row["name"]]} for row in rows]


def network() -> Network:
    """The same weights for both."""
    return UNET.network(ss.Seeds(0)).train()


def shown(batch: int) -> tuple[Tensor, Tensor]:
    """Planes (B, 2, 16, 16), and the noise (B, 1, 16, 16) that is to be predicted."""
    drawn = torch.Generator().manual_seed(0)
    x = torch.randn(batch, 2, UNET.size, UNET.size, generator=drawn)
    x[:, 1] = torch.randint(1000, (batch, 1, 1), generator=drawn).float()
    return x, torch.randn(batch, 1, UNET.size, UNET.size, generator=drawn)


def stepped(model: nn.Module, answer: Callable[[], Tensor], noise: Tensor) -> Step:
    """One training step."""
    optimiser = torch.optim.Adam(model.parameters(), lr=0.0, fused=True)

    def run() -> None:
        optimiser.zero_grad()
        nn.functional.mse_loss(answer(), noise).backward()
        optimiser.step()

    return run


def ours(batch: int) -> Step:
    """As `spikesim train` runs it."""
    net, (x, noise) = network().to(memory_format=torch.channels_last), shown(batch)  # type: ignore[call-overload]
    return stepped(net, lambda: net.readout(net(x.expand(UNET.steps, *x.shape))[0]), noise)


def halved(batch: int) -> Step:
    """The same with layers in bfloat16."""
    step = ours(batch)

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            step()

    return run


def others(batch: int) -> dict[str, Step]:
    """What is measured beside: nothing where bfloat16 would be emulated."""
    return {HALVED: halved(batch)} if torch.ops.mkldnn._is_mkldnn_bf16_supported() else {}


class Multi(nn.Module):
    """The network's layers with SpikingJelly's neurons: x (T, B, C, H, W) -> (T, B, 1, H, W)."""

    def __init__(self, of: Network) -> None:
        from spikingjelly.activation_based import neuron, surrogate

        super().__init__()
        self.sources = {name: [e.source for e in of.edges if e.target == name] for name in of.names}
        self.order, self.output = of.order, of.output
        self.layers = nn.ModuleDict()
        for name, module in of.nodes.items():
            if isinstance(module, ss.IF):
                module = neuron.IFNode(1.0, 0.0, surrogate.ATan(), step_mode="m")
            self.layers[name.replace(".", "_")] = module

    def forward(self, x: Tensor) -> Tensor:
        from spikingjelly.activation_based import functional

        values = {"input": x}
        for name in self.order:
            layer, parts = self.layers[name.replace(".", "_")], [values[s] for s in self.sources[name]]
            if getattr(layer, "joins", False):
                values[name] = torch.cat(parts, 2)
            elif hasattr(layer, "step_mode"):
                values[name] = layer(sum(parts[1:], parts[0]))
            else:
                values[name] = functional.seq_to_ann_forward(sum(parts[1:], parts[0]), layer)
        return values[self.output]


def theirs(batch: int) -> Step:
    """With `reset_net` before every step."""
    from spikingjelly.activation_based import functional

    of, (x, noise) = network(), shown(batch)
    net = Multi(of)

    def answer() -> Tensor:
        functional.reset_net(net)
        return of.readout(net(x.expand(UNET.steps, *x.shape)))

    return stepped(net, answer, noise)


def share_of_products(run: Step) -> float:
    """The share of a step's time that convolutions and linear layers take."""
    from torch.profiler import ProfilerActivity, profile

    with torch.enable_grad():
        run()
        with profile(activities=[ProfilerActivity.CPU]) as found:
            run()
    events = found.key_averages()
    whole = sum(e.self_cpu_time_total for e in events)
    return float(sum(e.self_cpu_time_total for e in events if e.key in PRODUCTS) / whole)


OURS, PEER, HALVED = "spikesim", "SpikingJelly IFNode", "spikesim, bfloat16"

if __name__ == "__main__":
    build = {OURS: ours, PEER: theirs, HALVED: halved}[sys.argv[1]]
    print(json.dumps(alike.grown(build, int(sys.argv[2]))))
