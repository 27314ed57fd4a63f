"""Data sets: laws of the interface, names and paths, the embedded default."""

from __future__ import annotations

import importlib.util
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from spikesim import datasets
from spikesim.core.seeds import Seeds
from spikesim.datasets import ArrayDataset, EventDataset, Images, catalogue
from spikesim.errors import DatasetError, ParameterError, ShapeError


def recordings(n: int = 12, seed: int = 0) -> EventDataset:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 30, n)
    offsets = np.cumsum([0, *counts])
    t = np.concatenate([np.sort(rng.integers(0, 999, c)) for c in counts])
    x, y, p = (rng.integers(0, side, len(t)) for side in (6, 4, 2))
    return EventDataset(t, x, y, p, offsets, np.arange(n) % 3, (4, 6), 100 + np.arange(n), "made", np.arange(n) % 2)


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SPIKESIM_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_rasters_and_frames_are_those_of_the_recordings() -> None:
    data = recordings()
    rows = [7, 0, 0, 3]
    together = data.raster(9, rows)
    assert together.shape == (9, 4, 2, 4, 6)
    assert all(torch.equal(together[:, b : b + 1], data[i][0].raster(9)) for b, i in enumerate(rows))
    assert torch.equal(data.raster(5).sum(0), data.frames())
    assert int(data.frames().sum()) == len(data.t)


@pytest.mark.parametrize("rows", [[2, 3, 4], [9, 1, 1], np.arange(12) % 2 == 0, []])
def test_subsets_keep_rows_and_their_identity(rows: object) -> None:
    data = recordings()
    part = data.subset(rows)
    numbers = np.arange(12)[np.asarray(rows, int) if not isinstance(rows, np.ndarray) else rows]
    assert part.sample_ids.tolist() == (100 + numbers).tolist()
    assert all(part[i][0] == data[int(j)][0] for i, j in enumerate(numbers))
    assert torch.equal(part.frames(), data.frames()[torch.from_numpy(numbers)])


def test_neighbours_share_memory() -> None:
    data = recordings()
    assert np.shares_memory(data.subset([4, 5, 6]).t, data.t) and np.shares_memory(data[3][0].x, data.x)


def test_folds_are_fixed_stratified_and_cover_every_row_once() -> None:
    data = recordings()
    folds = data.folds(4)
    assert sorted(np.concatenate([test for _, test in folds]).tolist()) == list(range(12))
    assert all(np.bincount(data.labels[test]).tolist() == [1, 1, 1] for _, test in folds)
    again = recordings().folds(4)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(folds, again))
    with pytest.raises(DatasetError, match="at most the smallest class, 4"):
        data.folds(5)


def test_parts_and_rows_are_checked() -> None:
    data = recordings()
    assert len(data.part("train")) == len(data.part("test")) == 6
    with pytest.raises(ParameterError, match="did you mean train"):
        data.part("trian")
    with pytest.raises(DatasetError, match="use folds"):
        ArrayDataset(torch.ones(3, 2), np.zeros(3, int)).part("test")
    with pytest.raises(ParameterError, match="below 12, got 12"):
        data.raster(3, [12])
    with pytest.raises(IndexError):
        data[12]
    with pytest.raises(ShapeError, match="labels"):
        EventDataset([1], [0], [0], [0], [0, 1], [1, 2], (4, 6))
    with pytest.raises(ShapeError, match="offsets"):
        EventDataset([1], [0], [0], [0], [0, 2], [1], (4, 6))
    with pytest.raises(DatasetError, match="event 1 at 1 us after 2 us"):
        EventDataset([2, 1, 0], [0] * 3, [0] * 3, [0] * 3, [0, 2, 3], [1, 1], (4, 6))


def test_structured_view_is_a_map_style_data_set() -> None:
    view = recordings().structured(transform=len)
    assert view.sensor_size == (6, 4, 2) and len(view) == 12
    loader = torch.utils.data.DataLoader(view, batch_size=4)
    assert sum(int(lengths.sum()) for lengths, _ in loader) == len(recordings().t)


