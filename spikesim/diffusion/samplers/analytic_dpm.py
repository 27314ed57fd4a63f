"""Sampling with the optimal variance of the reverse step, which the mean squared predicted noise determines.

    l_k = eta^2 v_k;    g_k = E |eps^(x_k)|^2 / d  over noised data
    s_k = l_k + (sqrt((1 - abar_k) / alpha_k) - sqrt(1 - abar_(k-1) - l_k))^2 (1 - g_k),      alpha_k = abar_k / abar_(k-1)

It is exact where the reverse step is a Gaussian of one variance. 1 - g is held in [0, 1], and s_k below what pictures within
[a, b] can have: l_k + (sqrt(abar_(k-1)) - sqrt(1 - abar_(k-1) - l_k) sqrt(abar_k / (1 - abar_k)))^2 ((b - a) / 2)^2.

Bao, Li, Zhu, Zhang, "Analytic-DPM", ICLR 2022, in whose terms g_k = (1 - abar_k) E |score|^2 / d. g depends on the denoiser:
measure it with the one that samples. Not here: their clipping of the last variances to two grey levels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...core.params import number
from ...core.seeds import Seeds
from ...errors import ParameterError, must
from ..denoiser import Denoiser, asked
from ..noise import Noise
from ..schedule import Schedule
from .reverse import Clip, Reverse, Watch, sampled


@torch.no_grad()
def mean_squared_noise(
    denoiser: Denoiser,
    schedule: Schedule,
    data: Tensor,
    *,
    seeds: Seeds,
    batch: int = 256,
    condition: Tensor | None = None,
) -> np.ndarray:
    """(n,) g of the schedule's steps, over data (N, C, H, W) with condition (N, ...): n N / batch calls of the denoiser."""
    number("mean_squared_noise.batch", batch, at_least=1, integer=True)
    sums = np.zeros(schedule.steps)
    for low in range(0, len(data), batch):
        images = range(low, min(low + batch, len(data)))
        noise = Noise(seeds.child("squared"), images, tuple(data.shape[1:]), data.dtype, data.device)
        part = data[images.start : images.stop]
        given = None if condition is None else condition[images.start : images.stop]
        for step, time in enumerate(schedule.times):
            x = schedule.noised(part, step, noise.step(int(time)))
            sums[step] += float(asked(denoiser, x, int(time), given).double().square().sum())
    return sums / data.numel()


def analytic_reverse(
    schedule: Schedule, squared: np.ndarray, *, eta: float = 1.0, data_range: Clip | None = None
) -> Reverse:
    """Its steps. squared (n,): `mean_squared_noise` of this schedule; data_range: all pixels of the data lie in it."""
    number("analytic_dpm.eta", eta, at_least=0, at_most=1)
    squared = np.asarray(squared, np.float64)
    if squared.shape != (schedule.steps,) or not (squared >= 0).all():
        rule = f"({schedule.steps},) numbers at least 0"
        raise ParameterError(must("analytic_dpm.squared", rule, squared, "measure them for the schedule sampled with"))
    left_out = eta**2 * schedule.posterior_variances
    rest, here = np.sqrt(schedule.variances_before - left_out), schedule.noise_variances
    drawn = left_out + (np.sqrt(here / (1 - schedule.betas)) - rest) ** 2 * np.clip(1 - squared, 0, 1)
    if data_range is not None:
        reach = (np.sqrt(schedule.before) - rest * np.sqrt(schedule.snr)) ** 2
        drawn = np.minimum(drawn, left_out + reach * ((data_range[1] - data_range[0]) / 2) ** 2)
    return Reverse(schedule, left_out, drawn)


def analytic_dpm(
    denoiser: Denoiser,
    schedule: Schedule,
    noise: Noise,
    squared: np.ndarray,
    *,
    eta: float = 1.0,
    data_range: Clip | None = None,
    condition: Tensor | None = None,
    clip: Clip | None = None,
    watch: Watch | None = None,
) -> Tensor:
    """Pictures (B, C, H, W); one call of the denoiser a step. eta 1: their DDPM, 0: their DDIM. Others: see `sampled`."""
    reverse = analytic_reverse(schedule, squared, eta=eta, data_range=data_range)
    return sampled(denoiser, reverse, noise, condition=condition, clip=clip, watch=watch)
