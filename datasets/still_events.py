"""ODG: events of a still image that is moved by a pixel or two, the generator of ES-ImageNet, and its way back.

    V(r, c)    = max over colours of image / 255, the long side brought to `side` pixels (nearest)
    F_k        = V pasted at (ROWS[k], COLUMNS[k]) on zeros, four pixels larger,           k = 0 .. 8
    frame k    ON where F_k - F_{k-1} > threshold,  OFF where < -threshold,                k = 1 .. 8
               but not in rows and columns that only one of the two covers
    back       G(r, c) = sum_k (ON - OFF)_k (r + ROWS[k] - 1, c + COLUMNS[k] - 1)

Y. Lin, W. Ding, S. Qiang, L. Deng, G. Li: "ES-ImageNet: A Million Event-Stream Classification Dataset for Spiking Neural
Networks", Frontiers in Neuroscience 15, 2021, and its generator; the constants are its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import interpolate

from spikesim.core.params import check
from spikesim.errors import DatasetError, ParameterError, ShapeError, must

from .images import Images

ROWS = (1, 0, 2, 1, 0, 2, 1, 1, 2)
COLUMNS = (0, 2, 1, 0, 1, 2, 0, 1, 1)
FRAMES = len(ROWS) - 1
ROOM = 4
"""Pixels that the canvas is larger than the image."""


@dataclass(frozen=True)
class Odg:
    """side       pixels of the image's long side; 0: images as they are, on frames of their size + 4
    threshold  of a difference, in 0..1
    least      samples with fewer events are dropped
    cut        pixels cut off all around: of side 254 and cut 16, frames are 224 by 224; only with a side
    """

    side: int = 254
    threshold: float = 0.18
    least: int = 1000
    cut: int = 16

    def __post_init__(self) -> None:
        for name in ("side", "least", "cut"):
            check(self, name, at_least=0, integer=True)
        check(self, "threshold", above=0, below=1)
        if self.cut and 2 * self.cut >= self.side:
            raise ParameterError(must("Odg.cut", "less than half the side", self.cut, "0 where side is 0"))


SMALL = Odg(side=0, least=1, cut=0)
"""For images of a few dozen pixels: nothing is scaled or cut."""


def value(image: np.ndarray, side: int = 0) -> np.ndarray:
    """V of an image (H, W) or (H, W, 3) uint8 -> (h, w) float32 in 0..1, the long side `side` pixels (0: as it is)."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or 0 in image.shape:
        raise ShapeError(must("odg.image", "uint8 (H, W) or (H, W, 3)", f"{image.dtype.name} {image.shape}"))
    grey = (image if image.ndim == 2 else image.max(2)).astype(np.float32) / np.float32(255)
    if not side:
        return grey
    height, width = grey.shape
    size = (side, width * side // height) if height > width else (height * side // width, side)
    if 0 in size:
        raise ShapeError(must("odg.image", f"less long than {side} times its width", image.shape[:2]))
    return interpolate(torch.from_numpy(grey)[None, None], size=size, mode="nearest")[0, 0].numpy()


def odg(image: np.ndarray, settings: Odg = Odg()) -> np.ndarray:
    """Event frames (8, 2, h, w) uint8 of an image (H, W) or (H, W, 3) uint8, channel 1 ON."""
    v = value(image, settings.side)
    canvases = [_pasted(v, k) for k in range(len(ROWS))]
    frames = np.stack([_frame(canvases[k] - canvases[k - 1], v.shape, k, settings) for k in range(1, len(ROWS))])
    return _cut(frames, v.shape, settings) if settings.side else frames


def _pasted(v: np.ndarray, k: int) -> np.ndarray:
    canvas = np.zeros((v.shape[0] + ROOM, v.shape[1] + ROOM), np.float32)
    canvas[ROWS[k] : ROWS[k] + v.shape[0], COLUMNS[k] : COLUMNS[k] + v.shape[1]] = v
    return canvas


def _frame(difference: np.ndarray, shape: tuple[int, ...], k: int, settings: Odg) -> np.ndarray:
    threshold = np.float32(settings.threshold)
    frame = np.stack([difference < -threshold, difference > threshold]).astype(np.uint8)
    for axis, path in ((1, ROWS), (2, COLUMNS)):
        first, last = sorted((path[k - 1], path[k]))
        for edge in (0, shape[axis - 1]):
            frame[(slice(None),) * axis + (slice(first + edge, last + edge),)] = 0
    return frame


def _cut(frames: np.ndarray, shape: tuple[int, ...], settings: Odg) -> np.ndarray:
    """The middle of the canvas as data and loader leave it: events within the cut, then centred, then cut."""
    cut, end = settings.cut, settings.side + 2 - settings.cut
    if cut:
        frames[..., : cut + 1, :] = frames[..., : cut + 1] = 0
        frames[..., end:, :] = frames[..., end:] = 0
    rows, columns = ((settings.side - n) // 2 for n in shape)
    whole = np.zeros((*frames.shape[:2], settings.side + ROOM, settings.side + ROOM), np.uint8)
    whole[..., rows : rows + frames.shape[2], columns : columns + frames.shape[3]] = frames
    return whole[..., cut:end, cut:end]


def reconstructed(frames: np.ndarray) -> np.ndarray:
    """The grey plane G (H, W) float32 that event frames (8, 2, H, W) come from, by shifting them back and adding up."""
    frames = np.asarray(frames)
    if frames.ndim != 4 or frames.shape[:2] != (FRAMES, 2):
        raise ShapeError(must("reconstructed.frames", f"({FRAMES}, 2, H, W)", frames.shape))
    signed = frames[:, 1].astype(np.float32) - frames[:, 0]
    height, width = signed.shape[1:]
    total = np.zeros((height + 2, width + 2), np.float32)  # one pixel more on every side
    for k, frame in enumerate(signed, 1):
        row, column = 2 - ROWS[k], 2 - COLUMNS[k]
        total[row : row + height, column : column + width] += frame
    return total[1:-1, 1:-1]


def odg_frames(images: Images, settings: Odg = Odg()) -> tuple[np.ndarray, Images]:
    """Frames (n, 8, 2, h, w) uint8 of the images with events enough, and those images; DatasetError where none is left."""
    frames, kept = [], []
    for row, pixels in enumerate(images.pixels):
        sample = odg(pixels, settings)
        if sample.sum(dtype=np.int64) >= settings.least:
            frames.append(sample)
            kept.append(row)
    if not frames:
        raise DatasetError(must("odg_frames.images", f"some with {settings.least} events", "none", "lower Odg.least"))
    return np.stack(frames), images.subset(kept)
