"""Augmentation of image-like batches, drawn from a generator that is passed in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..core.params import check


@dataclass(frozen=True)
class RandomAffine:
    """Rotate, scale, shear and shift each image, and scale its values, uniformly within +- the given bounds.

    rotation (radians), scale, shear (relative), shift (pixels), gain (relative)
    x (B, C, H, W) -> (B, C, H, W), bilinear, zero outside.
    """

    rotation: float = 0.3
    scale: float = 0.15
    shear: float = 0.2
    shift: float = 2.0
    gain: float = 0.0

    def __post_init__(self) -> None:
        for name in ("rotation", "scale", "shear", "shift", "gain"):
            check(self, name, at_least=0)

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        def draw(bound: float) -> Tensor:
            return (2 * torch.rand(len(x), generator=generator) - 1) * bound

        angle, size, shear, gain = draw(self.rotation), 1 + draw(self.scale), draw(self.shear), 1 + draw(self.gain)
        right, down = draw(2 * self.shift / x.shape[3]), draw(2 * self.shift / x.shape[2])
        cos, sin = torch.cos(angle) * size, torch.sin(angle) * size
        top = torch.stack([cos, shear - sin, right], 1)
        theta = torch.stack([top, torch.stack([sin, cos, down], 1)], 1)
        grid = functional.affine_grid(theta, list(x.shape), align_corners=False)
        return functional.grid_sample(x * gain.view(-1, 1, 1, 1), grid, align_corners=False)


@dataclass(frozen=True)
class RandomCrop:
    """Pad each image with zeros, cut a window of its own size out at random, and mirror half of them.

    padding (pixels on every side), mirror (share of images flipped left to right)
    x (B, C, H, W) -> (B, C, H, W), channels last in memory.
    """

    padding: int = 4
    mirror: float = 0.5

    def __post_init__(self) -> None:
        check(self, "padding", at_least=0, integer=True)
        check(self, "mirror", at_least=0, at_most=1)

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        count, _, height, width = x.shape
        top, left = torch.randint(0, 2 * self.padding + 1, (2, count, 1), generator=generator)
        rows, columns = top + torch.arange(height), left + torch.arange(width)
        flipped = torch.rand(count, 1, generator=generator) < self.mirror
        columns = torch.where(flipped, columns.flip(1), columns)
        padded = functional.pad(x, [self.padding] * 4)
        images = torch.arange(count)[:, None, None]
        return padded[images, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
