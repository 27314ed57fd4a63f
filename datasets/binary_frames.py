"""Binary event frames, (T, 2, H, W) with channel p (0 = OFF, 1 = ON): what image-to-event generators make.

They become recordings by a time per frame, so that everything that takes recordings takes them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spikesim.core.events import EventStream
from spikesim.core.params import number
from spikesim.errors import ShapeError, must

from .base import EventDataset

STEP_US = 1000
"""Microseconds from frame to frame."""


def as_stream(frames: np.ndarray, step_us: int = STEP_US) -> EventStream:
    """The recording in which an event of frame k (T, 2, H, W) is at k step_us; a value v stands for v events."""
    frames = np.asarray(frames)
    if frames.ndim != 4 or frames.shape[1] != 2 or frames.dtype.kind not in "uib":
        raise ShapeError(must("as_stream.frames", "whole numbers (T, 2, H, W)", f"{frames.dtype.name} {frames.shape}"))
    number("as_stream.step_us", step_us, at_least=1, integer=True)
    places = np.nonzero(frames)
    k, p, y, x = (np.repeat(places, frames[places].astype(np.int64), axis=1)).astype(np.int64)
    return EventStream(k * step_us, x, y, p, (frames.shape[2], frames.shape[3]))


def as_recordings(frames: Any, labels: Any, *, step_us: int = STEP_US, **fields: Any) -> EventDataset:
    """The data set of samples (N, T, 2, H, W), or a list of (T, 2, H, W); `fields` are sample_ids, name, split.

    `raster(T)` gives the frames back where the first and the last of a recording hold an event.
    """
    return EventDataset.joined([as_stream(sample, step_us) for sample in frames], labels, **fields)
