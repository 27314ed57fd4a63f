"""Implicit sampling: l_k = s_k = eta^2 v_k (`reverse.py`). eta 0 is an ODE, solved by first-order steps; 1 is DDPM with v_k.

Song, Meng, Ermon, "Denoising diffusion implicit models", ICLR 2021.
"""

from __future__ import annotations

from torch import Tensor

from ...core.params import number
from ..denoiser import Denoiser
from ..noise import Noise
from ..schedule import Schedule
from .reverse import Clip, Reverse, Watch, sampled


def ddim_reverse(schedule: Schedule, *, eta: float = 0.0) -> Reverse:
    """Its steps."""
    number("ddim.eta", eta, at_least=0, at_most=1)
    variances = eta**2 * schedule.posterior_variances
    return Reverse(schedule, variances, variances)


def ddim(
    denoiser: Denoiser,
    schedule: Schedule,
    noise: Noise,
    *,
    eta: float = 0.0,
    condition: Tensor | None = None,
    clip: Clip | None = None,
    watch: Watch | None = None,
) -> Tensor:
    """Pictures (B, C, H, W); one call of the denoiser a step. Others: see `sampled`."""
    reverse = ddim_reverse(schedule, eta=eta)
    return sampled(denoiser, reverse, noise, condition=condition, clip=clip, watch=watch)
