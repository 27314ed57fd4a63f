"""The `.bs1` layout, a recording of a cochlea as slayerPytorch keeps those of N-TIDIGITS: five bytes an event, big-endian.

    bytes 0, 1   channel        bit 7 of byte 2   p (1 = ON)        other 23 bits   t in µs

Sources: the layout is that of N-MNIST's `.bin` (`nmnist_bin.py`) with one 16-bit place, as S. B. Shrestha, G. Orchard, "SLAYER",
NeurIPS 31, 2018, describe their files; the sensor: J. Anumula, D. Neil, T. Delbruck, S.-C. Liu, "Feature representations for
neuromorphic audio spike streams", Frontiers in Neuroscience 12:23, 2018.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spikesim.core.events import EventStream
from spikesim.errors import DatasetError

from . import _five_bytes

SUFFIXES = (".bs1",)
SENSOR = (1, 64)


def read(path: Path, sensor: tuple[int, int] = SENSOR) -> EventStream:
    """The recording in the file at `path`: x the channel, y 0.

    Raises DatasetError, naming the file, when it is missing, empty, cut short (no whole number of events), or holds a channel
    that the sensor lacks or an event earlier than the one before it.
    """
    first, second, p, t = _five_bytes.read(Path(path))
    try:
        return EventStream(t, first << 8 | second, np.zeros_like(t), p, sensor)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from None


def write(path: Path, stream: EventStream) -> None:
    """Write `stream` at `path`, atomically; DatasetError when a time does not fit the layout or there is more than one row."""
    _five_bytes.write(path, stream, (stream.x >> 8, stream.x & 0xFF), {"y": 1}, "bs1")
