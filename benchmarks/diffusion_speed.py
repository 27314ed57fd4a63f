"""Sampling 64 pictures of 16 x 16 in 50 DDIM steps with the spiking U-Net (width 32, 1-2-2, 2 blocks, T = 4).

Aim: under 20 s on two cores.

python -m benchmarks diffusion_speed                 # weights as drawn, statistics of 192 noised pictures
DIFFUSION=OUT python -m benchmarks diffusion_speed   # of OUT/taught, which `benchmarks.diffusion_models` trained
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

import spikesim as ss
from benchmarks.contenders import threads
from benchmarks.harness import machine
from spikesim.diffusion import Description, DiffusionModel, Sampler, Sampling, UNet

PICTURES, COUNTS = 64, (1, 2)


def measure(rounds: int = 3, sampling: Sampling = Sampling()) -> list[dict[str, Any]]:  # noqa: B008
    """A row for one thread and for two."""
    model, rows = trained(), []
    for count in COUNTS:
        with threads(count):
            sampler, taken = Sampler(model, sampling, ss.Seeds(0)), []
            for _ in range(rounds):
                started = time.perf_counter()
                sampler(range(PICTURES))
                taken.append(time.perf_counter() - started)
        rows.append(
            {"threads": count, "pictures": PICTURES, "steps": sampling.steps, "time_steps": model.about.steps}
            | {"median_s": median(taken), "least_s": min(taken), "rounds": rounds}
            | machine()
        )
    return rows


def trained() -> DiffusionModel:
    """The model that is there, or one whose weights are as drawn."""
    if "DIFFUSION" in os.environ:
        return DiffusionModel.load(Path(os.environ["DIFFUSION"]) / "taught")
    unet = UNet()
    network = unet.network(ss.Seeds(0)).train()
    drawn = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(3):
            x = torch.randn(PICTURES, 2, unet.size, unet.size, generator=drawn)
            x[:, 1] = torch.randint(1000, (PICTURES, 1, 1), generator=drawn).float()
            network(x.expand(unet.steps, *x.shape))
    network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return DiffusionModel(network, Description(1, unet.size, "none", unet.steps))
