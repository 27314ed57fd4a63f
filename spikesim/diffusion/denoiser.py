"""What every sampler asks: a denoiser, which predicts the noise in a picture. And what follows from its answer.

    x = sqrt(abar) x_0 + sqrt(1 - abar) eps;    x_0 from eps and back;    score = grad log q(x) = -eps / sqrt(1 - abar)
    velocity v = sqrt(abar) eps - sqrt(1 - abar) x_0;    eps = sqrt(1 - abar) x + sqrt(abar) v      (Salimans and Ho, ICLR 2022)

A network, spiking or not, a closed form (`mixture.py`) or a denoiser that wraps another have this one signature, and own no
state: a spiking network starts anew for every call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..core.params import number
from ..errors import ParameterError, ShapeError, must, nearest

ANSWERS = ("noise", "velocity")
"""What networks are trained to predict."""


def must_be_answer(owner: str, answer: str) -> None:
    """ParameterError for an answer that there is not."""
    if answer not in ANSWERS:
        rule = f"one of {', '.join(ANSWERS)}"
        raise ParameterError(must(f"{owner}.answer", rule, answer, nearest(answer, ANSWERS)))


class Denoiser(Protocol):
    """denoise(x (B, C, H, W), t (B,) int64, condition (B, ...) or None) -> predicted noise (B, C, H, W).

    t are times of the schedule that the denoiser was trained on, whatever schedule is sampled with.
    """

    def __call__(self, x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor: ...


def predicted_x0(x: Tensor, noise: Tensor, alpha_bar: float) -> Tensor:
    """The picture x_0 of which x is noised, if this is its noise."""
    return (x - (1 - alpha_bar) ** 0.5 * noise) * alpha_bar**-0.5


def noise_in(x: Tensor, x0: Tensor, alpha_bar: float) -> Tensor:
    """The noise in x, if its picture is x0: the inverse of `predicted_x0`."""
    return (x - alpha_bar**0.5 * x0) * (1 - alpha_bar) ** -0.5


def velocity(x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """v of pictures (B, C, H, W) and the noise in them, abar (B,) in float64."""
    of_noise, of_x0 = _weights(alpha_bar, x0)
    return of_noise * noise - of_x0 * x0


def noise_of_velocity(x: Tensor, v: Tensor, alpha_bar: Tensor) -> Tensor:
    """The noise in x (B, C, H, W), if its velocity is v; abar (B,) float64. An error of v is sqrt(abar) times it in the noise."""
    of_v, of_x = _weights(alpha_bar, x)
    return of_x * x + of_v * v


def _weights(alpha_bar: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """sqrt(abar) and sqrt(1 - abar), rounded last: 1 - abar is 1e-4 at the first step."""
    kept = alpha_bar.reshape(-1, 1, 1, 1)
    return kept.sqrt().to(like), (1 - kept).sqrt().to(like)


def score(noise: Tensor, alpha_bar: float) -> Tensor:
    """The gradient of the log density of noised pictures, of the predicted noise."""
    return noise * -((1 - alpha_bar) ** -0.5)


def asked(denoiser: Denoiser, x: Tensor, time: int, condition: Tensor | None) -> Tensor:
    """The predicted noise of a batch at one time. ShapeError where it does not have the shape of x."""
    t = torch.full((len(x),), time, dtype=torch.int64, device=x.device)
    noise = denoiser(x, t, condition)
    if noise.shape != x.shape:
        raise ShapeError(must("denoiser.output", f"{tuple(x.shape)} as its input", tuple(noise.shape)))
    return noise


@dataclass(frozen=True, eq=False)
class Guided:
    """Classifier-free guidance: eps = eps(null) + scale (eps(condition) - eps(null)).

    scale   0: without the condition, 1: with it, above: more of it (w of Ho and Salimans is scale - 1)
    null    what the denoiser learned as "no condition", of the shape of one sample's condition

    Both are asked in one batch of 2 B. Ho and Salimans, "Classifier-free diffusion guidance", 2022.
    """

    denoiser: Denoiser
    scale: float
    null: Tensor

    def __post_init__(self) -> None:
        number("Guided.scale", self.scale, at_least=0)

    def __call__(self, x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        if condition is None:
            rule = "given, one for each picture"
            raise ParameterError(must("Guided.condition", rule, None, "without one, sample with its denoiser"))
        none = self.null.to(condition).expand_as(condition)
        both = self.denoiser(torch.cat([x, x]), torch.cat([t, t]), torch.cat([none, condition]))
        without, with_it = both.chunk(2)
        return without + self.scale * (with_it - without)