def test_the_default_is_embedded_fixed_and_split() -> None:
    data = datasets.load()
    assert isinstance(data, EventDataset) and data is datasets.load("digits")
    assert (len(data), data.sensor, len(data.part("train")), len(data.part("test"))) == (1797, (34, 34), 1437, 360)
    assert data.classes == 10 and np.bincount(data.part("test").labels).min() >= 34
    again = datasets.emulated("digits", Seeds(0).child("datasets", "digits"), limit=3)
    assert all(again[i][0] == data[i][0] for i in range(3))


def test_unknown_names_get_the_nearest_ones() -> None:
    with pytest.raises(DatasetError, match="did you mean nmnist, mnist") as refusal:
        datasets.load("nminst")
    assert "\n" not in str(refusal.value)
    with pytest.raises(DatasetError, match=r"in a data folder, got nothing in .*set SPIKESIM_DATA"):
        datasets.load("nmnist")


def test_names_are_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def put(folder: str) -> Path:
        (tmp_path / folder).mkdir(parents=True)
        np.savez(tmp_path / folder / "mnist.npz", x=np.zeros((2, 3, 3), np.uint8), y=np.arange(2))
        return tmp_path / folder

    cache = put("cache/spikesim")
    assert catalogue.find("mnist") == cache / "mnist.npz"
    environment = put("environment")
    monkeypatch.setenv("SPIKESIM_DATA", str(environment))
    assert catalogue.find("mnist") == environment / "mnist.npz"
    given = put("given")
    assert catalogue.find("mnist", root=given) == given / "mnist.npz"
    assert catalogue.find("digits") is None
    where = datasets.available(given)
    assert where["digits"] == "embedded" and where["nmnist"] == "not found" and where["mnist"].endswith("mnist.npz")


def test_arrays_images_and_events_are_told_apart(tmp_path: Path) -> None:
    np.savez(tmp_path / "images.npz", x=np.full((4, 3, 3), 255, np.uint8), y=np.arange(4))
    images = datasets.load(tmp_path / "images.npz")
    assert isinstance(images, ArrayDataset) and images.frames().shape == (4, 1, 3, 3) and float(images.x.max()) == 1
    np.savez(tmp_path / "rasters.npz", x=np.ones((4, 2, 3), np.float64), y=np.arange(4))
    assert datasets.load(str(tmp_path / "rasters.npz")).frames().dtype == torch.float32
    data = recordings()
    np.savez(tmp_path / "events.npz", **data.columns._asdict(), offsets=data.offsets, labels=data.labels,
             sensor_size=(4, 6))  # fmt: skip
    assert isinstance(datasets.load(tmp_path / "events.npz"), EventDataset)
    assert datasets.describe(tmp_path / "events.npz")["events"] == len(data.t)


@pytest.mark.parametrize(
    "fields, said",
    [
        ({"a": [1]}, "images x, y or train_x"),
        ({"x": [[1.0]], "y": [1, 2]}, r"x \(N, \*shape\) of numbers"),
        ({"x": [["a"]], "y": [1]}, r"x \(N, \*shape\) of numbers"),
        ({"x": [[np.nan]], "y": [1]}, "finite"),
    ],
)
def test_other_npz_files_are_refused(tmp_path: Path, fields: dict, said: str) -> None:
    np.savez(tmp_path / "other.npz", **fields)
    with pytest.raises(DatasetError, match=said):
        datasets.load(tmp_path / "other.npz")


def test_files_that_are_no_data_are_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.npz").write_bytes(b"not a zip")
    with pytest.raises(DatasetError, match=r"an .npz of plain arrays"):
        datasets.load(tmp_path / "broken.npz")
    np.savez(tmp_path / "objects.npz", x=np.array([{}], object), y=np.arange(1))
    with pytest.raises(DatasetError, match=r"an .npz of plain arrays"):
        datasets.load(tmp_path / "objects.npz")
    (tmp_path / "some.txt").write_text("x")
    with pytest.raises(DatasetError, match=r"a folder, an \.npz, a WAV or an HDF5 file, got a \.txt file"):
        datasets.load(tmp_path / "some.txt")
    with pytest.raises(DatasetError, match="Train/<digit>"):
        datasets.load(tmp_path)


