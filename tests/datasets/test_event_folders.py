"""Readers of CIFAR10-DVS (.aedat, .mat) and ES-ImageNet: small files of our making, one real recording, bad files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from spikesim.core.events import EventStream
from spikesim.datasets import describe, load, odg, read_class_folder
from spikesim.datasets.formats import aedat2, dat2mat, es_imagenet_npz
from spikesim.datasets.still_events import COLUMNS, ROWS
from spikesim.errors import DatasetError


def stream(seed: int = 0, n: int = 40) -> EventStream:
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 2**31, n))
    return EventStream(t, rng.integers(0, 128, n), rng.integers(0, 128, n), rng.integers(0, 2, n), (128, 128))


def matrix(s: EventStream, columns: int = 4, off: int = -1) -> np.ndarray:
    p = np.where(s.p == 1, 1, off)
    parts = [s.t, s.x, s.y, p] if columns == 4 else [s.t, -np.ones(len(s)), -np.ones(len(s)), s.x, s.y, p]
    return np.stack([np.asarray(part, np.float64) for part in parts], 1)


def test_aedat_files_round_trip_and_have_the_published_layout(tmp_path: Path) -> None:
    aedat2.write(tmp_path / "a.aedat", stream())
    assert aedat2.read(tmp_path / "a.aedat") == stream()
    event = bytes([0, 0, 0b0000101, 0b0000110 | 1, 0, 1, 2, 3])  # y 5, 127 - x = 3, OFF
    special = bytes([0, 0, 0x80, 0, 0, 1, 2, 4])
    (tmp_path / "b.aedat").write_bytes(b"#!AER-DAT2.0\r\n# made by hand\r\n" + event + special)
    assert [c.tolist() for c in aedat2.read(tmp_path / "b.aedat").columns] == [[0x010203], [124], [5], [0]]


def test_a_real_aedat_recording_has_its_reference_values(shared_data: Path) -> None:
    folder, name = shared_data / "dvs_samples", "dvs128_walking_aedat2.aedat"
    wanted, read = json.loads((folder / "reference.json").read_text())[name], aedat2.read(folder / name)
    assert (len(read), int(read.p.sum()), int(read.x.sum()), int(read.y.sum())) == tuple(
        wanted[key] for key in ("n_events", "n_on", "x_sum", "y_sum")
    )
    first = [[int(c[i]) for c in read.columns] for i in (0, 1, 2, -1)]
    assert first == wanted["events_first3_and_last_txyp"]
    with pytest.raises(DatasetError, match=r"aedat2_header_only\.aedat must be "):
        aedat2.read(folder / "aedat2_header_only.aedat")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", r'AEDAT 2\.0, beginning with "#!AER-DAT2", got nothing'),
        (b"#!AER-DAT1.0\r\n" + bytes(6), r"got #!AER-DAT1\.0"),
        (b"#!AER-DAT2.0\r\n", r"at least one, got 0 bytes"),
        (b"#!AER-DAT2.0\r\n" + bytes(13), r"8-byte events .*got 13 bytes"),
        (b"#!AER-DAT2.0\r\n" + bytes([0, 1, 0, 0, 0, 0, 0, 1]), r"of a DVS128, with addresses below 65536, got 65536"),
        (b"#!AER-DAT2.0\r\n" + bytes([0, 0, 0, 0, 0, 0, 0, 9] + [0] * 8), r"never decreasing, got event 1 at 0 us"),
    ],
)
def test_bad_aedat_files_are_refused_by_name(tmp_path: Path, content: bytes, text: str) -> None:
    (tmp_path / "x.aedat").write_bytes(content)
    with pytest.raises(DatasetError, match=rf"x\.aedat.*{text}") as raised:
        aedat2.read(tmp_path / "x.aedat")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("columns", "off", "compressed"), [(4, -1, True), (6, -1, False), (4, 0, False)])
def test_mat_files_of_both_shapes_are_read(tmp_path: Path, columns: int, off: int, compressed: bool) -> None:
    savemat(tmp_path / "a.mat", {"CIN": matrix(stream(), columns, off), "note": "x"}, do_compression=compressed)
    assert dat2mat.read(tmp_path / "a.mat") == stream()


def test_bad_mat_files_are_refused_by_name(tmp_path: Path) -> None:
    good = matrix(stream())
    half, off = good.copy(), good.copy()
    half[3, 0] += 0.5
    off[2, 1] = 128
    for variables, text in (
        ({"a": np.zeros((4, 3))}, "4 or 6 columns, got 0 such matrices"),
        ({"a": good, "b": good}, "got 2 such matrices"),
        ({"a": half}, "a matrix of whole numbers"),
        ({"a": off}, r"x must be from 0 to 127, got 128 at event 2"),
        ({"a": good[::-1]}, "never decreasing"),
        ({"a": np.array([[b"x"] * 4], dtype=object)}, "got 0 such matrices"),
    ):
        savemat(tmp_path / "x.mat", variables)
        with pytest.raises(DatasetError, match=rf"x\.mat.*{text}") as raised:
            dat2mat.read(tmp_path / "x.mat")
        assert "\n" not in str(raised.value)
    savemat(tmp_path / "whole.mat", {"a": good})
    whole = (tmp_path / "whole.mat").read_bytes()
    for content in (b"", b"MATLAB 7.3 MAT-file" + bytes(200), whole[:100], whole[:-40], bytes(range(256)) * 3):
        (tmp_path / "x.mat").write_bytes(content)
        with pytest.raises(DatasetError, match=r"x\.mat must be a"):
            dat2mat.read(tmp_path / "x.mat")
    with pytest.raises(DatasetError, match=r"none\.mat must be a file that can be read"):
        dat2mat.read(tmp_path / "none.mat")


def test_folders_of_classes_are_data_sets(tmp_path: Path) -> None:
    for label, name in enumerate(("airplane", "bird")):
        for i in (0, 2, 10):
            aedat2.write(tmp_path / name / f"cifar10_{name}_{i}.aedat", stream(10 * label + i))
    (tmp_path / "notes").mkdir()
    data = load(tmp_path)
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 1] and data.sample_ids.tolist() == list(range(6))
    assert data[2][0] == stream(10) and data[4][0] == stream(12) and data.classes == 2
    some = read_class_folder(tmp_path, limit=1)
    assert some.sample_ids.tolist() == [0, 3] and some[1][0] == stream(10)
    assert describe(tmp_path / "bird" / "cifar10_bird_2.aedat")["events"] == 40
    savemat(tmp_path / "bird" / "a.mat", {"a": matrix(stream())})
    with pytest.raises(DatasetError, match=r"bird must be a folder of files of one format, got \.aedat, \.mat"):
        load(tmp_path)
    with pytest.raises(DatasetError, match="<class>/<recording>"):
        read_class_folder(tmp_path / "notes")


def es_sample(path: Path, frames: np.ndarray) -> None:
    """Write canvas frames (8, 2, H, W) as the data set's generator does."""

    def rows(p: int) -> np.ndarray:
        k, r, c = np.nonzero(frames[:, p])
        return np.stack([r, c, k + 1], 1).astype(np.uint8)

    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, pos=rows(1), neg=rows(0))


