"""ES-ImageNet: folders of samples and the lists of their labels.

    train/class0/class0_1.npz ...   trainlabel.txt      a line a sample: class0/class0_1.npz  label  rows  columns
    val/...                         vallabel.txt

sample_ids are line numbers, those of val after those of train. Source: see `formats/es_imagenet_npz.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spikesim.core.params import number
from spikesim.errors import DatasetError, must

from .base import TEST, TRAIN, EventDataset
from .formats import es_imagenet_npz

LISTS = {TRAIN: ("train", "trainlabel.txt"), TEST: ("val", "vallabel.txt")}


def is_folder(path: Path) -> bool:
    """Does `path` look like ES-ImageNet."""
    return any((path / name).is_file() for _, name in LISTS.values())


def read_folder(path: Path, *, limit: int = 0) -> EventDataset:
    """The samples that the lists name, training before validation; `limit` > 0 reads so many of each.

    Raises DatasetError when there is no list, a line is none, or a file cannot be read.
    """
    number("es_imagenet.limit", limit, at_least=0, integer=True)
    path, streams = Path(path), []
    rows: list[tuple[int, int, int]] = []
    seen = 0
    for part, (folder, name) in LISTS.items():
        lines = _lines(path / name)
        for i, (file, label, size) in enumerate(lines[: limit or None]):
            streams.append(es_imagenet_npz.read(path / folder / file, size))
            rows.append((label, seen + i, part))
        seen += len(lines)
    if not streams:
        raise DatasetError(must(str(path), "a folder with train/ and trainlabel.txt", "no samples", "check the path"))
    labels, ids, split = np.array(rows).T
    return EventDataset.joined(streams, labels, sample_ids=ids, name="es_imagenet", split=split.astype(np.uint8))


def _lines(path: Path) -> list[tuple[str, int, tuple[int, int]]]:
    if not path.is_file():
        return []
    found = []
    for i, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        words = line.split()
        if len(words) != 4 or not all(word.isdigit() for word in words[1:]):
            raise DatasetError(must(f"{path}, line {i}", '"FILE LABEL ROWS COLUMNS"', line[:40]))
        inside = ".." not in Path(words[0]).parts and not Path(words[0]).is_absolute()
        if not inside:
            raise DatasetError(must(f"{path}, line {i}", "a file below the folder", words[0]))
        found.append((words[0], int(words[1]), (int(words[2]), int(words[3]))))
    return found
