"""Rate coding: images shown as spikes that are drawn at every step, more often where they are bright.

    s_tu = 1 with probability min(1, gain pixel_u / 255), at every step t and pixel u independently

A draw is a Philox word of counter (pixel, step, sample id) under a key of the seeds: spikes do not depend on batch, order, crop
or the number of steps. The zero-shot study of brain and vision has gain 20 / 50 and 50 steps (as its code has it).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from spikesim.core import philox
from spikesim.core.params import check
from spikesim.core.raster import SparseRaster
from spikesim.core.seeds import Seeds
from spikesim.errors import DatasetError, ParameterError, must

from .base import Labelled
from .counts import BATCH, Shown
from .images import Images

GAIN = 20 / 50
"""The published one."""
WORDS = 4
"""Words of a counter: one for each of so many steps."""


@dataclass(frozen=True, eq=False)
class RateCoded(Labelled):
    """Images with labels that are shown as drawn spikes.

    pixels   (N, H, W) uint8, 0 never fires        labels   (N,) int64
    gain     probability at 255, above 1: certain from 255 / gain on
    seeds    of the draws                          sample_ids, name, split, groups as in EventDataset
    """

    pixels: np.ndarray
    labels: np.ndarray
    sample_ids: np.ndarray = None  # type: ignore[assignment]
    name: str = "rate coded"
    split: np.ndarray | None = None
    groups: np.ndarray | None = None
    gain: float = GAIN
    seeds: Seeds = Seeds(0)
    polarity: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check(self, "gain", above=0)
        if self.pixels.ndim != 3 or self.pixels.dtype != np.uint8:
            got = f"{self.pixels.dtype.name} {self.pixels.shape}"
            raise DatasetError(must("RateCoded.pixels", "uint8 of shape (N, H, W)", got))
        self._check_rows(len(self.pixels))

    @property
    def sensor(self) -> tuple[int, int]:
        """(H, W), of one polarity."""
        return int(self.pixels.shape[1]), int(self.pixels.shape[2])

    def subset(self, rows: Any) -> RateCoded:
        """The images of these rows (indices or a mask), in that order; their spikes stay what they are."""
        rows = self._rows(rows)
        fields = ("pixels", "labels", "sample_ids", "split", "groups")
        return replace(self, **{name: of[rows] for name in fields if (of := getattr(self, name)) is not None})

    def batches(self, frames: Shown) -> Iterator[tuple[SparseRaster, np.ndarray]]:
        """(raster of inputs (pixels,), sample ids), all images in order; ParameterError for polarity 0, which there is none of."""
        if frames.polarity == 0:
            raise ParameterError(must("Frames.polarity", "1 or None for rate coding", frames.polarity))
        for first in range(0, len(self), BATCH):
            rows = slice(first, first + BATCH)
            yield frames.flat(self._drawn(rows, frames)), self.sample_ids[rows]

    def _drawn(self, rows: slice, frames: Shown) -> SparseRaster:
        """The spikes of some images; words are drawn for pixels that are not 0."""
        pixels, steps = self.pixels[rows], frames.steps
        left, top, right, bottom = frames.box(self.sensor) or (0, 0, self.sensor[1], self.sensor[0])
        sample, y, x = np.nonzero(pixels[:, top:bottom, left:right])
        chance = np.minimum(1.0, self.gain * pixels[sample, y + top, x + left] / 255.0)
        place, ids = (y + top) * self.sensor[1] + x + left, self.sample_ids[rows].astype(np.uint64)[sample]
        group = np.arange(-(-steps // WORDS))
        low, high = ids & philox.MASK, ids >> philox.SHIFT
        key = self.seeds.child("rate coding").key
        words = philox.words(place[:, None], group, low[:, None], high[:, None], key)
        drawn = philox.uniform_of(np.stack(words, -1).reshape(len(place), WORDS * len(group))[:, :steps])
        which, step = np.nonzero(drawn < chance[:, None])
        row = sample[which] * steps + step
        order = np.argsort(row, kind="stable")
        ptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(pixels) * steps))])
        idx = (y * (right - left) + x)[which][order]
        return SparseRaster(ptr, idx, None, steps, ((right - left) * (bottom - top),))

    def summary(self) -> dict[str, Any]:
        """What it holds: images, classes, split, sensor, mean probability of a spike."""
        chance = np.minimum(1.0, self.gain * np.arange(256) / 255.0)
        share = np.bincount(self.pixels.ravel(), minlength=256) / max(1, self.pixels.size)
        rate = {"gain": self.gain, "rate": float(chance @ share)}
        return {"kind": "rate coded images", **self._row_summary(), "sensor": list(self.sensor), **rate}


@dataclass(frozen=True)
class RateCoding:
    """How images become spikes: gain as above; size, the side in pixels that they are brought to (0: as they are); inverted, for
    ink on paper."""

    gain: float = GAIN
    size: int = 0
    inverted: bool = False

    def __post_init__(self) -> None:
        check(self, "gain", above=0)
        check(self, "size", at_least=0, integer=True)
        if not isinstance(self.inverted, bool):
            raise ParameterError(must("RateCoding.inverted", "true or false", self.inverted))

    def __call__(self, images: Images, seeds: Seeds) -> RateCoded:
        """The images as spikes that are drawn when they are shown."""
        turned = images.inverted() if self.inverted else images
        return rate_coded(turned.resized(self.size) if self.size else turned, seeds, self.gain)


def rate_coded(images: Images, seeds: Seeds, gain: float = GAIN) -> RateCoded:
    """Images as spikes that are drawn when they are shown."""
    return RateCoded(images.pixels, images.labels, images.ids, images.name, images.split, images.groups, gain, seeds)
