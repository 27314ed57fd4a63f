"""Filling in: given pixels are noised again and set at every step, the others are sampled around them.

That alone is no exact conditional sampling: what is sampled sees given pixels of another draw of noise. Making every step
`repeats` times, going up to noise between, brings the two together. Lugmayr et al., "RePaint", CVPR 2022 (jumps of length 1).
"""

from __future__ import annotations

from torch import Tensor

from ..denoiser import Denoiser
from ..noise import Noise
from .reverse import Clip, Pinned, Reverse, Watch, must_fit, sampled


def inpaint(
    denoiser: Denoiser,
    reverse: Reverse,
    noise: Noise,
    image: Tensor,
    known: Tensor,
    *,
    repeats: int = 1,
    condition: Tensor | None = None,
    clip: Clip | None = None,
    watch: Watch | None = None,
) -> Tensor:
    """Pictures (B, C, H, W) that have image's pixels (B, C, H, W) where known (bool, broadcast to them), by any `Reverse`."""
    must_fit("inpaint.image", image, noise)
    pinned = Pinned(image, known, repeats)
    return sampled(denoiser, reverse, noise, pinned=pinned, condition=condition, clip=clip, watch=watch)
