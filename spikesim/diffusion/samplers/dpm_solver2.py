"""DPM-Solver-2: second-order steps of the ODE that DDIM solves, in lambda = log(sqrt(abar) / sqrt(1 - abar)).

From u to w over a point m between them, with a = sqrt(abar), s = sqrt(1 - abar), h = lambda_w - lambda_u,
r = (lambda_m - lambda_u) / h:

    x_m = (a_m / a_u) x_u - s_m (e^(r h) - 1) eps(x_u)
    x_w = (a_w / a_u) x_u - s_w (e^h - 1) (eps(x_u) + (eps(x_m) - eps(x_u)) / (2 r))

The points are steps of the schedule, as even in lambda as these allow, so that the denoiser is asked only at times it learned;
r is what they have, not 1/2. The last answer is the predicted picture at the first step: 2 n + 1 calls of the denoiser.

Lu et al., "DPM-Solver", NeurIPS 2022, algorithm 4 of its appendix (any r).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...core.params import number
from ..denoiser import Denoiser, asked, predicted_x0
from ..noise import Noise
from ..schedule import Schedule, even_log_snr
from .reverse import Clip, Watch


@torch.no_grad()
def dpm_solver2(
    denoiser: Denoiser,
    schedule: Schedule,
    noise: Noise,
    steps: int,
    *,
    condition: Tensor | None = None,
    clip: Clip | None = None,
    watch: Watch | None = None,
) -> Tensor:
    """Pictures (B, C, H, W) by so many steps of two calls each. `clip` holds the last answer only. Others: see `sampled`."""
    number(
        "dpm_solver2.steps", steps, at_least=1, at_most=(schedule.steps - 1) // 2, integer=True,
        remedy=f"each uses two of the schedule's {schedule.steps} steps",
    )  # fmt: skip
    points = schedule.fewer(2 * steps + 1, even_log_snr)
    x = noise.initial()
    if watch:
        watch(0, x)
    for done in range(steps):
        start = 2 * (steps - done)
        first = asked(denoiser, x, int(points.times[start]), condition)
        middle = _moved(points, x, first, start, start - 1)
        second = asked(denoiser, middle, int(points.times[start - 1]), condition)
        between, whole = points.log_snr[[start - 1, start - 2]] - points.log_snr[start]
        x = _moved(points, x, first + (second - first) * float(whole / (2 * between)), start, start - 2)
        if watch:
            watch(done + 1, x)
    last = predicted_x0(x, asked(denoiser, x, int(points.times[0]), condition), float(points.alphas_bar[0]))
    return last.clamp(*clip) if clip else last


def _moved(points: Schedule, x: Tensor, noise: Tensor, here: int, there: int) -> Tensor:
    """x at another point of the schedule, if the noise in it were this all along."""
    kept = math.sqrt(points.alphas_bar[there] / points.alphas_bar[here])
    grown = math.expm1(points.log_snr[there] - points.log_snr[here])
    return kept * x - math.sqrt(points.noise_variances[there]) * grown * noise
