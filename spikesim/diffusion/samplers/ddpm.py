"""Ancestral sampling: the mean of q(x_(k-1) | x_k, x_0^), and noise of variance beta_k or v_k (`schedule.py`).

Ho, Jain, Abbeel, "Denoising diffusion probabilistic models", NeurIPS 2020: beta_k ("fixed large") is right for pictures that
are noise themselves, v_k ("fixed small") for a single picture.
"""

from __future__ import annotations

from torch import Tensor

from ..denoiser import Denoiser
from ..noise import Noise
from ..schedule import Schedule
from .reverse import Clip, Reverse, Watch, sampled


def ddpm_reverse(schedule: Schedule, *, large: bool = True) -> Reverse:
    """Its steps."""
    return Reverse(schedule, schedule.posterior_variances, schedule.betas if large else schedule.posterior_variances)


def ddpm(
    denoiser: Denoiser,
    schedule: Schedule,
    noise: Noise,
    *,
    large: bool = True,
    condition: Tensor | None = None,
    clip: Clip | None = None,
    watch: Watch | None = None,
) -> Tensor:
    """Pictures (B, C, H, W); one call of the denoiser a step. `large`: variance beta_k. Others: see `sampled`."""
    reverse = ddpm_reverse(schedule, large=large)
    return sampled(denoiser, reverse, noise, condition=condition, clip=clip, watch=watch)
