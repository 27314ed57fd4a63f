"""A sample of ES-ImageNet: an .npz of pos and neg, (n, 3) whole numbers each: row, column, frame from 1 to 8.

Rows and columns are those of the canvas of ODG (`still_events.py`); an image that is not square is centred on 254 by 254, then the
middle 224 by 224 are kept, as the data set's loader does.

Source: Y. Lin et al., "ES-ImageNet", Frontiers in Neuroscience 15, 2021, its generator and loader.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from spikesim.core.events import EventStream
from spikesim.errors import DatasetError, must

SENSOR = (224, 224)
FRAMES, SIDE, CUT = 8, 254, 16
STEP_US = 1000
"""Microseconds from frame to frame: the data has no times of its own."""


def read(path: Path, size: tuple[int, int] = (SIDE, SIDE), step_us: int = STEP_US) -> EventStream:
    """The sample in the file at `path`, of an image of `size` (rows, columns) as its list of labels states.

    Raises DatasetError, naming the file, when it is missing, no such .npz, or holds a frame or place that is none.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            parts = [file[name] for name in ("neg", "pos")]
    except FileNotFoundError:
        raise DatasetError(must(str(path), "a file that can be read", "none")) from None
    except (OSError, ValueError, EOFError, KeyError, AttributeError, TypeError, zipfile.BadZipFile):
        raise DatasetError(must(str(path), "an .npz of pos and neg", "something else")) from None
    if any(part.ndim != 2 or part.shape[1] != 3 or part.dtype.kind not in "iu" for part in parts):
        got = ", ".join(f"{part.dtype.name} {part.shape}" for part in parts)
        raise DatasetError(must(str(path), "pos and neg of whole numbers (n, 3)", got))
    polarity = np.repeat([0, 1], [len(part) for part in parts])
    row, column, frame = np.concatenate(parts).astype(np.int64).T
    if len(frame) and (frame.min() < 1 or frame.max() > FRAMES):
        raise DatasetError(must(str(path), f"of frames from 1 to {FRAMES}", f"{frame.min()} to {frame.max()}"))
    y, x = (place + (SIDE - side) // 2 - CUT for place, side in zip((row, column), size))
    kept = (y >= 0) & (y < SENSOR[0]) & (x >= 0) & (x < SENSOR[1])
    order = np.lexsort((x[kept], y[kept], polarity[kept], frame[kept]))
    t, x, y, p = (values[kept][order] for values in ((frame - 1) * step_us, x, y, polarity))
    return EventStream(t, x, y, p, SENSOR)
