"""Folders of pictures: classes, parts, who drew them; and images brought to another size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spikesim.core.seeds import Seeds
from spikesim.datasets import EventCamera, Images, emulate, emulate_to, load, load_images
from spikesim.datasets.rate_coding import RateCoding
from spikesim.errors import DatasetError, ParameterError
from spikesim.report.pictures import read_picture


def drawn(path: Path, number: int, size: tuple[int, int] = (6, 4)) -> np.ndarray:
    pixels = np.random.default_rng(number).integers(0, 256, size).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def test_classes_in_order_with_who_drew_them(tmp_path: Path) -> None:
    pixels = [drawn(tmp_path / name, i) for i, name in enumerate(("alef/7_01.png", "alef/7_02.png", "bet/8_01.png"))]
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "empty").mkdir()
    found = load_images(str(tmp_path))
    assert np.array_equal(found.pixels, pixels) and found.labels.tolist() == [0, 0, 1] and found.split is None
    assert (
        found.groups.tolist() == ["01", "02", "01"] and found.ids.tolist() == [1, 2, 3] and found.name == tmp_path.name
    )
    assert np.array_equal(load(tmp_path).x[:, 0].numpy() * 255, pixels)


def test_parts_and_classes_that_are_numbers(tmp_path: Path) -> None:
    for i, name in enumerate(("train/10/a.png", "train/2/b_x.png", "test/2/c.png")):
        drawn(tmp_path / name, i)
    found = load_images(str(tmp_path))
    assert found.labels.tolist() == [10, 2, 2] and found.split.tolist() == [0, 0, 1] and found.groups is None


def test_pictures_that_are_none_or_differ(tmp_path: Path) -> None:
    drawn(tmp_path / "a" / "1.png", 0)
    drawn(tmp_path / "a" / "2.png", 0, (5, 5))
    with pytest.raises(DatasetError, match=r"2\.png must be of 6x4 pixels, as 1\.png, got 5x5"):
        load_images(str(tmp_path))
    (tmp_path / "a" / "2.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"2\.png must be a picture that can be read"):
        load_images(str(tmp_path))


def test_sizes_are_means_of_what_lies_under_a_pixel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 9, 6)).astype(np.uint8)
    images = Images(pixels, np.arange(3), np.arange(3), "made")
    assert np.array_equal(images.resized(3).pixels, np.rint(pixels.reshape(3, 3, 3, 3, 2).mean((2, 4))))
    square = Images(pixels[:, :6], np.arange(3), np.arange(3), "made")
    assert np.array_equal(square.resized(6).pixels, square.pixels)
    ramp = Images(np.tile(np.array([0, 90, 240], np.uint8), (1, 3, 1)), np.zeros(1, int), np.zeros(1, int), "ramp")
    assert ramp.resized(2).pixels[0, 0].tolist() == [30, 190]
    assert np.array_equal(images.inverted().pixels, 255 - pixels)
    with pytest.raises(ParameterError, match=r"Images.resized.side"):
        images.resized(0)


def test_groups_come_along(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (4, 9, 9)).astype(np.uint8)
    who = np.array(["x", "y", "x", "z"])
    images = Images(pixels, np.arange(4), np.arange(4), "made", None, who)
    assert emulate(images, _camera(), Seeds(0)).groups.tolist() == who.tolist()
    parts = emulate_to(tmp_path, images, _camera(), Seeds(0), part_samples=3)
    assert parts.groups.tolist() == parts.load().groups.tolist() == load(tmp_path).groups.tolist() == who.tolist()
    coded = RateCoding(0.5, 4, inverted=True)(images, Seeds(0))
    assert coded.groups.tolist() == who.tolist() and coded.sensor == (4, 4) and coded.gain == 0.5
    assert np.array_equal(coded.pixels, images.inverted().resized(4).pixels)
    assert images.subset([3, 0]).groups.tolist() == ["z", "x"]
    with pytest.raises(DatasetError, match=r"Images.groups must be texts, one an image"):
        Images(pixels, np.arange(4), np.arange(4), "made", None, np.arange(4))


def _camera() -> EventCamera:
    return EventCamera(duration_us=20_000)


def test_sixteen_bits_are_made_eight(tmp_path: Path) -> None:
    wide = np.random.default_rng(0).integers(0, 65536, (6, 4)).astype(np.uint16)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(wide).save(tmp_path / name / "1.png")
    assert np.array_equal(load_images(str(tmp_path)).pixels[0], np.rint(wide / 257).astype(np.uint8))
    whole = read_picture(tmp_path / "a" / "1.png", 1, 4)
    assert 0.2 < whole.mean() < 0.8


def test_arrays_have_the_parts_that_their_file_says(tmp_path: Path) -> None:
    x, y, split = np.random.default_rng(0).random((6, 3, 4, 4)), np.arange(6) % 2, np.array([0, 0, 0, 0, 1, 1])
    np.savez(tmp_path / "good.npz", x=x, y=y, split=split)
    found = load(tmp_path / "good.npz")
    assert len(found.part("train")) == 4 and len(found.part("test")) == 2
    np.savez(tmp_path / "bad.npz", x=x, y=y, split=split + 1)
    with pytest.raises(DatasetError, match=r"bad\.npz split must be \(N,\) of 0 \(training\) and 1 \(test\)"):
        load(tmp_path / "bad.npz")
