"""From a picture to others like it: it is noised to a middle step of the schedule, and sampled from there.

Meng et al., "SDEdit", ICLR 2022.
"""

from __future__ import annotations

import math

from torch import Tensor

from ...core.params import number
from ..denoiser import Denoiser
from ..noise import Noise
from .reverse import Clip, Reverse, Watch, must_fit, sampled


def image_to_image(
    denoiser: Denoiser,
    reverse: Reverse,
    noise: Noise,
    image: Tensor,
    strength: float,
    *,
    condition: Tensor | None = None,
    clip: Clip | None = None,
    watch: Watch | None = None,
) -> Tensor:
    """Pictures (B, C, H, W) of image (B, C, H, W), by any `Reverse`. strength: the share of steps, above 0; 1 keeps nothing."""
    number("image_to_image.strength", strength, above=0, at_most=1)
    must_fit("image_to_image.image", image, noise)
    count = math.ceil(strength * reverse.schedule.steps)
    x = reverse.schedule.noised(image, count - 1, noise.initial())
    return sampled(denoiser, reverse, noise, start=(x, count), condition=condition, clip=clip, watch=watch)
