"""One training step of a convolutional network at T = 5, time and memory: 16c3-LIF-p2-32c3-LIF-32c3-LIF-p2-128-LIF-10, 28 x 28,
batch 128, frames shown at every step, cross-entropy on the summed outputs, Adam. The narrow VGG-5 of the retraining study.

    .venv-peers/bin/python -m benchmarks training_step

Time: all contenders in turn in one process (see `harness`). Memory: each in a process of its own, the largest resident set
of three steps less what was resident before the first (weights, data and libraries are there then): what a step needs at its
peak.
The same neuron for all, beta 0.9, ATan, soft reset without a gradient where a contender can; learning rate 0.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import spikesim as ss
from benchmarks import contenders as c
from benchmarks.w4 import step
from benchmarks.workloads import BETA, THRESHOLD

STEPS, BATCH, SIDE = 5, 128, 28
Built = tuple[nn.Module, c.Run]


def measure(rounds: int = 7, batch: int = BATCH) -> list[dict[str, Any]]:
    """Rows at 1 and 2 threads, with `peak_mb` of each contender."""
    rows = [row for count in (1, 2) for row in measured(count, rounds, batch)]
    peaks = {name: peak(name, batch) for name in {row["name"] for row in rows}}
    return [row | {"peak_mb": peaks[row["name"]]} for row in rows]


def measured(count: int, rounds: int, batch: int) -> list[dict[str, Any]]:
    labels = targets(batch)
    peers = {
        name: (lambda b=build: step(*b(batch), labels)) for name, build in BUILDERS.items() if name != OURS
    }  # fmt: skip
    ours = {OURS: step(*spikesim(batch), labels)}
    return c.rows(
        "training_step", ours, peers, {}, batch, count=count, rounds=rounds, grad=True, batch=batch, steps=STEPS
    )


def targets(batch: int) -> Tensor:
    return torch.randint(0, 10, (batch,), generator=torch.Generator().manual_seed(1))


def frames(batch: int) -> Tensor:
    """(B, 1, 28, 28), half of it 0, as a picture on a dark ground."""
    return torch.rand(batch, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)).sub(0.5).clamp(min=0).mul(4)


def weighted() -> list[nn.Module]:
    """The five layers with weights, the same for all contenders."""
    torch.manual_seed(0)
    return [
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.Conv2d(16, 32, 3, padding=1, bias=False),
        nn.Conv2d(32, 32, 3, padding=1, bias=False), nn.Linear(1568, 128, bias=False), nn.Linear(128, 10, bias=False),
    ]  # fmt: skip


def arranged(lif: Callable[[], nn.Module], of: Callable[[nn.Module], nn.Module] = lambda m: m) -> list[nn.Module]:
    """Layers in order; `of` is what a contender makes of a stateless one."""
    a, b, d, e, f = weighted()
    pool = lambda: of(nn.AvgPool2d(2))  # noqa: E731
    return [of(a), lif(), pool(), of(b), lif(), of(d), lif(), pool(), of(nn.Flatten()), of(e), lif(), of(f)]


def spikesim(batch: int) -> Built:
    def lif() -> nn.Module:
        return ss.LIF(BETA, THRESHOLD, strict=True, detach_reset=True)

    net, x = ss.Network.chain(*arranged(lif), input_shape=(1, SIDE, SIDE)), frames(batch)
    return net, lambda: net(x.expand(STEPS, *x.shape))[0].sum(0)


def spikingjelly(batch: int) -> Built:
    from spikingjelly.activation_based import layer

    net = nn.Sequential(*arranged(lambda: c.spikingjelly_lif(detach_reset=True), lambda m: layer.SeqToANNContainer(m)))
    return net, c.multi_step(net, frames(batch).expand(STEPS, -1, -1, -1, -1))


def snntorch(batch: int) -> Built:
    from snntorch import surrogate

    layers = arranged(lambda: c.snntorch_leaky(spike_grad=surrogate.atan()))
    return nn.ModuleList(layers), c.per_step(layers, frames(batch).expand(STEPS, -1, -1, -1, -1))


OURS = "spikesim"
BUILDERS: dict[str, Callable[[int], Built]] = {
    OURS: spikesim,
    "SpikingJelly LIFNode": spikingjelly,
    "snnTorch Leaky": snntorch,
}


def peak(name: str, batch: int, module: str = "benchmarks.training_step") -> float | None:
    """MB that three steps of a contender need at their peak, in a process of its own; None where it is not installed."""
    command = [sys.executable, "-m", module, name, str(batch)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent)
    return float(json.loads(done.stdout.splitlines()[-1])) if done.returncode == 0 else None


def alone(name: str, batch: int) -> float:
    """`peak`, within that process."""
    return grown(lambda size: step(*BUILDERS[name](size), targets(size)), batch)


def grown(build: Callable[[int], Callable[[], object]], batch: int) -> float:
    """MB of three steps: a first one with two samples loads and compiles, then the largest resident set is forgotten."""
    torch.set_num_threads(1)
    build(2)()
    run = build(batch)
    Path("/proc/self/clear_refs").write_text("5")
    before = kilobytes("VmRSS")
    for _ in range(3):
        run()
    return (kilobytes("VmHWM") - before) / 1024


def kilobytes(key: str) -> int:
    """A line of this process's status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(key)))


if __name__ == "__main__":
    print(json.dumps(alone(sys.argv[1], int(sys.argv[2]))))
