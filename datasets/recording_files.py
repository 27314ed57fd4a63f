"""Recording files by their suffix, HDF5 files by content, and folders, one a class: CIFAR10-DVS and what is kept like it.

<folder>/<class>/<anything>.aedat        classes numbered by name
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from spikesim.core import registry
from spikesim.core.params import number
from spikesim.errors import DatasetError, must

from . import formats
from .base import EventDataset
from .formats._hdf5 import opened


def by_suffix() -> dict[str, ModuleType]:
    """Suffix -> the format that reads it (`formats`: a member says its SUFFIXES)."""
    members = [registry.get(formats, name) for name in registry.names(formats)]
    return {suffix: member for member in members for suffix in getattr(member, "SUFFIXES", ())}


def read_hdf5(path: Path) -> EventDataset:
    """The recordings in an HDF5 file, by the format that its arrays fit; DatasetError where they fit none."""
    members = [registry.get(formats, name) for name in registry.names(formats)]
    with opened(path) as file:
        fitting = [member for member in members if hasattr(member, "fits") and member.fits(file)]
        held = ", ".join(sorted(file)) or "nothing"
    if not fitting:
        raise DatasetError(must(str(path), "HDF5 of N-TIDIGITS or SHD", f"one with {held}"))
    found: EventDataset = fitting[0].read(path)
    return found


def is_class_folder(path: Path) -> bool:
    """Does `path` hold folders with recording files."""
    return any(_files(folder) for folder in _folders(path))


def read_class_folder(path: Path, *, limit: int = 0) -> EventDataset:
    """The recordings of a folder of classes, class after class, each by name; `limit` > 0 reads so many of each.

    sample_ids are positions in that order of the whole folder. Raises DatasetError when there is none, when a class holds
    files of several formats, or when a file cannot be read.
    """
    number("read_class_folder.limit", limit, at_least=0, integer=True)
    path, readers = Path(path), by_suffix()
    streams, labels, ids, seen = [], [], [], 0
    for label, folder in enumerate(f for f in _folders(path) if _files(f)):
        files = _files(folder)
        suffixes = sorted({file.suffix for file in files})
        if len(suffixes) > 1:
            raise DatasetError(must(str(folder), "a folder of files of one format", ", ".join(suffixes)))
        for number_, file in enumerate(files[: limit or None]):
            streams.append(readers[file.suffix].read(file))
            labels.append(label)
            ids.append(seen + number_)
        seen += len(files)
    if not streams:
        rule = f"a folder with <class>/<recording> ({', '.join(sorted(readers))})"
        raise DatasetError(must(str(path), rule, "none of these", "check the path"))
    return EventDataset.joined(streams, labels, sample_ids=ids, name=path.name)


def _folders(path: Path) -> list[Path]:
    return sorted(folder for folder in Path(path).iterdir() if folder.is_dir()) if Path(path).is_dir() else []


def _files(folder: Path) -> list[Path]:
    readers = by_suffix()
    return sorted((f for f in folder.iterdir() if f.suffix in readers), key=lambda f: (len(f.name), f.name))
