"""Pictures for people: a grid as PNG, the way from noise as an animated GIF."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..core.files import written
from ..datasets.image_folders import eight_bits
from ..errors import ArtefactError, must

GAP, WANTED = 2, 56
"""Pixels between pictures of a grid; small pictures are enlarged by whole factors to about this many."""


def grid(pictures: np.ndarray, columns: int = 0) -> Image.Image:
    """Pictures (N, C, H, W) uint8 side by side, row by row; columns 0: about as many as rows."""
    count, channels, height, width = pictures.shape
    columns = columns or math.ceil(math.sqrt(count))
    times = max(1, WANTED // max(height, width))
    large = pictures.repeat(times, 2).repeat(times, 3)
    height, width = height * times, width * times
    rows = math.ceil(count / columns)
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels), 96, np.uint8)
    for i, picture in enumerate(large):
        top, left = i // columns * (height + GAP), i % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = picture.transpose(1, 2, 0)
    return Image.fromarray(sheet[..., 0] if channels == 1 else sheet)


def write_grid(path: Path, pictures: np.ndarray, columns: int = 0) -> None:
    """A PNG of the grid."""
    with written(path) as temporary:
        grid(pictures, columns).save(temporary, format="PNG")


def write_animation(path: Path, frames: np.ndarray, seconds: float = 4.0) -> None:
    """A GIF of frames (F, N, C, H, W) uint8 as grids, the last one shown for a second more."""
    images = [grid(frame) for frame in frames]
    each = max(20, round(1000 * seconds / len(images)))
    with written(path) as temporary:
        images[0].save(
            temporary, format="GIF", save_all=True, append_images=images[1:], loop=0,
            duration=[each] * (len(images) - 1) + [each + 1000],
        )  # fmt: skip


def read_picture(path: Path, channels: int, size: int) -> np.ndarray:
    """An image file as (C, size, size) float32 in 0..1, grey or RGB, resized to a square. ArtefactError where it is none."""
    try:
        with Image.open(path) as image:
            whole = eight_bits(image).convert("L" if channels == 1 else "RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise ArtefactError(must(str(path), "a picture that can be read", str(error))) from None
    found = whole.resize((size, size), Image.Resampling.BOX)
    array = np.asarray(found, np.float32) / np.float32(255)
    return array[None] if channels == 1 else array.transpose(2, 0, 1)
