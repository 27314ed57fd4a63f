"""The N-MNIST `.bin` layout: five bytes an event, big-endian.

    byte 0   x        byte 1   y        bit 7 of byte 2   p (1 = ON)        other 23 bits   t in µs

Source: G. Orchard, A. Jayawant, G. K. Cohen, N. Thakor, "Converting static image datasets to spiking neuromorphic
datasets using saccades", Frontiers in Neuroscience 9:437, 2015, and the data set's description.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spikesim.core.events import EventStream
from spikesim.core.files import written
from spikesim.errors import DatasetError, must

SUFFIXES = (".bin", ".bs2")
SENSOR = (34, 34)
EVENT_BYTES = 5
TIME_BITS = 23


def read(path: Path, sensor: tuple[int, int] = SENSOR) -> EventStream:
    """The recording in the file at `path`.

    Raises DatasetError, naming the file, when it is missing, empty, cut short (no whole number of events), or holds
    an event off the sensor or earlier than the one before it.
    """
    path = Path(path)
    try:
        raw = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DatasetError(must(str(path), "a file that can be read", error.strerror or "an error")) from None
    if raw.size == 0 or raw.size % EVENT_BYTES:
        rule = f"a whole number of {EVENT_BYTES}-byte events, at least one"
        raise DatasetError(must(str(path), rule, f"{raw.size} bytes", "the file is cut short; fetch it again"))
    byte = raw.reshape(-1, EVENT_BYTES).T.astype(np.int64)
    t = ((byte[2] & 0x7F) << 16) | (byte[3] << 8) | byte[4]
    try:
        return EventStream(t, byte[0], byte[1], byte[2] >> 7, sensor)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from None


def write(path: Path, stream: EventStream) -> None:
    """Write `stream` at `path`, atomically; DatasetError when a time or coordinate does not fit the layout."""
    fits = {"t": 1 << TIME_BITS, "x": 256, "y": 256}
    for name, limit in fits.items():
        values = getattr(stream, name)
        if len(values) and (values.min() < 0 or values.max() >= limit):
            raise DatasetError(must(f"nmnist_bin.write.{name}", f"from 0 to {limit - 1}", int(values.max())))
    byte = np.empty((len(stream), EVENT_BYTES), np.uint8)
    byte[:, 0], byte[:, 1] = stream.x, stream.y
    byte[:, 2] = (stream.p.astype(np.int64) << 7) | (stream.t >> 16)
    byte[:, 3], byte[:, 4] = (stream.t >> 8) & 0xFF, stream.t & 0xFF
    with written(Path(path)) as temporary:
        byte.tofile(temporary)