def test_summaries_are_json() -> None:
    for data in (recordings(), recordings().subset([]), ArrayDataset(torch.ones(3, 2), np.zeros(3, int))):
        assert json.dumps(data.summary(), allow_nan=False)


def test_images_are_checked() -> None:
    with pytest.raises(DatasetError, match="uint8 of shape"):
        Images(np.zeros((2, 3, 3)), np.zeros(2, int), np.zeros(2, int), "x")
    with pytest.raises(DatasetError, match="as many pixels"):
        Images(np.zeros((2, 3, 3), np.uint8), np.zeros(1, int), np.zeros(2, int), "x")
    with pytest.raises(DatasetError, match=r"an \.npz of images"):
        datasets.load_images(str(Path(__file__).parent))


def test_the_bare_name_is_refused() -> None:
    spec = importlib.util.spec_from_file_location("datasets", datasets.__file__)
    assert spec is not None and spec.loader is not None
    with pytest.raises(ImportError, match=r"import spikesim.datasets"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_public_names_resolve() -> None:
    assert all(getattr(datasets, name) is not None for name in datasets.__all__)
    with pytest.raises(AttributeError, match="no attribute"):
        datasets.nothing  # noqa: B018


def test_neighbouring_arrays_share_memory_and_others_are_copied() -> None:
    data = ArrayDataset(torch.arange(24.0).reshape(6, 4), np.arange(6))
    assert data.subset([2, 3, 4]).x.data_ptr() == data.x[2:].data_ptr()
    picked = data.subset([4, 2])
    assert torch.equal(picked.x, data.x[[4, 2]]) and picked.x.data_ptr() != data.x[2:].data_ptr()


def test_pictures_of_several_sizes_are_refused(tmp_path: Path) -> None:
    from PIL import Image

    pieces = []
    for size in ((4, 4), (4, 5)):
        buffer = io.BytesIO()
        Image.new("RGB", size).save(buffer, "JPEG")
        pieces.append(np.frombuffer(buffer.getvalue(), np.uint8))
    offsets = np.cumsum([0, *map(len, pieces)])
    parts = {"train_jpeg": np.concatenate(pieces), "train_offsets": offsets, "train_y": np.zeros(2, np.int64)}
    np.savez(tmp_path / "two.npz", **parts, test_jpeg=pieces[0], test_offsets=offsets[:2], test_y=np.zeros(1, np.int64))
    with pytest.raises(DatasetError, match=r"pictures of one size, \(3, 4, 4\)"):
        datasets.load(tmp_path / "two.npz")


def test_groups_go_with_their_recordings() -> None:
    base = recordings()
    streams, names = [base[i][0] for i in range(12)], np.array([f"speaker {i // 4}" for i in range(12)])
    data = EventDataset.joined(streams, base.labels, split=np.arange(12) % 3, groups=names)
    assert data.groups is not None and data.groups.tolist() == names.tolist() and not data.groups.flags.writeable
    assert data.subset([9, 0]).groups.tolist() == ["speaker 2", "speaker 0"]
    assert data.part("validation").groups.tolist() == names[2::3].tolist()
    assert data.summary()["groups"] == 3 and data.summary()["validation"] == 4
    assert base.subset([1]).groups is None and "groups" not in base.summary() and "validation" not in base.summary()
    with pytest.raises(ShapeError, match=r"EventDataset\.groups must be texts of shape \(12,\)"):
        EventDataset.joined(streams, base.labels, groups=names[:11])
    with pytest.raises(ShapeError, match=r"EventDataset\.groups must be texts"):
        EventDataset.joined(streams, base.labels, groups=np.arange(12))
