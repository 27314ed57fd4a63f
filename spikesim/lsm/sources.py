"""Recordings of a modality, in three parts that share nothing: to train on, to choose by, to judge.

Images are emulated, and an image whose recording is judged, or chosen by, is left out; or they are rate coded, and other images
judge. Recordings, counts and rate-coded images that say which of them are for what (`split`) keep that; otherwise a share of
each class is held back, and where there is a `test_share`, judged. Warped copies are of training recordings alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.seeds import Seeds
from ..datasets import find, load, load_images, read_counts
from ..datasets.base import TEST, TRAIN, VALIDATION, EventDataset
from ..datasets.counts import Counts, is_counts
from ..datasets.emulator import EventCamera, emulate
from ..datasets.held_out import unseen
from ..datasets.images import Images
from ..datasets.rate_coding import RateCoded
from ..datasets.warping import warped
from ..errors import DatasetError, must
from .settings import Modality

Recordings = EventDataset | Counts | RateCoded


@dataclass(frozen=True, eq=False)
class Parts:
    """train, valid, test: recordings. copies, the last ones of train, are warped ones of those before them."""

    train: Recordings
    valid: Recordings
    test: Recordings
    copies: int = 0

    def __iter__(self) -> Any:
        return iter((self.train, self.valid, self.test))


def recordings(modality: Modality, seeds: Seeds, root: Path | None = None) -> Parts:
    """The modality's three parts. DatasetError where a class is left without a sample."""
    source = _read(modality, modality.data, root, seeds.child("rate"))
    test = _judged(modality, source, root, seeds) if modality.test else None
    if isinstance(source, Images):
        train, valid, judged = _from_images(modality, source, test, seeds)
    else:
        train, valid, judged = _from_recordings(modality, source, test, seeds)
    for name, part in (("training", train), ("validation", valid), ("test", judged)):
        if not len(part) or len(np.unique(part.labels)) < 2:
            rule, got = f"with at least two classes in its {name} part", f"{len(part)} recordings"
            raise DatasetError(must(f"[{modality.name}] data", rule, got))
    inputs, judged_inputs = (modality.frames.inputs(part) for part in (train, judged))
    if inputs != judged_inputs:
        rule, remedy = f"of {inputs} inputs, as data", "choose frames (side, polarity) that both have"
        raise DatasetError(must(f"[{modality.name}] test", rule, judged_inputs, remedy))
    if modality.warp is None:
        return Parts(train, valid, judged)
    if not isinstance(train, EventDataset):
        raise DatasetError(must(f"[{modality.name}] warp", "left out unless for recordings of channels", train.name))
    more = warped(train, modality.warp, seeds)
    return Parts(more, valid, judged, len(more) - len(train))


def _from_images(modality: Modality, images: Images, test: Recordings | None, seeds: Seeds) -> tuple[Recordings, ...]:
    camera, events = EventCamera(), seeds.child("camera")
    if isinstance(test, EventDataset):
        images = unseen(images, test)
    elif modality.test_share:
        rule = "left out where images are emulated: they need a test part, or test"
        raise DatasetError(must(f"[{modality.name}] test_share", rule, modality.test_share))
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
    modality: Modality, data: Recordings, test: Recordings | None, seeds: Seeds
) -> tuple[Recordings, ...]:  # fmt: skip
    split = np.full(len(data), TRAIN) if data.split is None else np.array(data.split)
    if test is None and modality.test_share and not (split == TEST).any():
        split[_held(data.labels, modality.test_share, seeds.child("judged"))] = TEST
    if test is None and not (split == TEST).any():
        rule = "with a test part, or beside another data set `test`, or a `test_share`"
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


def _held(labels: np.ndarray, share: float, seeds: Seeds) -> np.ndarray:
    """Rows of `share` of each class, one at least, drawn from the seeds."""
    generator, found = seeds.generator(), []
    for c in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == c))
        found.append(rows[: max(1, round(share * len(rows)))])
    return np.concatenate(found)


def _some(labels: np.ndarray, per_class: int, seeds: Seeds) -> np.ndarray:
    if not per_class:
        return np.arange(len(labels))
    generator = seeds.generator()
    rows = [generator.permutation(np.flatnonzero(labels == c))[:per_class] for c in np.unique(labels)]
    return np.sort(np.concatenate(rows))


def _read(modality: Modality, name: str, root: Path | None, seeds: Seeds) -> Recordings | Images:
    """What is called `name`, or lies there: counts, rate-coded images, recordings, or images that are yet to be emulated."""
    place = find(name, root=root)
    if modality.cochlea is not None and (modality.rate is not None or (place is not None and is_counts(place))):
        raise DatasetError(must(f"[{modality.name}] cochlea", "left out unless data are audio", name))
    if place is not None and is_counts(place):
        if modality.rate is not None:
            raise DatasetError(must(f"[{modality.name}] rate", "left out unless data are images", f"counts {name}"))
        return read_counts(place)
    if modality.rate is not None:
        return modality.rate(load_images(name, root=root), seeds)
    if name == "digits" and modality.cochlea is None:
        return load_images(name)
    found = load(name, root=root, cochlea=modality.cochlea)
    return found if isinstance(found, EventDataset) else load_images(name, root=root)


def _judged(modality: Modality, source: Recordings | Images, root: Path | None, seeds: Seeds) -> Recordings:
    """The data set `test`, which must be of the kind that is trained on."""
    found = _read(modality, modality.test, root, seeds.child("rate", "test"))
    wanted = EventDataset if isinstance(source, Images) else type(source)
    if not isinstance(found, wanted):
        rule = {Counts: "counts", RateCoded: "images, as data"}.get(wanted, "recordings")
        raise DatasetError(must(f"[{modality.name}] test", rule, f"{type(found).__name__} {modality.test}"))
    return found