def test_es_imagenet_folders_give_back_what_odg_makes(tmp_path: Path) -> None:
    """Files written as the generator writes them, from canvases of whole and of narrow images, against `odg`."""
    rng = np.random.default_rng(0)
    lines, wanted = {"train": [], "val": []}, []
    for part, label, shape in (("train", 7, (254, 254)), ("train", 2, (254, 180)), ("val", 7, (120, 254))):
        image = np.kron(rng.integers(0, 256, [-(-n // 6) for n in shape]), np.ones((6, 6)))[: shape[0], : shape[1]]
        image = image.astype(np.uint8)
        grey, canvas = image.astype(np.float32) / 255, np.zeros((9, shape[0] + 4, shape[1] + 4), np.float32)
        for k, (r, c) in enumerate(zip(ROWS, COLUMNS)):
            canvas[k, r : r + shape[0], c : c + shape[1]] = grey
        change = np.diff(canvas, axis=0)
        frames = np.stack([change < -0.18, change > 0.18], 1)
        frames[..., :17, :] = frames[..., :17] = frames[..., 240:, :] = frames[..., 240:] = False
        # The borders that the generator blanks lie within the cut of these shapes but for narrow sides:
        for k in range(1, 9):
            for axis, path in ((2, ROWS), (3, COLUMNS)):
                first, last = sorted((path[k - 1], path[k]))
                edge = [slice(None)] * 4
                edge[0], edge[axis] = slice(k - 1, k), slice(first + shape[axis - 2], last + shape[axis - 2])
                frames[tuple(edge)] = False
        name = f"class{label}/class{label}_{len(lines[part])}.npz"
        es_sample(tmp_path / part / name, frames)
        lines[part].append(f"{name} {label} {shape[0]} {shape[1]}\n")
        wanted.append(odg(image))
    for part, text in lines.items():
        (tmp_path / f"{part}label.txt").write_text("".join(text))
    data = load(tmp_path)
    assert data.labels.tolist() == [7, 2, 7] and data.sample_ids.tolist() == [0, 1, 2]
    assert data.split is not None and data.split.tolist() == [0, 0, 1] and data.sensor == (224, 224)
    assert np.array_equal(data.raster(8).transpose(0, 1).numpy(), np.stack(wanted))


def test_bad_es_imagenet_files_are_refused_by_name(tmp_path: Path) -> None:
    one = np.array([[20, 20, 1]], np.uint8)
    for name, arrays, text in (
        ("missing", {"pos": one}, "an .npz of pos and neg"),
        ("flat", {"pos": one[0], "neg": one}, r"\(n, 3\), got uint8 \(1, 3\), uint8 \(3,\)"),
        ("late", {"pos": one * 9, "neg": one}, "of frames from 1 to 8, got 1 to 9"),
        ("pickled", {"pos": np.array([{}], object), "neg": one}, "an .npz of pos and neg"),
    ):
        np.savez(tmp_path / f"{name}.npz", **arrays)
        with pytest.raises(DatasetError, match=rf"{name}\.npz must be .*{text}") as raised:
            es_imagenet_npz.read(tmp_path / f"{name}.npz")
        assert "\n" not in str(raised.value)
    (tmp_path / "junk.npz").write_bytes(b"junk")
    with pytest.raises(DatasetError, match=r"junk\.npz must be an \.npz of pos and neg"):
        es_imagenet_npz.read(tmp_path / "junk.npz")
    (tmp_path / "train").mkdir()
    np.savez(tmp_path / "train" / "a.npz", pos=one, neg=one)
    for line, text in (("a.npz 3 254", "FILE LABEL ROWS COLUMNS"), ("../a.npz 3 254 254", "below the folder")):
        (tmp_path / "trainlabel.txt").write_text(line + "\n")
        with pytest.raises(DatasetError, match=rf"trainlabel\.txt, line 1 must be .*{text}"):
            load(tmp_path)
    (tmp_path / "trainlabel.txt").write_text("")
    with pytest.raises(DatasetError, match="no samples"):
        load(tmp_path)
