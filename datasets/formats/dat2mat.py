"""Recordings as `dat2mat.m` of CIFAR10-DVS leaves them in a MATLAB 5 file: one matrix, a row an event.

    four columns    t in µs, x, y, polarity (1 = ON, -1 or 0 = OFF)        six columns    t, -, -, x, y, polarity

The variable may have any name, but must be the only such matrix. Files of MATLAB 7.3 are HDF5 and not read. No pickle.
Source: the data set's `dat2mat.m` (T. Delbruck, J. A. Pérez-Carrasco), its comments.
"""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from spikesim.core.events import EventStream
from spikesim.errors import DatasetError, must

SUFFIXES = (".mat",)
SENSOR = (128, 128)
MAGIC = b"MATLAB 5.0 MAT-file"
COLUMNS = {4: (0, 1, 2, 3), 6: (0, 3, 4, 5)}
"""Where t, x, y and polarity stand in a matrix of so many columns."""


def read(path: Path, sensor: tuple[int, int] = SENSOR) -> EventStream:
    """The recording in the file at `path`.

    Raises DatasetError, naming the file, when it is missing, no MATLAB 5 file, without exactly one matrix of events, or holds
    numbers that are not whole, an event off the sensor or earlier than the one before it.
    """
    path = Path(path)
    matrices = [v for v in _variables(path).values() if _is_events(v)]
    if len(matrices) != 1:
        rule = "a file with one matrix of events, with 4 or 6 columns"
        raise DatasetError(must(str(path), rule, f"{len(matrices)} such matrices"))
    t, x, y, p = (matrices[0][:, column] for column in COLUMNS[matrices[0].shape[1]])
    table = np.stack([t, x, y, np.where(p == -1, 0, p)]).astype(np.float64)
    if not (np.isfinite(table).all() and (table == np.rint(table)).all()):
        raise DatasetError(must(str(path), "a matrix of whole numbers", "others"))
    try:
        t, x, y, p = table.astype(np.int64)
        return EventStream(t, x, y, p, sensor)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from None


def _is_events(value: Any) -> bool:
    return bool(
        isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind in "iuf"
        and value.shape[1] in COLUMNS and len(value)
    )  # fmt: skip


def _variables(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    refused = DatasetError(must(str(path), "a whole MATLAB 5 file", "something else", 'save with "-v6" or "-v7"'))
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DatasetError(must(str(path), "a file that can be read", error.strerror or "an error")) from None
    if not raw.startswith(MAGIC):
        raise refused
    try:
        return dict(loadmat(BytesIO(raw)))
    except (MatReadError, LookupError, ValueError, TypeError, OSError, EOFError, struct.error, zlib.error):
        raise refused from None
