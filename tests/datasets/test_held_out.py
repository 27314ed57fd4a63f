"""Nothing of a test fold is trained on: images and recordings are matched as the data sets document it, and left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spikesim.core.seeds import Seeds
from spikesim.datasets import (
    EventCamera,
    EventDataset,
    Images,
    emulate,
    emulate_to,
    images_of,
    load,
    load_images,
    unseen,
    write_folder,
)
from spikesim.errors import DatasetError

CAMERA = EventCamera(duration_us=30_000)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """mnist.npz with 30 training and 8 of 12 test images, in another order, and recordings of some of both splits; all
    images differ."""
    rng = np.random.default_rng(0)
    pixels, digits = rng.integers(0, 256, (42, 9, 9)).astype(np.uint8), rng.permutation(np.arange(42) % 3)
    test_index = rng.permutation(12)[:8]
    np.savez(tmp_path / "mnist.npz", train_x=pixels[:30], train_y=digits[:30], test_x=pixels[30:][test_index],
             test_y=digits[30:][test_index], test_index=test_index)  # fmt: skip
    split = np.repeat(np.array([0, 1], np.uint8), [21, 6])
    shown = np.concatenate([rng.permutation(30)[:21], test_index[:6]])
    whole = np.where(split == 0, shown, 30 + shown)
    real = emulate(Images(pixels[whole], digits[whole], np.arange(27), "real"), CAMERA, Seeds(9))
    np.savez(tmp_path / "nmnist_small.npz", **real.columns._asdict(), offsets=real.offsets, labels=real.labels,
             split=split, sample_id=1 + shown, sensor_size=[34, 34])  # fmt: skip
    return tmp_path


def pixels_shown(files: Path, held: EventDataset) -> set[bytes]:
    """The images of recordings by the data sets' own description: recording k of a split shows image k - 1 of it, and
    test_index says where a test image stands."""
    with np.load(files / "mnist.npz") as mnist, np.load(files / "nmnist_small.npz") as nmnist:
        found = set()
        for row in np.flatnonzero(np.isin(nmnist["sample_id"] + 60_000 * (nmnist["split"] == 1), held.sample_ids)):
            number = nmnist["sample_id"][row] - 1
            test = nmnist["split"][row] == 1
            image = mnist["test_x"][mnist["test_index"] == number][0] if test else mnist["train_x"][number]
            found.add(image.tobytes())
    assert len(found) == len(held)
    return found


def test_an_emulated_image_whose_real_recording_is_in_the_test_fold_is_excluded(files: Path) -> None:
    real, images = load("nmnist", root=files), load_images("mnist", root=files)
    assert isinstance(real, EventDataset) and set(real.split.tolist()) == {0, 1}  # type: ignore[union-attr]
    every, shards = (
        emulate(images, CAMERA, Seeds(0)),
        emulate_to(files / "parts", images, CAMERA, Seeds(0), part_samples=7),
    )
    picture = dict(zip(images.ids.tolist(), (image.tobytes() for image in images.pixels)))
    for train, test in real.folds(3):
        held = real.subset(test)
        never = pixels_shown(files, held)
        for made in (unseen(every, held), unseen(shards, held), unseen(shards, held).load()):
            ids = set(made.sample_ids.tolist())
            assert not ids & set(held.sample_ids.tolist()) and not {picture[i] for i in ids} & never
            assert len(ids) == len(images) - len(held) and set(real.sample_ids[train].tolist()) <= ids
        left = unseen(images, held)
        assert not {image.tobytes() for image in left.pixels} & never and len(left) == len(images) - len(held)


def test_the_images_of_recordings_are_those_they_show(files: Path) -> None:
    real, images = load("nmnist", root=files), load_images("mnist", root=files)
    assert isinstance(real, EventDataset)
    shown = images_of(real, images)
    assert shown.ids.tolist() == real.sample_ids.tolist() and shown.labels.tolist() == real.labels.tolist()
    for i in (0, 20, 21, 26):
        assert {shown.pixels[i].tobytes()} == pixels_shown(files, real.subset([i]))
    write_folder(real, files / "official")
    again = load(files / "official")
    assert set(again.sample_ids.tolist()) == set(real.sample_ids.tolist())
    with pytest.raises(DatasetError, match=r"of the 38 images, got 99, which shows none of them"):
        images_of(_numbered(real.subset([3]), [99]), images)


def test_recordings_that_are_numbered_otherwise_are_refused(files: Path) -> None:
    real, images = load("nmnist", root=files), load_images("mnist", root=files)
    assert isinstance(real, EventDataset)
    with pytest.raises(DatasetError, match=r"must be N-MNIST's numbers, so that both are one digit, got image \d+, a"):
        unseen(images, _numbered(real, range(1, 28)))
    with pytest.raises(DatasetError, match="one digit"):
        images_of(_numbered(real, range(1, 28)), images)


def _numbered(data: EventDataset, ids: object) -> EventDataset:
    return EventDataset(*data.columns, data.offsets, data.labels, data.sensor, list(ids), data.name)  # type: ignore[call-overload]


def test_the_real_recordings_are_matched(shared_data: Path) -> None:
    real, images = load("nmnist", root=shared_data), load_images("mnist", root=shared_data)
    assert isinstance(real, EventDataset) and len(images_of(real, images)) == 990
    left = unseen(images, real.part("test"))
    assert len(left) == len(images) - 90 and not np.isin(left.ids, real.part("test").sample_ids).any()
