"""The step of every sampler that asks the denoiser once a step, and the loop over it.

    x_0^   = (x_k - sqrt(1 - abar_k) eps^) / sqrt(abar_k), clipped if asked;      eps^ of it again
    x_(k-1) = sqrt(abar_(k-1)) x_0^ + sqrt(1 - abar_(k-1) - l_k) eps^ + sqrt(s_k) z,      z standard normal; none in the last step

Any l_k from 0 to 1 - abar_(k-1) keeps q(x_k | x_0) (Song et al., "Denoising diffusion implicit models", ICLR 2021). Members
differ in the two variances: l that the mean leaves out, s that is drawn. l = v_k gives DDPM's mean, l = s = 0 is DDIM.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...core.params import number
from ...errors import ParameterError, ShapeError, must
from ..denoiser import Denoiser, asked, noise_in, predicted_x0
from ..noise import Noise
from ..schedule import Schedule

Watch = Callable[[int, Tensor], None]
"""watch(step, x): x (B, C, H, W) after so many steps; 0 is the start."""

Clip = tuple[float, float]
"""What predicted pictures are held in, like (-1, 1)."""


@dataclass(frozen=True, eq=False)
class Reverse:
    """The steps of a sampler: left_out (n,) l_k and drawn (n,) s_k of a schedule of n steps."""

    schedule: Schedule
    left_out: np.ndarray
    drawn: np.ndarray

    def __post_init__(self) -> None:
        room = self.schedule.variances_before * (1 + 1e-9)
        for name, most in (("left_out", room), ("drawn", np.inf)):
            values = np.asarray(getattr(self, name))
            if values.shape != (self.schedule.steps,) or not ((values >= 0) & (values <= most)).all():
                rule = f"({self.schedule.steps},) variances, left_out at most 1 - abar before the step"
                raise ParameterError(must(f"Reverse.{name}", rule, values))

    def mean(self, x: Tensor, x0: Tensor, step: int) -> Tensor:
        """The mean of x_(k-1) of x_k and the predicted picture."""
        noise = noise_in(x, x0, float(self.schedule.alphas_bar[step]))
        rest = max(float(self.schedule.variances_before[step] - self.left_out[step]), 0.0)
        return float(self.schedule.before[step]) ** 0.5 * x0 + rest**0.5 * noise


@dataclass(frozen=True, eq=False)
class Pinned:
    """Pixels that are given: image (B, C, H, W), known bool broadcast to it, and how often each step is made."""

    image: Tensor
    known: Tensor
    repeats: int = 1

    def __post_init__(self) -> None:
        number("inpaint.repeats", self.repeats, at_least=1, integer=True)
        if self.known.dtype != torch.bool:
            raise ParameterError(must("inpaint.known", "bool, true where the pixel is given", self.known.dtype))


@torch.no_grad()
def sampled(
    denoiser: Denoiser,
    reverse: Reverse,
    noise: Noise,
    *,
    start: tuple[Tensor, int] | None = None,
    pinned: Pinned | None = None,
    condition: Tensor | None = None,
    clip: Clip | None = None,
    watch: Watch | None = None,
) -> Tensor:
    """Pictures (B, C, H, W).

    start       (x, n): from x, what is left after the first steps of the schedule were undone, by its last n
    condition   (B, ...), handed to the denoiser        clip, watch   see `Clip`, `Watch`
    """
    schedule = reverse.schedule
    x, count = start or (noise.initial(), schedule.steps)
    must_fit("sampled.start", x, noise)
    number("sampled.start", count, at_least=1, at_most=schedule.steps, integer=True)
    if watch:
        watch(0, x)
    repeats = pinned.repeats if pinned else 1
    for step in range(count - 1, -1, -1):
        time = int(schedule.times[step])
        for repeat in range(repeats if step else 1):
            if repeat:  # up again by one step, so that what was made meets what is given once more
                kept = 1 - float(schedule.betas[step])
                x = kept**0.5 * x + (1 - kept) ** 0.5 * noise.again(time, repeat)
            x0 = predicted_x0(x, asked(denoiser, x, time, condition), float(schedule.alphas_bar[step]))
            x = reverse.mean(x, x0.clamp(*clip) if clip else x0, step)
            if step and reverse.drawn[step]:
                x = x + float(reverse.drawn[step]) ** 0.5 * noise.step(time, repeat)
            if pinned:
                given = schedule.noised(pinned.image, step - 1, noise.known(time, repeat))
                x = torch.where(pinned.known, given, x)
        if watch:
            watch(count - step, x)
    return x


def must_fit(name: str, x: Tensor, noise: Noise) -> None:
    """ShapeError unless there is a picture of the noise's shape for each of its images."""
    expected = (len(noise.images), *noise.shape)
    if tuple(x.shape) != expected:
        raise ShapeError(must(name, f"{expected}, a picture for each of Noise.images", tuple(x.shape)))
