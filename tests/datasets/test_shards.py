"""Recordings in parts: what is written comes back, is taken up again, and is refused when it is not what it was."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from spikesim.core.raster import SparseRaster
from spikesim.core.seeds import Seeds
from spikesim.datasets import (
    EventCamera,
    EventDataset,
    Images,
    Shards,
    Size,
    _packed,
    emulate,
    emulate_to,
    load,
    summary,
    write_shards,
)
from spikesim.datasets import shards as shards_module
from spikesim.datasets._packed import Layout
from spikesim.datasets.view import View
from spikesim.errors import ArtefactError, DatasetError, ParameterError, ShapeError, SpikesimError

CAMERA = EventCamera(duration_us=60_000)
FINGERPRINT = "fdea8d147e9ca22e"
VIEWS = [(None, None), ((2, 1, 7, 4), None), (None, 0), ((0, 0, 3, 5), 1)]


def drawn_images(n: int = 11, seed: int = 0) -> Images:
    rng = np.random.default_rng(seed)
    pixels = (rng.integers(0, 256, (n, 9, 9)) * (rng.random((n, 9, 9)) < 0.4)).astype(np.uint8)
    return Images(pixels, np.arange(n) % 3, 5 + np.arange(n), "drawn", np.arange(n, dtype=np.uint8) % 2)


def recordings(sensor: tuple[int, int] = (5, 9), latest: int = 999, n: int = 13) -> EventDataset:
    rng = np.random.default_rng(n)
    counts = rng.integers(0, 30, n)
    counts[[0, 4]] = 0
    t = np.concatenate([np.sort(rng.integers(0, latest + 1, c)) for c in counts])
    y, x, p = (rng.integers(0, side, len(t)) for side in (*sensor, 2))
    return EventDataset(
        t, x, y, p, np.cumsum([0, *counts]), np.arange(n) % 3, sensor, 100 + np.arange(n), "made", np.arange(n) % 2
    )


def same(a: EventDataset, b: EventDataset) -> bool:
    fields = ("t", "x", "y", "p", "offsets", "labels", "sample_ids", "split")
    pairs = [(getattr(a, name), getattr(b, name)) for name in fields]
    return a.sensor == b.sensor and a.name == b.name and all(
        np.array_equal(one, other) and one.dtype == other.dtype and not one.flags.writeable for one, other in pairs
    )  # fmt: skip


def same_raster(a: SparseRaster, b: SparseRaster) -> bool:
    lists = np.array_equal(a.ptr, b.ptr) and np.array_equal(a.idx, b.idx) and np.array_equal(a.values, b.values)
    return lists and (a.steps, a.shape) == (b.steps, b.shape)


@pytest.mark.parametrize("sensor, latest, size", [((34, 34), 307_999, 4), ((5, 9), 0, 4), ((128, 128), 10**6, 5),
                                                  ((720, 1280), 2**40, 8), ((1, 64), 2**30, 5)])  # fmt: skip
def test_recordings_come_back_from_any_layout(sensor: tuple[int, int], latest: int, size: int, tmp_path: Path) -> None:
    data = recordings(sensor, latest)
    written = write_shards(data, tmp_path, part_samples=4)
    assert written.index.layout.event_bytes == size and len(list(tmp_path.glob("part-*"))) == 4
    assert same(written.load(), data) and same(Shards.open(tmp_path).load(), data)
    assert [len(part) for part in written.parts()] == [4, 4, 4, 1] and written.events == len(data.t)


@pytest.mark.parametrize("crop, polarity", VIEWS)
@pytest.mark.parametrize("wide", [np.uint32, np.uint64])
def test_unpacking_kernel_equals_its_reference(wide: type, crop: tuple | None, polarity: int | None) -> None:
    data, view = recordings(n=20), View((5, 9), crop, polarity)
    layout = Layout.of(data.sensor, 999)
    words = layout.packed(**{name: values.astype(np.int64) for name, values in data.columns._asdict().items()})
    found = []
    for kernel in (_packed.unpacked_kernel, _packed.unpacked_reference):
        out = _packed.room(len(data.t))
        for column in out:
            column[...] = 0
        places = [np.zeros(len(data) + extra, np.int64) for extra in (1, 0, 0)]
        taken = _packed.Taken(
            layout.y_bits, layout.x_bits, *view.sensor, *view.box, -1 if polarity is None else polarity
        )
        assert kernel(words.astype(wide), data.offsets[:-1], data.offsets[1:], taken, out, *places) == -1
        found.append((*(column[: places[0][-1]] for column in out), *places))
    assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(*found)) and len(found[0][0])
    kept, offsets = view.kept(data.columns, data.offsets)
    assert all(np.array_equal(a, b) for a, b in zip(found[0], (*kept, offsets)))
    assert len(kept.t) == len(data.t) if crop is polarity is None else 0 < len(kept.t) < len(data.t)


@pytest.mark.parametrize("crop, polarity", VIEWS)
@pytest.mark.parametrize("merge", [True, False])
def test_rasters_of_parts_are_those_of_the_recordings(
    merge: bool, crop: tuple | None, polarity: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = recordings()
    written = write_shards(data, tmp_path, part_samples=5)
    x0, y0, x1, y1 = crop or (0, 0, 9, 5)
    channels = slice(None) if polarity is None else slice(polarity, polarity + 1)
    expected = data.raster(7)[:, :, channels, y0:y1, x0:x1]
    whole = data.sparse_raster(7, crop=crop, polarity=polarity, merge=merge)
    assert whole.dense().equal(expected)
    assert same_raster(written.sparse_raster(7, crop=crop, polarity=polarity, merge=merge), whole)
    monkeypatch.setattr(shards_module, "BLOCK", 2)
    assert same_raster(written.sparse_raster(7, crop=crop, polarity=polarity, merge=merge), whole)
    rows = [3, 5, 11]
    some = written.subset(rows).sparse_raster(7, crop=crop, polarity=polarity, merge=merge)
    assert same_raster(some, data.sparse_raster(7, rows, crop=crop, polarity=polarity, merge=merge))
    assert data.sparse_raster(7, [5, 3, 3]).dense().equal(data.raster(7, [5, 3, 3]))


@pytest.mark.parametrize("polarity", [None, 1])
def test_groups_and_the_only_polarity_come_back(polarity: int | None, tmp_path: Path) -> None:
    data, names = recordings((1, 9)), np.array([f"speaker {i * 7 % 5}" for i in range(13)])
    p = data.p if polarity is None else np.ones_like(data.p)
    data = replace(data, p=p, groups=names, polarity=polarity)
    for made in (write_shards(data, tmp_path, part_samples=4), Shards.open(tmp_path)):
        assert same(made.load(), data) and made.load().groups.tolist() == made.groups.tolist() == names.tolist()
        assert made.polarity == made.load().polarity == polarity
        some = made.subset([1, 5, 12])
        assert some.groups.tolist() == some.load().groups.tolist() == names[[1, 5, 12]].tolist()
        assert [who for part in made.parts() for who in part.groups] == names.tolist()
        assert made.summary()["groups"] == 5
    (tmp_path / "part-00001.safetensors").unlink()
    assert same(write_shards(data, tmp_path, part_samples=4).load(), data), "what is missing is made again"
    with pytest.raises(ArtefactError, match="begun with the same recordings"):
        write_shards(replace(data, groups=names[::-1]), tmp_path, part_samples=4)


def test_a_group_that_is_none_of_the_names_is_refused(tmp_path: Path) -> None:
    data = replace(recordings(), groups=np.array(["a", "b", "c", "a"] * 3 + ["a"]))
    index = write_shards(data, tmp_path, part_samples=20).index
    words = shards_module.read_part(tmp_path, index, 0, ("events",))["events"]
    rows = {"labels": data.labels, "sample_ids": data.sample_ids, "counts": np.diff(data.offsets)}
    for wrong in (np.full(13, 3, np.int32), np.full(13, -1, np.int32), None):
        shards_module.write_part(tmp_path, index, 0, words, rows | {"group": wrong})
        with pytest.raises(DatasetError, match=r"part-00000.safetensors must be of 13 recordings"):
            Shards.open(tmp_path)


def test_folders_without_groups_are_what_they_were(tmp_path: Path) -> None:
    """Index and parts hold what version 1 held before there were groups, and nothing else: such folders load and go on."""
    made = write_shards(recordings(), tmp_path, part_samples=20)
    held = json.loads((tmp_path / "index.json").read_text())
    fields = {"format", "version", "name", "sensor", "samples", "part_samples", "layout", "fingerprint"}
    assert set(held) == fields and held["version"] == 1
    with safe_open(tmp_path / "part-00000.safetensors", framework="numpy") as file:
        assert set(file.keys()) == {"events", "counts", "labels", "sample_ids", "split"}
    assert held["fingerprint"] == FINGERPRINT, "of the recordings above, as it was before there were groups"
    assert made.groups is None and made.polarity is None


def test_subsets_read_what_they_hold(tmp_path: Path) -> None:
    data = recordings()
    written = write_shards(data, tmp_path, part_samples=5)
    rows = np.array([0, 2, 4, 11, 12])
    assert same(written.subset(rows).load(), data.subset(rows)) and same(written.part("test").load(), data.part("test"))
    assert [len(part) for part in written.subset(rows).parts()] == [3, 2]
    assert written.excluding([103, 7]).sample_ids.tolist() == [i for i in range(100, 113) if i != 103]
    assert same(written.excluding([103]).load(), data.excluding([103]))
    assert len(written.subset([]).load()) == 0 and list(written.subset([]).parts()) == []
    with pytest.raises(ParameterError, match=r"Shards.rows must be rising, each once"):
        written.subset([2, 1])
    with pytest.raises(ShapeError, match="at least one recording"):
        written.subset([]).sparse_raster(3)
    with pytest.raises(ParameterError, match=r"crop must be a rectangle .* inside 0, 0, 9, 5"):
        written.sparse_raster(3, crop=(0, 0, 10, 5))
    with pytest.raises(ParameterError, match=r"polarity must be 0 \(OFF\), 1 \(ON\)"):
        data.sparse_raster(3, polarity=2)


@pytest.mark.parametrize("threads", [1, 3])
def test_emulated_parts_are_the_recordings_of_emulate(
    threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spikesim.datasets.emulation.SLICE", 2)
    images, told, done = drawn_images(), [], []
    made = emulate_to(tmp_path, images, CAMERA, Seeds(4), threads=threads, part_samples=4, announce=told.append,
                      progress=lambda: done.append(1))  # fmt: skip
    expected = emulate(images, CAMERA, Seeds(4))
    assert same(made.load(), expected) and same(load(tmp_path), expected)  # type: ignore[arg-type]
    assert len(done) == 3 and told == [Size(3, 3, len(expected.t), 4 * len(expected.t) + 32 * 11)]
    held = {name: value for name, value in expected.summary().items() if name != "kind"}
    assert summary(tmp_path).items() >= held.items()


def test_an_event_takes_less_than_five_bytes_in_all(tmp_path: Path) -> None:
    made = emulate_to(tmp_path, drawn_images(40), EventCamera(), Seeds(0))
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert made.events > 20_000 and 4 < size / made.events < 4.1
    assert summary(tmp_path)["bytes_per_event"] == size / made.events


def test_what_was_finished_is_kept_and_the_rest_is_made(tmp_path: Path) -> None:
    images, whole, cut = drawn_images(), tmp_path / "whole", tmp_path / "cut"
    emulate_to(whole, images, CAMERA, Seeds(1), part_samples=4)
    shutil.copytree(whole, cut)
    (cut / "part-00001.safetensors").unlink()
    (cut / ".part-00001.safetensors.abc.safetensors").write_bytes(b"half")
    broken = cut / "part-00002.safetensors"
    broken.write_bytes(broken.read_bytes()[:-7])
    before = (cut / "part-00000.safetensors").stat().st_mtime_ns
    told: list[Size] = []
    again = emulate_to(cut, images, CAMERA, Seeds(1), part_samples=4, announce=told.append)
    assert (told[0].left, told[0].parts) == (2, 3) and (cut / "part-00000.safetensors").stat().st_mtime_ns == before
    assert sorted(p.name for p in cut.iterdir()) == sorted(p.name for p in whole.iterdir())
    assert all((cut / p.name).read_bytes() == p.read_bytes() for p in whole.iterdir())
    assert same(again.load(), emulate(images, CAMERA, Seeds(1)))
    emulate_to(cut, images, CAMERA, Seeds(1), part_samples=4, announce=told.append)
    assert len(told) == 1, "nothing is left, so nothing is announced"


def test_other_settings_are_refused_in_one_line(tmp_path: Path) -> None:
    images = drawn_images()
    emulate_to(tmp_path, images, CAMERA, Seeds(1), part_samples=4)
    moved = replace(images, ids=images.ids + 1)
    darker = Images(images.pixels // 2, images.labels, images.ids, "drawn", images.split)
    others = [(images, CAMERA, Seeds(2)), (images, replace(CAMERA, noise=0.5), Seeds(1)), (moved, CAMERA, Seeds(1)),
              (darker, CAMERA, Seeds(1)), (images.first(10), CAMERA, Seeds(1))]  # fmt: skip
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for other in others:
        with pytest.raises(ArtefactError, match="begun with the same recordings and settings") as refusal:
            emulate_to(tmp_path, *other, part_samples=4)
        assert str(tmp_path) in str(refusal.value) and "\n" not in str(refusal.value)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def broken(folder: Path, how: str) -> Path:
    """One file of the folder, damaged."""
    path = folder / "part-00001.safetensors"
    raw = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "cut":
        path.write_bytes(raw[: len(raw) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "flipped":
        path.write_bytes(raw[:-40] + bytes([raw[-40] ^ 1]) + raw[-39:])
    elif how == "header":
        path.write_bytes(raw[:40] + b"?" + raw[41:])
    elif how == "of others":
        other = folder.parent / "other"
        write_shards(recordings(latest=998), other, part_samples=5)
        path.write_bytes((other / path.name).read_bytes())
    else:
        path = folder / "index.json"
        path.write_text(how)
    return path


DAMAGES = [
    "missing",
    "cut",
    "empty",
    "flipped",
    "header",
    "of others",
    "{",
    "[]",
    '{"format": "spikesim recordings in parts"}',
]


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_folder_is_refused_in_one_line_that_names_the_file(how: str, tmp_path: Path) -> None:
    written = write_shards(recordings(), tmp_path / "made", part_samples=5)
    path = broken(tmp_path / "made", how)
    with pytest.raises(DatasetError) as refusal:
        Shards.open(tmp_path / "made").load()
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)
    if path.suffix != ".json":
        with pytest.raises(DatasetError, match=path.name):
            written.sparse_raster(3)


def test_events_that_cannot_be_are_refused_even_where_the_checksum_fits(tmp_path: Path) -> None:
    data = recordings()
    index = write_shards(data, tmp_path, part_samples=20).index
    words = shards_module.read_part(tmp_path, index, 0, ("events",))["events"].copy()
    rows = {"labels": data.labels, "sample_ids": data.sample_ids, "counts": np.diff(data.offsets)}
    order, numbers, sides = "events in time order on 5x9 pixels", "as many events as its counts", "13 recordings"
    for wrong, more, said in [
        (words[::-1], 0, order), (words | 15 << 1, 0, order), (words | 7 << 5, 0, order), (words[:-1], 0, numbers),
        (words, 1, numbers), (words, -1, sides),
    ]:  # fmt: skip
        shards_module.write_part(tmp_path, index, 0, wrong, rows | {"counts": rows["counts"] + more})
        with pytest.raises(DatasetError, match=rf"part-00000.safetensors must be of {said}"):
            Shards.open(tmp_path).load()


def test_a_full_disk_is_said_and_finished_parts_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, usage = drawn_images(), namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1000))
    with pytest.raises(ArtefactError, match=r"must be on a disk with 0.0 MB free, got 0.0 MB free; make room"):
        emulate_to(tmp_path, images, CAMERA, Seeds(1), part_samples=4)
    monkeypatch.undo()
    write, written = Path.write_bytes, []

    def full(path: Path, data: bytes) -> int:
        written.append(path)
        if len(written) > 2:
            raise OSError(28, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(
        ArtefactError, match=r"part-00002.*No space left on device; .*make room and run again"
    ) as refusal:
        emulate_to(tmp_path, images, CAMERA, Seeds(1), part_samples=4)
    assert "\n" not in str(refusal.value)
    monkeypatch.undo()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "index.json",
        "part-00000.safetensors",
        "part-00001.safetensors",
    ]
    told: list[Size] = []
    emulate_to(tmp_path, images, CAMERA, Seeds(1), part_samples=4, announce=told.append)
    assert told[0].left == 1


def test_layouts_and_writers_refuse_what_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"at most 63 bits an event, got 64"):
        Layout.of((720, 1280), 2**41)
    early = recordings()
    early = EventDataset(early.t - 2000, early.x, early.y, early.p, early.offsets, early.labels, early.sensor)
    with pytest.raises(DatasetError, match=r"write_shards.data.t must be at least 0"):
        write_shards(early, tmp_path)
    with pytest.raises(SpikesimError, match=r"threads must be a whole number at least 1"):
        emulate_to(tmp_path, drawn_images(), CAMERA, Seeds(0), threads=0)
    with pytest.raises(DatasetError, match=r"at most 4x4 pixels, got 9x9"):
        emulate_to(tmp_path, drawn_images(), replace(CAMERA, sensor=(4, 4)), Seeds(0))
    assert not (tmp_path / "index.json").exists()
