"""What HDF5 files of cochleas have in common: opening them, and channels and seconds made recordings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from spikesim.core.events import EventStream
from spikesim.errors import DatasetError, must

SIGNATURE = b"\x89HDF\r\n\x1a\n"


def is_hdf5(path: Path) -> bool:
    """Does the file at `path` begin as HDF5 does."""
    try:
        with path.open("rb") as file:
            return file.read(len(SIGNATURE)) == SIGNATURE
    except OSError:
        return False


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The file at `path`, open to read; DatasetError, naming it, where it is none or breaks off."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except FileNotFoundError:
        raise DatasetError(must(str(path), "a file that can be read", "none")) from None
    except (OSError, KeyError, RuntimeError) as error:
        got = (str(error).strip("'\"").splitlines() or ["an error"])[0]
        raise DatasetError(must(str(path), "an HDF5 file that can be read", got)) from None


def stream(where: str, channels: Any, seconds: Any, count: int) -> EventStream:
    """One recording of `count` channels in a row: times rounded to µs and brought in order, events of one time as they stand.

    Raises DatasetError, in one line that begins with `where`, for arrays that do not fit together, times that are negative or
    not finite, and channels that are none of these.
    """
    channels, seconds = np.asarray(channels), np.asarray(seconds)
    kinds = channels.dtype.kind in "iuf" and seconds.dtype.kind in "iuf"
    if not kinds or channels.ndim != 1 or channels.shape != seconds.shape:
        got = f"{channels.dtype.name} {channels.shape}, {seconds.dtype.name} {seconds.shape}"
        raise DatasetError(must(where, "channels and times, two lists of numbers of one length", got))
    t = seconds.astype(np.float64) * 1e6
    if not np.isfinite(t).all() or t.min(initial=0) < 0:
        raise DatasetError(
            must(f"{where} times", "finite and at least 0 s", f"{t[~(t >= 0) | ~np.isfinite(t)][0] / 1e6}")
        )
    if len(channels) and not (channels == np.floor(channels)).all():
        raise DatasetError(must(f"{where} channels", "whole numbers", "others"))
    if len(channels) and not (channels.min() >= 0 and channels.max() < count):
        off = int(channels.max() if channels.max() >= count else channels.min())
        raise DatasetError(must(f"{where} channels", f"from 0 to {count - 1}", off))
    t = np.rint(t).astype(np.int64)
    order = np.argsort(t, kind="stable")
    zeros = np.zeros(len(t), np.int16)
    return EventStream(t[order], channels[order].astype(np.int16), zeros, zeros.astype(np.uint8) + 1, (1, count))
