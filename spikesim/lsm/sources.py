"""Recordings of a modality, in three parts that share nothing: to train on, to choose by, to judge.

Images are emulated; an image whose recording is judged, or chosen by, is left out. Recordings that say which of them are
for what (`split`) keep that; otherwise a share of each class is held back.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.seeds import Seeds
from ..datasets import load, load_images
from ..datasets.base import TEST, TRAIN, VALIDATION, EventDataset
from ..datasets.emulator import EventCamera, emulate
from ..datasets.held_out import unseen
from ..datasets.images import Images
from ..errors import DatasetError, must
from .settings import Modality


@dataclass(frozen=True, eq=False)
class Parts:
    """train, valid, test: recordings."""

    train: EventDataset
    valid: EventDataset
    test: EventDataset

    def __iter__(self) -> Any:
        return iter((self.train, self.valid, self.test))


def recordings(modality: Modality, seeds: Seeds, root: Path | None = None) -> Parts:
    """The modality's three parts. DatasetError where a class is left without a sample."""
    test = _events(modality.test, root, modality) if modality.test else None
    source = _read(modality.data, root)
    if isinstance(source, Images):
        train, valid, judged = _from_images(modality, source, test, seeds)
    else:
        train, valid, judged = _from_recordings(modality, source, test, seeds)
    for name, part in (("training", train), ("validation", valid), ("test", judged)):
        if not len(part) or len(np.unique(part.labels)) < 2:
            rule, got = f"with at least two classes in its {name} part", f"{len(part)} recordings"
            raise DatasetError(must(f"[{modality.name}] data", rule, got))
    return Parts(train, valid, judged)


def _from_images(
    modality: Modality, images: Images, test: EventDataset | None, seeds: Seeds
) -> tuple[EventDataset, ...]:
    camera, events = EventCamera(), seeds.child("camera")
    if test is not None:
        images = unseen(images, test)
    split = images.split if images.split is not None else np.full(len(images), TRAIN)
    pool = images.subset(split == TRAIN)
    train, valid = _shared_out(pool.labels, modality.per_class, modality.validation, seeds)
    parts = [emulate(pool.subset(rows), camera, events) for rows in (train, valid)]
    if test is None:
        held = images.subset(split == TEST)
        test = emulate(held.subset(_some(held.labels, modality.test_per_class, seeds.child("test"))), camera, events)
        return parts[0], parts[1], test
    return parts[0], parts[1], test.subset(_some(test.labels, modality.test_per_class, seeds.child("test")))


def _from_recordings(
    modality: Modality, data: EventDataset, test: EventDataset | None, seeds: Seeds
) -> tuple[EventDataset, ...]:  # fmt: skip
    split = np.full(len(data), TRAIN) if data.split is None else np.asarray(data.split)
    if test is None and not (split == TEST).any():
        rule = "with a test part, or beside another data set `test`"
        raise DatasetError(must(f"[{modality.name}] data", rule, f"{data.name} without one"))
    judged = data.subset(split == TEST) if test is None else test
    judged = judged.subset(_some(judged.labels, modality.test_per_class, seeds.child("test")))
    pool = data.subset(split != TEST)
    known = split[split != TEST] == VALIDATION
    if known.any():
        rows = np.flatnonzero(~known)
        train = rows[_some(pool.labels[rows], modality.per_class, seeds.child("train"))]
        return pool.subset(train), pool.subset(known), judged
    kept, held = _shared_out(pool.labels, modality.per_class, modality.validation, seeds)
    return pool.subset(kept), pool.subset(held), judged


def _shared_out(labels: np.ndarray, per_class: int, share: float, seeds: Seeds) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and to choose by: `per_class` of each class (0: all) and `share` of so many, drawn from the seeds."""
    generator, train, valid = seeds.child("parts").generator(), [], []
    for c in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == c))
        held = max(1, round(share * (per_class or len(rows))))
        valid.append(rows[:held])
        train.append(rows[held : held + per_class] if per_class else rows[held:])
        if not len(train[-1]):
            raise DatasetError(must(f"class {c}", "of at least two samples, one to train on", len(rows)))
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(valid))


def _some(labels: np.ndarray, per_class: int, seeds: Seeds) -> np.ndarray:
    if not per_class:
        return np.arange(len(labels))
    generator = seeds.generator()
    rows = [generator.permutation(np.flatnonzero(labels == c))[:per_class] for c in np.unique(labels)]
    return np.sort(np.concatenate(rows))


def _read(name: str, root: Path | None) -> EventDataset | Images:
    if name == "digits":
        return load_images(name)
    found = load(name, root=root)
    return found if isinstance(found, EventDataset) else load_images(name, root=root)


def _events(name: str, root: Path | None, modality: Modality) -> EventDataset:
    found = load(name, root=root)
    if not isinstance(found, EventDataset):
        raise DatasetError(must(f"[{modality.name}] test", "recordings", f"{name}: {type(found).__name__}"))
    return found
