"""Many recordings in a folder: parts of a thousand, four bytes an event, read one part at a time.

    index.json                 format, version, name, sensor, samples, part_samples, bits of an event, fingerprint;
                               where there are any: names of groups (speakers), the only polarity
    part-00000.safetensors     events (words, `_packed.py`), counts, labels, sample_ids, split, group (which of the names) of
                               recordings 0 to 999;
                               its header holds the fingerprint and a CRC-32 of every array

A part is written aside and renamed, so it is whole or not there, and is checked when it is read. The fingerprint says
what the recordings were made from: parts are taken up again only where it agrees.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from spikesim.core.binning import binned
from spikesim.core.events import Columns, Window
from spikesim.core.files import read_json, write_json, written
from spikesim.core.params import number
from spikesim.core.raster import SparseRaster, stacked
from spikesim.errors import ArtefactError, DatasetError, ParameterError, ShapeError, SpikesimError, must

from ._packed import Layout, room, unpacked
from .base import EventDataset, Labelled
from .view import Box, View

FORMAT, VERSION, INDEX = "spikesim recordings in parts", 1, "index.json"
PART_SAMPLES = 1000
"""Recordings of a part: some 17 MB of N-MNIST's."""
BLOCK = 64
"""Recordings taken apart at a time where their columns are not kept: some megabytes, which stay in the cache."""
HEADER = "spikesim"
"""Key of the JSON in a part's header: one text, as the order of several keys there is not fixed."""
ROWS = ("counts", "labels", "sample_ids", "split", "group")
"""What a part holds besides events, one number a recording; the last two are left out where there are none."""
NEEDED = ROWS[:3]


