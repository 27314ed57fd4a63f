"""N-MNIST: MNIST digits seen by an event camera that makes three saccades, 34 by 34 pixels, about 300 ms.

    official folder   Train/<digit>/<id>.bin, Test/<digit>/<id>.bin, id from 00001; it shows MNIST image id - 1
    one file          nmnist_small.npz: t, x, y, p end to end, offsets, labels, split, sample_id, sensor_size

sample_ids are the id of the file name for training recordings and 60000 + id for test recordings, so that no two
recordings of the set share one. Images of mnist.npz are numbered alike (`images.read_images`): an image and the recording
that shows it have one id, in both splits, and what is emulated from an image keeps it.

Source: G. Orchard, A. Jayawant, G. K. Cohen, N. Thakor, "Converting static image datasets to spiking neuromorphic
datasets using saccades", Frontiers in Neuroscience 9:437, 2015. Licence of the data: CC BY-SA 4.0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from spikesim.core.events import POLARITIES
from spikesim.errors import ArtefactError, DatasetError, must

from .base import TEST, TRAIN, EventDataset
from .formats import nmnist_bin

FIRST_TEST_ID = 60_000
SMALL_FILE = "nmnist_small.npz"
FOLDERS = {"Train": TRAIN, "Test": TEST}


def is_folder(path: Path) -> bool:
    """Does `path` look like the official tree."""
    return any((path / part).is_dir() for part in FOLDERS)


def read_folder(path: Path, *, limit: int = 0) -> EventDataset:
    """The recordings of an official folder, training before test, each by rising id.

    `limit` > 0 reads so many of each part. Raises DatasetError when there is none, when a file name is no number,
    or when a file cannot be read as a recording.
    """
    path = Path(path)
    files = []
    for folder, part in FOLDERS.items():
        found = [
            (_file_number(file), int(file.parent.name), file)
            for file in path.glob(f"{folder}/*/*.bin")
            if file.parent.name.isdigit()
        ]
        files += [(part, *entry) for entry in sorted(found)[: limit or None]]
    if not files:
        raise DatasetError(must(str(path), "a folder with Train/<digit>/<id>.bin", "none of these", "check the path"))
    split = np.array([entry[0] for entry in files], np.uint8)
    ids = np.array([entry[1] for entry in files]) + FIRST_TEST_ID * (split == TEST)
    streams = [nmnist_bin.read(entry[3]) for entry in files]
    return EventDataset.joined(streams, [entry[2] for entry in files], sample_ids=ids, name="nmnist", split=split)


def _file_number(file: Path) -> int:
    if not file.stem.isdigit():
        raise DatasetError(must(str(file), "named by its number, like 00042.bin", file.name))
    return int(file.stem)


def read_npz(path: Path) -> EventDataset:
    """The recordings of a file of ragged events t, x, y, p, offsets, labels; split, sample_id, sensor_size, groups if there.

    A file whose events are all of one polarity is of a sensor that has no other.
    """
    path = Path(path)
    with np.load(path, allow_pickle=False) as file:
        columns = {name: file[name] for name in ("t", "x", "y", "p", "offsets", "labels")}
        split, groups, p = file.get("split"), file.get("groups"), columns["p"]
        ids: Any = file["sample_id"].astype(np.int64) if "sample_id" in file else None
        sensor = tuple(file.get("sensor_size", nmnist_bin.SENSOR))
    if ids is not None and split is not None:
        ids = ids + FIRST_TEST_ID * (split == TEST)
    only = int(p[0]) if p.size and p[0] in range(POLARITIES) and (p == p[0]).all() else None
    try:
        return EventDataset(
            **columns, sensor=sensor, sample_ids=ids, name=path.stem, split=split, groups=groups, polarity=only
        )
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from None


def write_folder(data: EventDataset, path: Path) -> None:
    """Write recordings as an official folder; without a split all go to Train.

    Raises ArtefactError when recordings would share a file name, or the folder holds others; DatasetError when one does not fit
    the layout.
    """
    split = np.zeros(len(data), np.uint8) if data.split is None else data.split
    shift = FIRST_TEST_ID if (data.sample_ids[split == TEST] > FIRST_TEST_ID).all() else 0
    ids = data.sample_ids - shift * (split == TEST)
    if len(set(zip(split.tolist(), ids.tolist()))) < len(data) or ids.min(initial=0) < 0:
        raise ArtefactError(must("write_folder.data.sample_ids", "different and not negative", "repeated ids"))
    if min(data.labels, default=0) < 0:
        raise DatasetError(must("write_folder.data.labels", "0 or above, the names of folders", int(min(data.labels))))
    folders, path = {part: folder for folder, part in FOLDERS.items()}, Path(path)
    parts = zip(split.tolist(), ids.tolist(), data.labels)
    files = [path / folders[part] / str(int(label)) / f"{name:05d}.bin" for part, name, label in parts]
    others = {file for folder in FOLDERS for file in path.glob(f"{folder}/*/*.bin")} - set(files)
    if others:
        raise ArtefactError(
            must(str(path), "empty, or hold these recordings alone", f"{len(others)} others", "give another folder")
        )
    for i, file in enumerate(files):
        nmnist_bin.write(file, data[i][0])
