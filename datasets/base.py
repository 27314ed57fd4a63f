"""What a data set is: labelled recordings that stand end to end, or labelled arrays, behind one small interface.

len(data)   data[i]   data.labels   data.sample_ids   data.subset(rows)   data.part("train")
data.frames()   data.folds(k)   data.summary()          and for recordings   data.raster(steps, rows)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from spikesim.core.binning import binned
from spikesim.core.events import (
    DTYPES,
    Columns,
    EventStream,
    checked_columns,
    checked_sensor,
    natural_window,
    raster,
)
from spikesim.core.params import number
from spikesim.core.raster import SparseRaster
from spikesim.errors import DatasetError, ParameterError, ShapeError, must, nearest

from .view import Box, View

TRAIN, TEST, VALIDATION = 0, 1, 2
"""What `split` says of a row: to learn from, to judge by, to choose by."""
PARTS = {"train": TRAIN, "test": TEST, "validation": VALIDATION}


def _frozen(values: Any, field: str, length: int, dtype: Any = np.int64) -> np.ndarray:
    array = np.asarray(values)
    if array.shape != (length,) or (array.size and array.dtype.kind not in "iub"):
        got = f"{array.dtype.name} {array.shape}"
        raise ShapeError(must(field, f"whole numbers of shape ({length},)", got))
    if array.dtype != dtype or array.flags.writeable:
        array = array.astype(dtype)
        array.flags.writeable = False
    return array


def _named(groups: Any, field: str, length: int) -> np.ndarray:
    array = np.asarray(groups)
    if array.shape != (length,) or array.dtype.kind != "U":
        raise ShapeError(must(field, f"texts of shape ({length},)", f"{array.dtype.name} {array.shape}"))
    if array.flags.writeable:
        array = array.copy()
        array.flags.writeable = False
    return array


class Labelled:
    """Abstract: rows with labels, identities, perhaps a split and groups. Subclasses are frozen dataclasses with the
    fields labels, sample_ids, name, split, where they know it groups, and define `subset`."""

    labels: np.ndarray
    sample_ids: np.ndarray
    name: str
    split: np.ndarray | None
    groups: np.ndarray | None = None

    def _check_rows(self, length: int) -> None:
        owner = type(self).__name__
        ids = np.arange(length) if self.sample_ids is None else self.sample_ids
        object.__setattr__(self, "labels", _frozen(self.labels, f"{owner}.labels", length))
        object.__setattr__(self, "sample_ids", _frozen(ids, f"{owner}.sample_ids", length))
        if self.split is not None:
            object.__setattr__(self, "split", _frozen(self.split, f"{owner}.split", length, np.uint8))
        if self.groups is not None:
            object.__setattr__(self, "groups", _named(self.groups, f"{owner}.groups", length))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        """Number of classes: largest label + 1."""
        return int(self.labels.max(initial=-1)) + 1

    def subset(self, rows: Any) -> Any:
        """The data set of these rows (indices or a mask), in that order."""
        raise NotImplementedError

    def _rows(self, rows: Any) -> np.ndarray:
        """Row numbers from indices or a mask; ParameterError naming the first that is not there."""
        if rows is None:
            return np.arange(len(self))
        rows = np.asarray(rows)
        if rows.dtype == bool and rows.shape == (len(self),):
            return np.flatnonzero(rows)
        off = (rows < 0) | (rows >= len(self)) if rows.dtype.kind in "iu" else np.ones(rows.shape, bool)
        if rows.ndim != 1 or off.any():
            got = str(rows[off].flat[0]) if off.any() else f"shape {rows.shape}"
            raise ParameterError(must(f"{type(self).__name__}.rows", f"a list of numbers below {len(self)}", got))
        return rows.astype(np.int64)

    def indices(self, part: str) -> np.ndarray:
        """Rows of "train", "test" or "validation"; DatasetError when the data set has no fixed split."""
        if part not in PARTS:
            rule = '"train", "test" or "validation"'
            raise ParameterError(must(f"{type(self).__name__}.part", rule, part, nearest(part, PARTS)))
        if self.split is None:
            raise DatasetError(must(f"{type(self).__name__}.split", "given", "none", "use folds() or subset()"))
        return np.flatnonzero(self.split == PARTS[part])

    def part(self, name: str) -> Any:
        """The data set of the fixed split's "train", "test" or "validation" rows, of which there may be none."""
        return self.subset(self.indices(name))

    def folds(self, k: int = 5, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
        """k stratified folds, [(train rows, test rows)]; the same for the same k and seed. Needs scikit-learn."""
        from sklearn.model_selection import StratifiedKFold

        smallest = int(np.unique(self.labels, return_counts=True)[1].min(initial=len(self)))
        number("folds.k", k, at_least=2, integer=True)
        if k > smallest:
            raise DatasetError(must("folds.k", f"at most the smallest class, {smallest} samples", k))
        folding = StratifiedKFold(n_splits=k, shuffle=True, random_state=seed)
        return [(train, test) for train, test in folding.split(np.zeros(len(self)), self.labels)]

    def _row_summary(self) -> dict[str, Any]:
        counted: dict[str, Any] = {"name": self.name, "samples": len(self), "classes": self.classes}
        if self.split is not None:
            counted["train"], counted["test"] = (int((self.split == part).sum()) for part in (TRAIN, TEST))
            if VALIDATION in self.split:
                counted["validation"] = int((self.split == VALIDATION).sum())
        if self.groups is not None:
            counted["groups"] = len(np.unique(self.groups))
        return counted


@dataclass(frozen=True, eq=False)
class EventDataset(Labelled):
    """Labelled recordings of one sensor, end to end; immutable.

    t, x, y, p    (n,) columns as in EventStream (int64 µs, int16, int16, uint8)
    offsets       (N + 1,) int64: recording i is offsets[i]:offsets[i + 1]
    labels        (N,) int64                      sensor       (H, W)
    sample_ids    (N,) int64, identity of a recording: what keyed draws count by (0..N-1 when None)
    split         (N,) uint8, 0 = train, 1 = test, 2 = validation, or None
    groups        (N,) str, who or what a recording comes from (a speaker), or None
    polarity      the only one that the sensor has, as a cochlea's 1; None: both. `Frames` then counts no inputs of the other

    `data[i]` is (EventStream, label). Raises ShapeError and DatasetError as EventStream does; read-only arrays of
    the right dtype are kept, not copied.
    """

    t: np.ndarray
    x: np.ndarray
    y: np.ndarray
    p: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    sensor: tuple[int, int]
    sample_ids: np.ndarray = None  # type: ignore[assignment]
    name: str = "recordings"
    split: np.ndarray | None = None
    groups: np.ndarray | None = None
    polarity: int | None = None

    def __post_init__(self) -> None:
        owner = type(self).__name__
        object.__setattr__(self, "sensor", checked_sensor(self.sensor, owner))
        offsets = np.asarray(self.offsets)
        offsets = _frozen(offsets, f"{owner}.offsets", len(offsets) if offsets.ndim else 0)
        if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(self.t) or (np.diff(offsets) < 0).any():
            got = "something else" if len(offsets) else "nothing"
            raise ShapeError(must(f"{owner}.offsets", f"rising from 0 to the {len(self.t)} events", got))
        object.__setattr__(self, "offsets", offsets)
        self._check_rows(len(offsets) - 1)
        columns = checked_columns({c: getattr(self, c) for c in DTYPES}, self.sensor, owner, offsets)
        for column, values in columns._asdict().items():
            object.__setattr__(self, column, values)
        View(self.sensor, polarity=self.polarity)
        if self.polarity is not None and (self.p != self.polarity).any():
            rule = f"{self.polarity} of all events, the only one of the sensor"
            raise DatasetError(must(f"{owner}.p", rule, 1 - self.polarity))

    @classmethod
    def joined(cls, streams: list[EventStream], labels: Any, **fields: Any) -> EventDataset:
        """The data set of recordings given one by one; `fields` are sample_ids, name, split, groups, polarity."""
        if not streams or len({stream.sensor for stream in streams}) > 1:
            got = sorted({stream.sensor for stream in streams})
            raise DatasetError(must("EventDataset.joined.streams", "at least one, all of one sensor", got))
        offsets = np.cumsum([0, *map(len, streams)])
        columns: Any = {name: np.concatenate([getattr(s, name) for s in streams]) for name in DTYPES}
        return cls(**columns, offsets=offsets, labels=labels, sensor=streams[0].sensor, **fields)

    @classmethod
    def trusted(
        cls, columns: Columns, offsets: np.ndarray, labels: np.ndarray, sensor: tuple[int, int], *,
        sample_ids: np.ndarray, name: str, split: np.ndarray | None, groups: np.ndarray | None = None,
        polarity: int | None = None,
    ) -> EventDataset:  # fmt: skip
        """The data set of arrays of the right dtypes that our own code has made or checked: not checked again, and
        read-only from here on."""
        rows = {"offsets": offsets, "labels": labels, "sample_ids": sample_ids, "split": split, "groups": groups}
        arrays = {**columns._asdict(), **rows}
        for array in arrays.values():
            if array is not None:
                array.flags.writeable = False
        self = object.__new__(cls)
        self.__dict__.update(arrays, sensor=sensor, name=name, polarity=polarity)
        return self

    @property
    def columns(self) -> Columns:
        """The four columns of all recordings."""
        return Columns(self.t, self.x, self.y, self.p)

    def __getitem__(self, i: int) -> tuple[EventStream, int]:
        i = range(len(self))[i]
        first, last = self.offsets[i], self.offsets[i + 1]
        return self.columns.between(first, last).stream(self.sensor), int(self.labels[i])

    def subset(self, rows: Any) -> EventDataset:
        """The data set of these rows (indices or a mask), in that order; a run of neighbours shares memory."""
        rows = self._rows(rows)
        first, counts = self.offsets[rows], np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        events: Any
        if len(rows) and (np.diff(rows) == 1).all():
            events = slice(first[0], first[0] + offsets[-1])
        else:
            events = np.arange(offsets[-1]) + np.repeat(first - offsets[:-1], counts)
        columns = Columns(*(getattr(self, name)[events] for name in Columns._fields))
        split, groups = (None if of is None else of[rows] for of in (self.split, self.groups))
        return EventDataset.trusted(
            columns, offsets, self.labels[rows], self.sensor,
            sample_ids=self.sample_ids[rows], name=self.name, split=split, groups=groups, polarity=self.polarity,
        )  # fmt: skip

    def raster(self, steps: int, indices: Any = None) -> torch.Tensor:
        """Count rasters (T, N, 2, H, W) float32 of the recordings `indices` (all when None), each over its own
        duration: bin k = floor((t - first) T / (last - first + 1))."""
        window = natural_window(self.t, self.offsets, self._rows(indices))
        return raster(self.columns, self.offsets, window, steps, self.sensor)

    def sparse_raster(
        self,
        steps: int,
        indices: Any = None,
        *,
        crop: Box | None = None,
        polarity: int | None = None,
        merge: bool = True,
    ) -> SparseRaster:
        """The same counts as event lists, inputs (P, H, W), of the recordings `indices` (all when None).

        crop      (x0, y0, x1, y1): only these pixels, counted from (x0, y0); bins stay those of the whole recording
        polarity  only this one, in one channel         merge  False keeps events of one pixel and bin apart
        Raises ParameterError for a rectangle that is not inside the sensor, ShapeError for no recording.
        """
        view, part = View(self.sensor, crop, polarity), self if indices is None else self.subset(indices)
        if not len(part):
            raise ShapeError(must("EventDataset.sparse_raster", "of at least one recording", "none"))
        window = natural_window(part.t, part.offsets, np.arange(len(part)))
        return binned(*view.kept(part.columns, part.offsets), window, steps, view.shape, merge)

    def excluding(self, ids: Any) -> EventDataset:
        """Without the recordings of these sample ids."""
        return self.subset(~np.isin(self.sample_ids, ids))

    @cached_property
    def _frames(self) -> torch.Tensor:
        return self.raster(1)[0]

    def frames(self) -> torch.Tensor:
        """Event counts of whole recordings, (N, 2, H, W) float32; computed once, not to be written to."""
        return self._frames

    def structured(self, transform: Callable[[np.ndarray], Any] | None = None) -> StructuredView:
        """The recordings as tonic's data sets give them: (structured array, label), through `transform`."""
        return StructuredView(self, transform)

    def summary(self) -> dict[str, Any]:
        """What it holds: samples, classes, split, sensor, events in all and per recording, duration, ON share."""
        counts = np.diff(self.offsets)
        duration = natural_window(self.t, self.offsets, np.arange(len(self))).duration
        return {
            "kind": "recordings",
            **self._row_summary(),
            "sensor": list(self.sensor),
            "events": len(self.t),
            "events_per_recording": {"mean": float(counts.mean()), "sd": float(counts.std())} if len(self) else {},
            "duration_ms": float(np.median(duration)) / 1000 if len(self) else 0.0,
            "on_share": float(self.p.mean()) if len(self.p) else 0.0,
        }


@dataclass(frozen=True)
class StructuredView:
    """Recordings as (structured array with fields x, y, t, p; label): a map-style data set for torch's DataLoader."""

    data: EventDataset
    transform: Callable[[np.ndarray], Any] | None = None

    @property
    def sensor_size(self) -> tuple[int, int, int]:
        """(W, H, polarities), tonic's order."""
        height, width = self.data.sensor
        return width, height, 2

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        stream, label = self.data[i]
        events = stream.structured()
        return (self.transform(events) if self.transform else events), label


@dataclass(frozen=True, eq=False)
class ArrayDataset(Labelled):
    """Labelled arrays, images or rasters, which a network sees as they are at every step.

    x   (N, *shape) float32 tensor        labels (N,) int64        sample_ids, name, split as in EventDataset
    """

    x: torch.Tensor
    labels: np.ndarray
    sample_ids: np.ndarray = None  # type: ignore[assignment]
    name: str = "arrays"
    split: np.ndarray | None = None

    def __post_init__(self) -> None:
        # A sum is one pass without a copy; it is not finite wherever an entry is not, and seldom otherwise.
        if self.x.ndim < 2 or not (torch.isfinite(self.x.sum()) or torch.isfinite(self.x).all()):
            raise DatasetError(must("ArrayDataset.x", "(N, *shape) of finite numbers", tuple(self.x.shape)))
        self._check_rows(len(self.x))

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        i = range(len(self))[i]
        return self.x[i], int(self.labels[i])

    def subset(self, rows: Any) -> ArrayDataset:
        """The data set of these rows (indices or a mask), in that order; a run of neighbours shares memory."""
        rows = self._rows(rows)
        split = None if self.split is None else self.split[rows]
        in_a_run = len(rows) and (np.diff(rows) == 1).all()
        x = self.x[rows[0] : rows[-1] + 1] if in_a_run else self.x[rows]
        return ArrayDataset(x, self.labels[rows], self.sample_ids[rows], self.name, split)

    def frames(self) -> torch.Tensor:
        """The arrays themselves."""
        return self.x

    def summary(self) -> dict[str, Any]:
        """What it holds: samples, classes, split, shape, smallest, largest and mean value."""
        x = self.x
        values = {"min": float(x.min()), "max": float(x.max()), "mean": float(x.mean())} if x.numel() else {}
        return {"kind": "arrays", **self._row_summary(), "shape": list(x.shape[1:]), **values}