@dataclass(frozen=True)
class Index:
    """What `index.json` says of the folder; all of it is known before the first part is written."""

    name: str
    sensor: tuple[int, int]
    samples: int
    part_samples: int
    layout: Layout
    fingerprint: str
    groups: tuple[str, ...] = ()
    polarity: int | None = None

    @property
    def parts(self) -> int:
        """Number of parts."""
        return -(-self.samples // self.part_samples)

    def span(self, part: int) -> slice:
        """The recordings that a part holds."""
        return slice(part * self.part_samples, min((part + 1) * self.part_samples, self.samples))

    def write(self, folder: Path) -> None:
        """Write it, atomically."""
        held = {name: value for name, value in asdict(self).items() if value not in ((), None)}
        write_json(folder / INDEX, {"format": FORMAT, "version": VERSION, **held})

    def codes(self, groups: np.ndarray | None) -> np.ndarray | None:
        """The place of each group among the names, int32."""
        return None if groups is None else np.searchsorted(self.groups, groups).astype(np.int32)

    @classmethod
    def read(cls, folder: Path) -> Index:
        """The index in `folder`; DatasetError, naming the file, where it is missing or none of ours."""
        path = folder / INDEX
        try:
            found = read_json(path)
            if (found.pop("format"), found.pop("version")) != (FORMAT, VERSION):
                raise ValueError
            sensor, layout = (int(side) for side in found.pop("sensor")), Layout(**found.pop("layout"))
            groups = tuple(str(name) for name in found.pop("groups", ()))
            index = cls(sensor=tuple(sensor), layout=layout, groups=groups, **found)  # type: ignore[arg-type]
            View(index.sensor, polarity=index.polarity)
            number("samples", index.samples, at_least=0, integer=True)
            number("part_samples", index.part_samples, at_least=1, integer=True)
        except (AttributeError, KeyError, TypeError, ValueError, SpikesimError) as error:
            got = str(error) if isinstance(error, ArtefactError) else "something else"
            raise DatasetError(must(str(path), f"the index of {FORMAT}, version {VERSION}", got)) from None
        return index


def is_folder(path: Path) -> bool:
    """Does `path` hold an index of recordings in parts."""
    return '"' + FORMAT + '"' in _text(path / INDEX)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def part_path(folder: Path, part: int) -> Path:
    """The file of a part."""
    return folder / f"part-{part:05d}.safetensors"


def write_part(folder: Path, index: Index, part: int, words: np.ndarray, rows: dict[str, np.ndarray | None]) -> None:
    """Write a part, atomically: words of its recordings end to end, and ROWS. ArtefactError where the disk refuses."""
    arrays = {name: np.ascontiguousarray(values) for name, values in rows.items() if values is not None}
    arrays |= {"counts": arrays["counts"].astype(np.int32)}
    arrays |= {"events": np.ascontiguousarray(index.layout.stored(words))}
    about = {"fingerprint": index.fingerprint, "crc32": {name: _crc(values) for name, values in arrays.items()}}
    with written(part_path(folder, part)) as temporary:
        temporary.write_bytes(safetensors.numpy.save(arrays, {HEADER: json.dumps(about)}))


def _crc(values: np.ndarray) -> str:
    return f"{zlib.crc32(np.ascontiguousarray(values)):08x}"  # type: ignore[arg-type]


def read_part(folder: Path, index: Index, part: int, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Arrays of a part by name, those that it has, each checked against its CRC.

    Raises DatasetError, naming the file, when it is missing, cut short, changed, or of other recordings.
    """
    path = part_path(folder, part)
    remedy = "make it again: finished parts are kept"
    try:
        with safe_open(path, framework="numpy") as file:
            about = dict(json.loads((file.metadata() or {}).get(HEADER, "{}")))
            arrays = {name: file.get_tensor(name) for name in names if name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise DatasetError(must(str(path), "there", "no such file", remedy)) from None
    except (SafetensorError, ValueError, TypeError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DatasetError(must(str(path), "a whole part", reason, f"remove it and {remedy}")) from None
    if about.get("fingerprint") != index.fingerprint:
        raise DatasetError(must(str(path), "of the recordings of its index", "a part of others", remedy))
    for name, values in arrays.items():
        if about["crc32"].get(name) != _crc(values):
            got = f"{name} that do not fit their checksum"
            raise DatasetError(must(str(path), "as it was written", got, f"remove it and {remedy}"))
    return arrays


def is_finished(folder: Path, index: Index, part: int) -> bool:
    """Is this part there, of these recordings, and whole."""
    try:
        return {"events", *NEEDED} <= set(read_part(folder, index, part, ("events", *ROWS)))
    except DatasetError:
        return False


@dataclass(frozen=True, eq=False)
class Shards(Labelled):
    """Recordings of a folder of parts: labels, identities and places are in memory, events stay in their files.

    len, labels, sample_ids, split, groups, part, indices, folds   as of any data set
    subset(rows), excluding(ids)       fewer of them, in the folder's order
    parts()                            the same recordings, one file after the other, each as Shards of its own
    load(), sparse_raster(steps)       their events, all at once
    """

    folder: Path
    index: Index
    labels: np.ndarray
    sample_ids: np.ndarray
    file: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    split: np.ndarray | None = None
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        self._check_rows(len(self.labels))

    @classmethod
    def open(cls, folder: Path) -> Shards:
        """The recordings in `folder`. DatasetError, naming the file, for parts that are missing, broken or of others."""
        folder = Path(folder)
        index = Index.read(folder)
        rows = [_checked_rows(folder, index, part) for part in range(index.parts)]
        stops = np.concatenate([np.zeros(0, np.int64), *(np.cumsum(row["counts"], dtype=np.int64) for row in rows)])
        every = {name: np.concatenate([np.zeros(0, np.int64), *(row[name] for row in rows)]) for name in NEEDED}
        groups = np.array(index.groups)[np.concatenate([row["group"] for row in rows])] if index.groups else None
        has_split = bool(rows) and all("split" in row for row in rows)
        return cls(
            folder, index, every["labels"], every["sample_ids"], np.arange(index.samples) // index.part_samples,
            stops - every["counts"], stops, np.concatenate([row["split"] for row in rows]) if has_split else None,
            groups,
        )  # fmt: skip

    @property
    def name(self) -> str:  # type: ignore[override]
        """What the recordings are called."""
        return self.index.name

    @property
    def sensor(self) -> tuple[int, int]:
        """(H, W)."""
        return self.index.sensor

    @property
    def polarity(self) -> int | None:
        """The only one of the sensor; None: both."""
        return self.index.polarity

    @property
    def events(self) -> int:
        """Events of all recordings."""
        return int((self.ends - self.begins).sum())

    def subset(self, rows: Any) -> Shards:
        """These rows (rising indices or a mask); nothing is read."""
        rows = self._rows(rows)
        if (np.diff(rows) <= 0).any():
            raise ParameterError(
                must("Shards.rows", "rising, each once", "others", "load().subset(rows) takes any order")
            )
        fields = ("labels", "sample_ids", "file", "begins", "ends", "split", "groups")
        return replace(self, **{name: of[rows] for name in fields if (of := getattr(self, name)) is not None})

    def excluding(self, ids: Any) -> Shards:
        """Without the recordings of these sample ids: of images whose real recording is held out."""
        return self.subset(~np.isin(self.sample_ids, ids))

    def parts(self) -> Iterator[Shards]:
        """The recordings of one file at a time, in order; files of which none is left are passed over."""
        edges = np.flatnonzero(np.diff(self.file, prepend=-1))
        for begin, end in zip(edges, [*edges[1:], len(self)]):
            yield self.subset(np.arange(begin, end))

    def load(self) -> EventDataset:
        """All recordings in memory, 13 bytes an event. Raises DatasetError, naming the file, for a broken part."""
        out, done = room(self.events), 0
        for part in self.parts():
            part._unpacked(part._words(), View(self.sensor), Columns(*(column[done:] for column in out)))
            done += part.events
        offsets = np.concatenate([[0], np.cumsum(self.ends - self.begins)])
        return EventDataset.trusted(
            Columns(*(column[:done] for column in out)), offsets, self.labels, self.sensor,
            sample_ids=self.sample_ids, name=self.name, split=self.split, groups=self.groups, polarity=self.polarity,
        )  # fmt: skip

    def sparse_raster(
        self, steps: int, *, crop: Box | None = None, polarity: int | None = None, merge: bool = True
    ) -> SparseRaster:
        """Event lists of `steps` bins of each recording's own duration, as `EventDataset.sparse_raster` gives them."""
        view = View(self.sensor, crop, polarity)
        rasters = [binned(*block, steps, view.shape, merge) for block in self._blocks(view)]
        if not rasters:
            raise ShapeError(must("Shards.sparse_raster", "of at least one recording", "none"))
        return stacked(rasters)

    def summary(self) -> dict[str, Any]:
        """What it holds, as `EventDataset.summary`, and bytes of an event in the folder; reads one part at a time."""
        counts, on, durations = self.ends - self.begins, 0, [np.zeros(0, np.int64)]
        for columns, _, window in self._blocks(View(self.sensor)):
            on += int(columns.p.sum(dtype=np.int64))
            durations.append(window.duration)
        size = sum(file.stat().st_size for file in self.folder.iterdir() if file.is_file())
        return {
            "kind": "recordings in parts",
            **self._row_summary(),
            "sensor": list(self.sensor),
            "events": self.events,
            "events_per_recording": {"mean": float(counts.mean()), "sd": float(counts.std())} if len(self) else {},
            "duration_ms": float(np.median(np.concatenate(durations))) / 1000 if len(self) else 0.0,
            "on_share": on / max(self.events, 1),
            "parts": self.index.parts,
            "bytes_per_event": size / max(self.events, 1),
        }

    def _blocks(self, view: View) -> Iterator[tuple[Columns, np.ndarray, Window]]:
        """What the view keeps of BLOCK recordings at a time, in memory that the next block is written over."""
        starts = range(0, self.index.part_samples, BLOCK)
        out = room(0)
        for part in self.parts():
            words = part._words()
            for block in (part.subset(np.arange(first, min(first + BLOCK, len(part)))) for first in starts):
                if block.events > len(out.t):
                    out = room(2 * block.events)
                if len(block):
                    yield block._unpacked(words, view, out)

    def _words(self) -> np.ndarray:
        """All words of the one file that these recordings are in."""
        part, layout = int(self.file[0]), self.index.layout
        stored = read_part(self.folder, self.index, part, ("events",)).get("events", np.zeros(0))
        if not layout.holds(stored) or int(self.ends[-1]) > len(stored):
            rule, got = "of as many events as its counts say", f"{stored.dtype.name} {stored.shape}"
            raise DatasetError(must(str(part_path(self.folder, part)), rule, got))
        return layout.words(stored)

    def _unpacked(self, words: np.ndarray, view: View, out: Columns) -> tuple[Columns, np.ndarray, Window]:
        """What the view keeps of these recordings, which are in one file."""
        found = unpacked(words, self.begins, self.ends, self.index.layout, view, out)
        if isinstance(found, int):
            path = part_path(self.folder, int(self.file[0]))
            rule = f"of events in time order on {self.sensor[0]}x{self.sensor[1]} pixels"
            raise DatasetError(must(str(path), rule, f"others in recording {self.sample_ids[found]}"))
        return found


def _checked_rows(folder: Path, index: Index, part: int) -> dict[str, np.ndarray]:
    """ROWS of a part."""
    rows, span = read_part(folder, index, part, ROWS), index.span(part)
    shapes = {name: values.shape for name, values in rows.items() if values.dtype.kind in "iu"}
    if (
        not set(NEEDED + ROWS[4:] * bool(index.groups)) <= set(shapes)
        or set(shapes.values()) != {(span.stop - span.start,)}
        or rows["counts"].min() < 0
        or (index.groups and not 0 <= rows["group"].min() <= rows["group"].max() < len(index.groups))
    ):
        rule, path = f"of {span.stop - span.start} recordings of at least 0 events", part_path(folder, part)
        raise DatasetError(must(str(path), rule, f"{shapes}"))
    return rows


def write_shards(data: EventDataset, folder: Path, *, part_samples: int = PART_SAMPLES) -> Shards:
    """Write recordings as a folder of parts.

    The narrowest layout that holds them is taken: 4 bytes an event for 34 by 34 pixels and half a second. Times count
    from the recordings' own 0. Raises DatasetError where an event would take more than 8 bytes or comes before 0,
    ArtefactError where the folder holds others or the disk refuses.
    """
    number("part_samples", part_samples, at_least=1, integer=True)
    if len(data.t) and int(data.t.min()) < 0:
        raise DatasetError(must("write_shards.data.t", "at least 0", int(data.t.min()), "shift the times"))
    layout = Layout.of(data.sensor, int(data.t.max(initial=0)))
    made = digest(*data.columns, data.offsets, data.labels, data.sample_ids, data.split, *given(data.groups))
    index = Index(
        data.name, data.sensor, len(data), part_samples, layout, made, names_of(data.groups), data.polarity
    )  # fmt: skip
    folder = Path(folder)
    for part in begun(folder, index):
        some = data.subset(np.arange(index.span(part).start, index.span(part).stop))
        columns = {name: values.astype(np.int64) for name, values in some.columns._asdict().items()}
        rows = {"labels": some.labels, "sample_ids": some.sample_ids, "split": some.split}
        rows["group"] = index.codes(some.groups)
        write_part(folder, index, part, layout.packed(**columns), rows | {"counts": np.diff(some.offsets)})
    return Shards.open(folder)


def names_of(groups: np.ndarray | None) -> tuple[str, ...]:
    """The names among groups, in order; none where there are no groups."""
    return () if groups is None else tuple(np.unique(groups).tolist())


def given(groups: np.ndarray | None) -> list[np.ndarray]:
    """What groups add to a digest: nothing where there are none, as in folders from before there were any."""
    return [] if groups is None else [groups]


def begun(folder: Path, index: Index) -> list[int]:
    """Write the index, or find the same one there, and list the parts that are not finished.

    Raises ArtefactError where the folder holds recordings made from something else.
    """
    if (folder / INDEX).exists() and Index.read(folder) != index:
        rule, remedy = "empty, or begun with the same recordings and settings", "choose another folder"
        got = "recordings of others, other settings or another version of this program"
        raise ArtefactError(must(str(folder), rule, got, remedy))
    if not (folder / INDEX).exists():
        index.write(folder)
    for left in folder.glob(".part-*"):  # of a process that was killed
        left.unlink(missing_ok=True)
    return [part for part in range(index.parts) if not is_finished(folder, index, part)]


def digest(*arrays: Any) -> str:
    """16 hex digits of arrays and texts."""
    found = hashlib.blake2b(digest_size=8)
    for value in arrays:
        array = np.ascontiguousarray(value) if isinstance(value, np.ndarray) else None
        found.update(repr(value if array is None else (array.dtype.str, array.shape)).encode())
        if array is not None:
            found.update(array)  # type: ignore[arg-type]
    return found.hexdigest()
