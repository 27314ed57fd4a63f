"""The N-MNIST `.bin` layout: five bytes an event, big-endian.

    byte 0   x        byte 1   y        bit 7 of byte 2   p (1 = ON)        other 23 bits   t in µs

Source: G. Orchard, A. Jayawant, G. K. Cohen, N. Thakor, "Converting static image datasets to spiking neuromorphic
datasets using saccades", Frontiers in Neuroscience 9:437, 2015, and the data set's description.
"""

from __future__ import annotations

from pathlib import Path

from spikesim.core.events import EventStream
from spikesim.errors import DatasetError

from . import _five_bytes

SUFFIXES = (".bin", ".bs2")
SENSOR = (34, 34)


def read(path: Path, sensor: tuple[int, int] = SENSOR) -> EventStream:
    """The recording in the file at `path`.

    Raises DatasetError, naming the file, when it is missing, empty, cut short (no whole number of events), or holds
    an event off the sensor or earlier than the one before it.
    """
    first, second, p, t = _five_bytes.read(Path(path))
    try:
        return EventStream(t, first, second, p, sensor)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from None


def write(path: Path, stream: EventStream) -> None:
    """Write `stream` at `path`, atomically; DatasetError when a time or coordinate does not fit the layout."""
    _five_bytes.write(path, stream, (stream.x, stream.y), {"x": 256, "y": 256}, "nmnist_bin")
