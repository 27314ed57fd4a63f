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
from spikesim.core.files import written
from spikesim.errors import DatasetError, must

SUFFIXES = (".bs1",)
SENSOR = (1, 64)
EVENT_BYTES = 5
TIME_BITS = 23


def read(path: Path, sensor: tuple[int, int] = SENSOR) -> EventStream:
    """The recording in the file at `path`: x the channel, y 0.

    Raises DatasetError, naming the file, when it is missing, empty, cut short (no whole number of events), or holds a channel
    that the sensor lacks or an event earlier than the one before it.
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
    channel, t = byte[0] << 8 | byte[1], (byte[2] & 0x7F) << 16 | byte[3] << 8 | byte[4]
    try:
        return EventStream(t, channel, np.zeros_like(channel), byte[2] >> 7, sensor)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from None


def write(path: Path, stream: EventStream) -> None:
    """Write `stream` at `path`, atomically; DatasetError when a time does not fit the layout or there is more than one row."""
    for name, limit in (("t", 1 << TIME_BITS), ("y", 1)):
        values = getattr(stream, name)
        if len(values) and (values.min() < 0 or values.max() >= limit):
            raise DatasetError(must(f"bs1.write.{name}", f"from 0 to {limit - 1}", int(values.max())))
    byte = np.empty((len(stream), EVENT_BYTES), np.uint8)
    byte[:, 0], byte[:, 1] = stream.x >> 8, stream.x & 0xFF
    byte[:, 2] = (stream.p.astype(np.int64) << 7) | (stream.t >> 16)
    byte[:, 3], byte[:, 4] = (stream.t >> 8) & 0xFF, stream.t & 0xFF
    with written(Path(path)) as temporary:
        byte.tofile(temporary)
