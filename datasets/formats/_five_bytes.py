"""Five bytes an event, big-endian, as `nmnist_bin.py` and `bs1.py` have them: two of place, then p and time.

bytes 0, 1   the place        bit 7 of byte 2   p (1 = ON)        other 23 bits   t in µs
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spikesim.core.events import EventStream
from spikesim.core.files import written
from spikesim.errors import DatasetError, must

EVENT_BYTES = 5
TIME_BITS = 23


def read(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Byte 0, byte 1, p and t of the events in a file, int64 each. DatasetError where it is missing, empty or cut short."""
    try:
        raw = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DatasetError(must(str(path), "a file that can be read", error.strerror or "an error")) from None
    if raw.size == 0 or raw.size % EVENT_BYTES:
        rule = f"a whole number of {EVENT_BYTES}-byte events, at least one"
        raise DatasetError(must(str(path), rule, f"{raw.size} bytes", "the file is cut short; fetch it again"))
    byte = raw.reshape(-1, EVENT_BYTES).T.astype(np.int64)
    return byte[0], byte[1], byte[2] >> 7, (byte[2] & 0x7F) << 16 | byte[3] << 8 | byte[4]


def write(
    path: Path, stream: EventStream, place: tuple[np.ndarray, np.ndarray], limits: dict[str, int], owner: str
) -> None:
    """Write a stream whose places are these two bytes, atomically; DatasetError where a column is not below its limit."""
    for name, limit in {"t": 1 << TIME_BITS, **limits}.items():
        values = getattr(stream, name)
        if len(values) and (values.min() < 0 or values.max() >= limit):
            raise DatasetError(must(f"{owner}.write.{name}", f"from 0 to {limit - 1}", int(values.max())))
    byte = np.empty((len(stream), EVENT_BYTES), np.uint8)
    byte[:, 0], byte[:, 1] = place
    byte[:, 2] = (stream.p.astype(np.int64) << 7) | (stream.t >> 16)
    byte[:, 3], byte[:, 4] = (stream.t >> 8) & 0xFF, stream.t & 0xFF
    with written(Path(path)) as temporary:
        byte.tofile(temporary)
