"""Events of a video, as ES-UCF101's are made: differences of frames against thresholds found from the video itself.

    D_k   = g_{k+1} - g_k                       g: `frames` frames at equal distances, grey, 0..1
    ON    where D_k > up,   up:   so that a share / 2 of all D lies above
    OFF   where D_k < down, down: so that a share / 2 of all D lies below

With `spread` > 0 every pixel has thresholds of its own, up + spread n and down - spread n' (n, n' standard normal, drawn from
the seeds), at least `least` from 0.

Lin et al., "Rethinking Pretraining as a Bridge from ANNs to SNNs", IEEE TNNLS 2022, and its code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikesim.core.params import check
from spikesim.core.seeds import Seeds
from spikesim.errors import ParameterError, ShapeError, must

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601)."""


@dataclass(frozen=True)
class VideoEvents:
    """frames  taken from the video, at least 2                 share  of pixels that have an event in a frame, on average
    spread  of a pixel's thresholds (the paper: 0.03; 0: one threshold for all)      least  smallest threshold then
    """

    frames: int = 31
    share: float = 0.15
    spread: float = 0.0
    least: float = 0.01

    def __post_init__(self) -> None:
        check(self, "frames", at_least=2, integer=True)
        check(self, "share", above=0, at_most=1)
        check(self, "spread", at_least=0)
        check(self, "least", at_least=0)


def video_events(video: np.ndarray, settings: VideoEvents = VideoEvents(), *, seeds: Seeds | None = None) -> np.ndarray:
    """Event frames (frames - 1, 2, H, W) uint8, channel 1 ON, of a video (F, H, W) or (F, H, W, 3) uint8.

    A shorter video repeats frames, which gives no events between them. ParameterError where a spread has no seeds.
    """
    grey = _grey(video)
    taken = grey[np.rint(np.linspace(0, len(grey) - 1, settings.frames)).astype(np.int64)]
    difference = np.diff(taken, axis=0)
    down, up = np.quantile(difference, [settings.share / 2, 1 - settings.share / 2]).astype(np.float32)
    if settings.spread:
        if seeds is None:
            raise ParameterError(must("video_events.seeds", "given with a spread", "none", "Seeds(0)"))
        drawn = seeds.generator().standard_normal((2, *grey.shape[1:])).astype(np.float32)
        down = -np.maximum(settings.spread * drawn[0] - down, settings.least)
        up = np.maximum(settings.spread * drawn[1] + up, settings.least)
    return np.stack([difference < np.minimum(down, 0), difference > np.maximum(up, 0)], axis=1).astype(np.uint8)


def _grey(video: np.ndarray) -> np.ndarray:
    video = np.asarray(video)
    fits = video.dtype == np.uint8 and len(video) if video.ndim in (3, 4) else 0
    if not fits or (video.ndim == 4 and video.shape[3] != 3):
        raise ShapeError(must("video_events.video", "uint8 (F, H, W) or (F, H, W, 3)", f"{video.dtype} {video.shape}"))
    grey = video.astype(np.float32) if video.ndim == 3 else video @ np.array(GREY, np.float32)
    return grey / np.float32(255)
