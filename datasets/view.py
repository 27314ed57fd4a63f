"""What of a recording is looked at: a rectangle of its pixels, one polarity of its events.

    kept where  x0 <= x < x1,  y0 <= y < y1,  p = polarity (both where it is None);  x, y then count from (x0, y0)

The time bins of what is kept are those of the whole recording: a raster of a view is that part of the whole raster.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikesim.core.events import POLARITIES, Columns
from spikesim.errors import ParameterError, must

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class View:
    """sensor    (H, W) of the recordings
    crop      (x0, y0, x1, y1), right and lower edge not included; None: all of the sensor
    polarity  0 or 1; None: both

    Raises ParameterError for a rectangle that is not inside the sensor, and for another polarity.
    """

    sensor: tuple[int, int]
    crop: Box | None = None
    polarity: int | None = None

    def __post_init__(self) -> None:
        height, width = self.sensor
        x0, y0, x1, y1 = self.box
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            rule = f"a rectangle x0, y0, x1, y1 inside 0, 0, {width}, {height}"
            raise ParameterError(must("crop", rule, (x0, y0, x1, y1)))
        if self.polarity not in (None, *range(POLARITIES)):
            raise ParameterError(must("polarity", "0 (OFF), 1 (ON) or None (both)", self.polarity))

    @property
    def box(self) -> Box:
        """The rectangle (x0, y0, x1, y1)."""
        return (0, 0, self.sensor[1], self.sensor[0]) if self.crop is None else self.crop

    @property
    def shape(self) -> tuple[int, int, int]:
        """(P, H, W) of a raster: one channel where one polarity is looked at."""
        x0, y0, x1, y1 = self.box
        return POLARITIES if self.polarity is None else 1, y1 - y0, x1 - x0

    def kept(self, events: Columns, offsets: np.ndarray) -> tuple[Columns, np.ndarray]:
        """The events of recordings that stand end to end that are seen, with p = 0 where there is one channel, and the
        offsets of what is left of each."""
        if self.crop is None and self.polarity is None:
            return events, offsets
        (x0, y0, x1, y1), (t, x, y, p) = self.box, events
        kept = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
        if self.polarity is not None:
            kept &= p == self.polarity
        before = np.concatenate([[0], np.cumsum(kept)])
        channel = p[kept] if self.polarity is None else np.zeros(before[-1], p.dtype)
        return Columns(t[kept], x[kept] - np.int16(x0), y[kept] - np.int16(y0), channel), before[offsets]
