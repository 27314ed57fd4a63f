"""Counts of many channels: recordings of electrodes as spikes counted per time step, (trials, steps, channels).

    file     .npz or MATLAB 5 .mat with `counts` and `labels`, perhaps `split` (0 training, 1 test, 2 validation), `groups`
             (texts or numbers: who or which session) and `source` (a text: where they are from, "synthetic" where drawn)
    frames   k of T steps:  c'_jn = sum of c_tn over the t with floor(t k / T) = j

Such are the recordings of 192 channels of handwriting that the zero-shot study of brain and vision shows its reservoir: F. R.
Willett et al., "High-performance brain-to-text communication via handwriting", Nature 593, 2021. Their own files are of another
layout; what they are made to is the above.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch

from spikesim.core.params import number
from spikesim.core.raster import SparseRaster
from spikesim.errors import DatasetError, ParameterError, must

from .base import Labelled

BATCH = 256
"""Trials at a time; nothing depends on it."""
FIELDS = ("counts", "labels")
OPTIONAL = ("split", "groups", "source")


class Shown(Protocol):
    """How data is shown: `spikesim.lsm.Frames`."""

    @property
    def steps(self) -> int:
        """Steps of the raster."""

    @property
    def side(self) -> int:
        """Side of a box of pixels; 0: all."""

    @property
    def polarity(self) -> int | None:
        """The only polarity that is shown."""

    def box(self, sensor: tuple[int, int]) -> tuple[int, int, int, int] | None:
        """(left, top, right, bottom) of that box; None: all."""

    def flat(self, raster: SparseRaster) -> SparseRaster:
        """The raster with one axis, counts cut off."""


@dataclass(frozen=True, eq=False)
class Counts(Labelled):
    """Counts with labels.

    counts   (N, T, channels) whole numbers of at least 0; kept in the narrowest unsigned type
    labels   (N,) int64        sample_ids, name, split, groups as in EventDataset
    source   where they are from, for results; "": not said
    Raises DatasetError for counts that are negative, fractional or not finite, or of another shape.
    """

    counts: np.ndarray
    labels: np.ndarray
    sample_ids: np.ndarray = None  # type: ignore[assignment]
    name: str = "counts"
    split: np.ndarray | None = None
    groups: np.ndarray | None = None
    source: str = ""
    polarity: ClassVar[int] = 1

    def __post_init__(self) -> None:
        counts = np.asarray(self.counts)
        if counts.ndim != 3 or not counts.size or counts.dtype.kind not in "biuf":
            got = f"{counts.dtype.name} {counts.shape}"
            raise DatasetError(must("Counts.counts", "numbers of shape (trials, steps, channels), none 0", got))
        for rule, holds in (
            ("finite", np.isfinite),
            ("whole", lambda c: c == np.floor(c)),
            ("at least 0", lambda c: c >= 0),
        ):
            if not (fine := holds(counts)).all():
                where = tuple(int(n) for n in np.unravel_index(np.argmin(fine), counts.shape))
                got = f"{counts[where]} in trial {where[0]}, step {where[1]}, channel {where[2]}"
                raise DatasetError(must("Counts.counts", rule, got))
        if counts.max() >= 1 << 24:
            raise DatasetError(must("Counts.counts", "below 2^24, which float32 can hold", counts.max()))
        counts = counts.astype(np.min_scalar_type(int(counts.max())))
        counts.flags.writeable = False
        object.__setattr__(self, "counts", counts)
        self._check_rows(len(counts))

    @property
    def steps(self) -> int:
        """Steps of a trial."""
        return int(self.counts.shape[1])

    @property
    def sensor(self) -> tuple[int, int]:
        """(1, channels), of one polarity."""
        return 1, int(self.counts.shape[2])

    def subset(self, rows: Any) -> Counts:
        """The trials of these rows (indices or a mask), in that order."""
        rows = self._rows(rows)
        split, groups = (None if of is None else of[rows] for of in (self.split, self.groups))
        return Counts(
            self.counts[rows], self.labels[rows], self.sample_ids[rows], self.name, split, groups, self.source
        )

    def batches(self, frames: Shown) -> Iterator[tuple[SparseRaster, np.ndarray]]:
        """(raster of inputs (channels,), sample ids), all trials in order.

        Where `frames` has fewer steps, neighbours are added up. Raises ParameterError where it has more, cuts out a box, or
        shows polarity 0, of which there is none.
        """
        number("Frames.steps", frames.steps, at_least=1, at_most=self.steps, integer=True)
        if frames.side or frames.polarity == 0:
            rule, got = (
                "without side and not of polarity 0 for counts",
                f"side {frames.side}, polarity {frames.polarity}",
            )
            raise ParameterError(must("Frames", rule, got))
        starts = -(-np.arange(frames.steps) * self.steps // frames.steps)
        for first in range(0, len(self), BATCH):
            some = self.counts[first : first + BATCH].astype(np.float32)
            x = np.add.reduceat(some, starts, axis=1).swapaxes(0, 1)
            yield (
                frames.flat(SparseRaster.from_dense(torch.from_numpy(x.copy()))),
                self.sample_ids[first : first + BATCH],
            )

    def summary(self) -> dict[str, Any]:
        """What it holds: trials, classes, split, steps, channels, mean and largest count."""
        mean, largest = float(self.counts.mean()), int(self.counts.max())
        sizes = {"steps": self.steps, "channels": self.sensor[1]}
        said = {"source": self.source} if self.source else {}
        return {"kind": "counts", **self._row_summary(), **said, **sizes, "mean": mean, "max": largest}


def read_counts(path: Path) -> Counts:
    """The counts in the .npz or MATLAB 5 file at `path`.

    Raises DatasetError, naming the file, where it is missing, of another kind, without `counts` and `labels`, or where these
    do not fit together.
    """
    path = Path(path)
    arrays = _mat(path) if path.suffix.lower() == ".mat" else _npz(path)
    if missing := [name for name in FIELDS if name not in arrays]:
        got = ", ".join(sorted(name for name in arrays if not name.startswith("__"))) or "nothing"
        raise DatasetError(must(str(path), f"with {' and '.join(missing)}", got))
    rows = {name: np.ravel(arrays[name]) for name in ("labels", "split") if name in arrays}
    for name, values in rows.items():
        if values.dtype.kind not in "biuf" or not (np.isfinite(values) & (values == np.floor(values))).all():
            raise DatasetError(must(f"{path} {name}", "whole numbers", f"{values.dtype.name}"))
        rows[name] = values.astype(np.int64)
    texts = {name: _texts(path, name, arrays[name]) for name in ("groups", "source") if name in arrays}
    try:
        return Counts(
            arrays["counts"], rows["labels"], name=path.stem, split=rows.get("split"), groups=texts.get("groups"),
            source=" ".join(texts.get("source", ())),
        )  # fmt: skip
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from None


def is_counts(path: Path) -> bool:
    """Is this a file that `read_counts` is for: a .mat, or an .npz with `counts` and no events."""
    if path.suffix.lower() == ".mat":
        return True
    if path.suffix.lower() != ".npz" or not path.is_file():
        return False
    try:
        with np.load(path, allow_pickle=False) as file:
            return "counts" in file and "t" not in file
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile):
        return False


def _texts(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """Texts, or whole numbers as texts; MATLAB fills rows of text up with blanks."""
    flat = np.ravel(values)
    if flat.dtype.kind in "iuf" and (flat == np.floor(flat)).all():
        flat = flat.astype(np.int64).astype(str)
    if flat.dtype.kind != "U":
        raise DatasetError(must(f"{path} {name}", "texts or whole numbers", flat.dtype.name))
    return np.char.rstrip(flat)


def _npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in (*FIELDS, *OPTIONAL) if name in file} or dict.fromkeys(
                file, np.zeros(0)
            )
    except FileNotFoundError:
        raise DatasetError(must(str(path), "a file that can be read", "none")) from None
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile):
        raise DatasetError(must(str(path), "an .npz of plain arrays", "something else", "save with np.savez")) from None


def _mat(path: Path) -> dict[str, np.ndarray]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DatasetError(must(str(path), "a file that can be read", error.strerror or "an error")) from None
    try:
        return dict(loadmat(BytesIO(raw)))
    except (
        MatReadError, NotImplementedError, LookupError, ValueError, TypeError, OSError, EOFError, struct.error, zlib.error
    ):  # fmt: skip
        raise DatasetError(
            must(str(path), "a whole MATLAB 5 file", "something else", 'save with "-v6" or "-v7"')
        ) from None
