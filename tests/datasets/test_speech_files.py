"""Readers of cochlea recordings: what comes back from files of our own in the published layouts, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spikesim import datasets
from spikesim.core.events import EventStream
from spikesim.datasets.formats import bs1, ntidigits_hdf5, shd_hdf5
from spikesim.errors import DatasetError

NAMES = {"train": ["man-ad-a-z", "man-ad-b-3", "woman-cd-a-o", "man-ad-a-3z9"], "test": ["man-fg-a-7", "boy-aa-b-1o"]}


def events(n: int, channels: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(channels, seconds on a grid of µs, in order)."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, channels, n), np.sort(rng.integers(0, 900_000, n)) / 1e6


def ntidigits(path: Path, channels: int = 64, **changed: tuple[Any, Any]) -> Path:
    """A file in the layout; `changed`: {part_name: (channels, seconds)} with "_" for "-"."""
    with h5py.File(path, "w") as file:
        for part, names in NAMES.items():
            file[f"{part}_labels"] = np.array(names, "S")
            for i, name in enumerate(names):
                given = changed.get(name.replace("-", "_"), events(40 + i, channels, i))
                file[f"{part}_addresses/{name}"], file[f"{part}_timestamps/{name}"] = given
    return path


def shd(path: Path, *, n: int = 4, channels: int = 700, labels: int | None = None, speaker: bool = True) -> Path:
    with h5py.File(path, "w") as file:
        for name, kind in (("units", np.uint16), ("times", np.float16)):
            field = file.create_dataset(f"spikes/{name}", (n,), h5py.vlen_dtype(kind))
            for i in range(n):
                field[i] = dict(zip(("units", "times"), events(30 + i, channels, i)))[name].astype(kind)
        file["labels"] = np.arange(n if labels is None else labels) * 5
        if speaker:
            file["extra/speaker"] = np.array([3, 3, 11, 0][:n], np.uint16)
    return path


def test_bs1_is_the_published_layout_and_round_trips(tmp_path: Path) -> None:
    (tmp_path / "1.bs1").write_bytes(bytes([0, 5, 0x80 | 0x01, 0x02, 0x03]))
    assert [c.tolist() for c in bs1.read(tmp_path / "1.bs1").columns] == [[0x010203], [5], [0], [1]]
    channels, seconds = events(50, 300, 0)
    wide = EventStream(np.rint(seconds * 1e6).astype(int), channels, 0 * channels, channels % 2, (1, 300))
    bs1.write(tmp_path / "2.bs1", wide)
    assert bs1.read(tmp_path / "2.bs1", (1, 300)) == wide
    with pytest.raises(DatasetError, match=r"2\.bs1: .*x must be from 0 to 63, got"):
        bs1.read(tmp_path / "2.bs1")


def test_bs1_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "1.bs1").write_bytes(bytes(7))
    with pytest.raises(DatasetError, match=r"1\.bs1 must be a whole number of 5-byte events.*got 7 bytes"):
        bs1.read(tmp_path / "1.bs1")
    with pytest.raises(DatasetError, match="a file that can be read"):
        bs1.read(tmp_path / "none.bs1")
    with pytest.raises(DatasetError, match=r"bs1\.write\.y must be from 0 to 0, got 1"):
        bs1.write(tmp_path / "2.bs1", EventStream([0], [0], [1], [1], (2, 64)))
    with pytest.raises(DatasetError, match=r"bs1\.write\.t must be from 0 to 8388607"):
        bs1.write(tmp_path / "2.bs1", EventStream([1 << 23], [0], [0], [1], (1, 64)))


def test_the_real_sample_has_its_reference_values(shared_data: Path) -> None:
    folder, name = shared_data / "dvs_samples", "ntidigits_sample.bs1"
    known, read = json.loads((folder / "reference.json").read_text())[name], bs1.read(folder / name)
    assert (len(read), int(read.x.sum()), int(read.x.max())) == (known["n_events"], known["x_sum"], known["x_max"])
    assert int(read.p.sum()) == known["n_on"] and (read.t[0], read.t[-1]) == (known["t_first_us"], known["t_last_us"])
    ends = [[int(read.t[i]), int(read.x[i]), int(read.p[i])] for i in (0, 1, 2, -1)]
    assert ends == known["events_first3_and_last_txyp"]


def test_ntidigits_gives_single_digits_with_their_split_and_speaker(tmp_path: Path) -> None:
    data = datasets.load(ntidigits(tmp_path / "n-tidigits.hdf5"))
    assert isinstance(data, datasets.EventDataset) and data.sensor == (1, 64) and data.groups is not None
    assert data.labels.tolist() == [0, 3, 10, 7] and data.part("train").labels.tolist() == [0, 3, 10]
    assert data.groups.tolist() == ["man-ad", "man-ad", "woman-cd", "man-fg"] and data.sample_ids.tolist() == [
        0,
        1,
        2,
        4,
    ]
    channels, seconds = events(41, 64, 1)
    assert data[1][0].x.tolist() == channels.tolist() and data[1][0].t.tolist() == np.rint(seconds * 1e6).tolist()
    assert set(data.p) == {1} and not data.y.any()


def test_ntidigits_with_sequences_and_two_ears(tmp_path: Path) -> None:
    every = ntidigits_hdf5.read(ntidigits(tmp_path / "1.h5", channels=128), single=False)
    assert every.labels.tolist() == [0, 3, 10, -1, 7, -1] and every.sensor == (1, 128) and every.x.max() > 63


def test_events_out_of_order_are_brought_in_order(tmp_path: Path) -> None:
    given = (np.array([7, 8, 9, 10]), np.array([0.003, 0.001, 0.003, 0.002]))
    first = ntidigits_hdf5.read(ntidigits(tmp_path / "1.h5", man_ad_a_z=given))[0][0]
    assert first.x.tolist() == [8, 10, 7, 9] and first.t.tolist() == [1000, 2000, 3000, 3000]


@pytest.mark.parametrize(
    "given,message",
    [
        (([200], [0.1]), r"channels must be from 0 to 127, got 200"),
        (([-1], [0.1]), r"channels must be from 0 to 127, got -1"),
        (([0.5], [0.1]), r"channels must be whole numbers"),
        (([1, 2], [0.1]), r"two lists of numbers of one length"),
        (([1], [np.nan]), r"times must be finite and at least 0 s, got nan"),
        (([1], [-0.5]), r"times must be finite and at least 0 s, got -0.5"),
    ],
)
def test_events_that_are_none_name_their_utterance(tmp_path: Path, given: Any, message: str) -> None:
    path = ntidigits(tmp_path / "1.h5", woman_cd_a_o=tuple(np.array(part) for part in given))
    with pytest.raises(DatasetError, match=rf"1\.h5 utterance 'woman-cd-a-o' .*{message}") as caught:
        datasets.load(path)
    assert "\n" not in str(caught.value)


def test_ntidigits_names_that_are_none_are_refused(tmp_path: Path) -> None:
    path = ntidigits(tmp_path / "1.h5")
    with h5py.File(path, "a") as file:
        del file["test_labels"]
        file["test_labels"] = np.array(["man-fg-a-q"], "S")
    with pytest.raises(DatasetError, match=r"utterance 'man-fg-a-q' must be ending in its digits"):
        datasets.load(path)
    with h5py.File(path, "a") as file:
        del file["test_labels"]
        file["test_labels"] = np.array(["man-zz-a-1"], "S")
    with pytest.raises(DatasetError, match=r"'man-zz-a-1' must be in test_addresses and test_timestamps, got missing"):
        datasets.load(path)
    with h5py.File(path, "a") as file:
        for part in ("train", "test"):
            del file[f"{part}_labels"]
            file[f"{part}_labels"] = np.array(["man-ad-a-3z9"], "S")
    with pytest.raises(DatasetError, match=r"at least one recording of a single digit, got 2 of others"):
        datasets.load(path)


@pytest.mark.parametrize("speaker", [True, False])
def test_shd(tmp_path: Path, speaker: bool) -> None:
    data = datasets.load(shd(tmp_path / "shd_train.h5", speaker=speaker))
    assert isinstance(data, datasets.EventDataset) and data.sensor == (1, 700) and data.name == "shd_train"
    assert data.labels.tolist() == [0, 5, 10, 15] and data.split is None
    assert (data.groups.tolist() if data.groups is not None else None) == (["3", "3", "11", "0"] if speaker else None)
    channels, seconds = events(31, 700, 1)
    halves = np.rint(seconds.astype(np.float16).astype(float) * 1e6)
    assert data[1][0].x.tolist() == channels.tolist() and data[1][0].t.tolist() == halves.tolist()


def test_other_hdf5_is_refused_in_one_line(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "1.h5", "w") as file:
        file["weights"] = np.zeros(3)
    with pytest.raises(DatasetError, match=r"1\.h5 must be HDF5 of N-TIDIGITS or SHD, got one with weights"):
        datasets.load(tmp_path / "1.h5")
    for reader in (ntidigits_hdf5, shd_hdf5):
        with pytest.raises(DatasetError, match=r"got weights"):
            reader.read(tmp_path / "1.h5")
        with pytest.raises(DatasetError, match=r"none\.h5 must be a file that can be read"):
            reader.read(tmp_path / "none.h5")
    whole = shd(tmp_path / "2.h5").read_bytes()
    (tmp_path / "3.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match=r"3\.h5 must be an HDF5 file that can be read") as caught:
        datasets.load(tmp_path / "3.h5")
    assert "\n" not in str(caught.value)
    with pytest.raises(DatasetError, match=r"as many times, units, labels and speakers, at least one, got 4, 4, 3, 4"):
        datasets.load(shd(tmp_path / "4.h5", labels=3))
    with pytest.raises(DatasetError, match=r"4\.h5 recording 0 channels must be from 0 to 699, got"):
        datasets.load(shd(tmp_path / "4.h5", channels=1400))
