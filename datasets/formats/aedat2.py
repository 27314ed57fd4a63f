"""AEDAT 2.0 of a DVS128, as jAER writes it and CIFAR10-DVS is kept: header lines with "#", then eight bytes an event.

    big-endian uint32 address, uint32 time in µs
    bit 0 of the address: 0 = ON     bits 1-7: 127 - x     bits 8-14: y     bit 15: a special event, left out

Coordinates are those of the data set's own `dat2mat.m`. Sources: jAER's description of AEDAT 2.0; H. Li, H. Liu, X. Ji, G. Li,
L. Shi, "CIFAR10-DVS: An Event-Stream Dataset for Object Classification", Frontiers in Neuroscience 11:309, 2017.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spikesim.core.events import EventStream
from spikesim.core.files import written
from spikesim.errors import DatasetError, must

SUFFIXES = (".aedat",)
SENSOR = (128, 128)
EVENT_BYTES = 8
VERSION = b"#!AER-DAT"
HEADER = VERSION + b"2.0\r\n# This is a raw AE data file - do not edit\r\n# Timestamps tick is 1 us\r\n"


def read(path: Path) -> EventStream:
    """The recording in the file at `path`, its times as they stand there.

    Raises DatasetError, naming the file, when it is missing, of another version or camera, without events, cut short, or holds
    an event earlier than the one before it.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DatasetError(must(str(path), "a file that can be read", error.strerror or "an error")) from None
    data = raw[_header(path, raw) :]
    if not data or len(data) % EVENT_BYTES:
        rule = f"a whole number of {EVENT_BYTES}-byte events behind its header, at least one"
        raise DatasetError(must(str(path), rule, f"{len(data)} bytes", "the file is cut short; fetch it again"))
    address, t = np.frombuffer(data, ">u4").reshape(-1, 2).T.astype(np.int64)
    if address.max() >= 1 << 16:
        raise DatasetError(must(str(path), "of a DVS128, with addresses below 65536", int(address.max())))
    kept = address < 1 << 15
    address, t = address[kept], t[kept]
    try:
        return EventStream(t, 127 - (address >> 1 & 127), address >> 8, 1 - (address & 1), SENSOR)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from None


def _header(path: Path, raw: bytes) -> int:
    """Length of the header; DatasetError where the version is not 2."""
    if not raw.startswith(VERSION + b"2"):
        got = raw.split(b"\n", 1)[0][:20].decode("ascii", "replace").strip() or "nothing"
        raise DatasetError(must(str(path), 'AEDAT 2.0, beginning with "#!AER-DAT2"', got))
    end = 0
    while raw[end : end + 1] == b"#":
        end = raw.find(b"\n", end) + 1 or len(raw)
    return end


def write(path: Path, stream: EventStream) -> None:
    """Write `stream` at `path`, atomically; DatasetError when a time or coordinate does not fit the layout."""
    for name, limit in (("t", 1 << 32), ("x", SENSOR[1]), ("y", SENSOR[0])):
        values = getattr(stream, name)
        if len(values) and (values.min() < 0 or values.max() >= limit):
            raise DatasetError(must(f"aedat2.write.{name}", f"from 0 to {limit - 1}", int(values.max())))
    words = np.empty((len(stream), 2), ">u4")
    x, y, p = (getattr(stream, name).astype(np.int64) for name in "xyp")
    words[:, 0], words[:, 1] = y << 8 | (127 - x) << 1 | (1 - p), stream.t
    with written(Path(path)) as temporary:
        temporary.write_bytes(HEADER + words.tobytes())
