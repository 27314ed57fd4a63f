"""Readers: what comes back, what is refused, by name, in one line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from spikesim.core.events import EventStream
from spikesim.datasets import EventDataset, nmnist
from spikesim.datasets.formats import nmnist_bin
from spikesim.errors import ArtefactError, DatasetError


def stream(seed: int = 0, n: int = 50) -> EventStream:
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 2**23, n))
    return EventStream(t, rng.integers(0, 34, n), rng.integers(0, 34, n), rng.integers(0, 2, n), (34, 34))


def recordings(parts: tuple[int, ...] = (0, 0, 1), ids: tuple[int, ...] = (3, 7, 60_003)) -> EventDataset:
    streams = [stream(i, 10 + i) for i in range(len(parts))]
    return EventDataset.joined(streams, [4, 1, 4], sample_ids=list(ids), name="nmnist", split=list(parts))


def test_bin_files_round_trip(tmp_path: Path) -> None:
    nmnist_bin.write(tmp_path / "1.bin", stream())
    assert nmnist_bin.read(tmp_path / "1.bin") == stream()
    assert [file.name for file in tmp_path.iterdir()] == ["1.bin"]


def test_the_layout_is_the_published_one(tmp_path: Path) -> None:
    (tmp_path / "1.bin").write_bytes(bytes([3, 5, 0x80 | 0x01, 0x02, 0x03]))
    read = nmnist_bin.read(tmp_path / "1.bin")
    assert [column.tolist() for column in read.columns] == [[0x010203], [3], [5], [1]]


@pytest.mark.parametrize("size", [0, 4, 7])
def test_truncated_and_empty_files_are_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "00042.bin").write_bytes(bytes(size))
    with pytest.raises(DatasetError, match=rf"00042.bin must be a whole number of 5-byte events.*got {size} bytes"):
        nmnist_bin.read(tmp_path / "00042.bin")


def test_events_off_the_sensor_and_out_of_time_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "1.bin").write_bytes(bytes([1, 1, 0, 0, 1, 40, 1, 0, 0, 2]))
    with pytest.raises(DatasetError, match=r"1\.bin: .*x must be from 0 to 33, got 40 at event 1"):
        nmnist_bin.read(tmp_path / "1.bin")
    (tmp_path / "2.bin").write_bytes(bytes([1, 1, 0, 0, 9, 1, 1, 0, 0, 2]))
    with pytest.raises(DatasetError, match=r"2\.bin: .*never decreasing, got event 1 at 2 us"):
        nmnist_bin.read(tmp_path / "2.bin")
    with pytest.raises(DatasetError, match="a file that can be read"):
        nmnist_bin.read(tmp_path / "none.bin")


def test_what_does_not_fit_the_layout_is_not_written(tmp_path: Path) -> None:
    late = EventStream([2**23], [0], [0], [1], (34, 34))
    with pytest.raises(DatasetError, match=r"write.t must be from 0 to 8388607, got 8388608"):
        nmnist_bin.write(tmp_path / "1.bin", late)
    assert not list(tmp_path.iterdir())


def test_official_folders_round_trip(tmp_path: Path) -> None:
    data = recordings()
    nmnist.write_folder(data, tmp_path)
    assert (tmp_path / "Test" / "4" / "00003.bin").is_file()
    again = nmnist.read_folder(tmp_path)
    assert again.sample_ids.tolist() == [3, 7, 60_003] and again.labels.tolist() == [4, 1, 4]
    assert again.split is not None and again.split.tolist() == [0, 0, 1]
    assert all(again[i][0] == data[i][0] for i in range(3))


def test_folders_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a folder with Train/<digit>/<id>\.bin"):
        nmnist.read_folder(tmp_path)
    nmnist_bin.write(tmp_path / "Train" / "3" / "seven.bin", stream())
    with pytest.raises(DatasetError, match=r"seven\.bin must be named by its number"):
        nmnist.read_folder(tmp_path)
    with pytest.raises(ArtefactError, match="different"):
        nmnist.write_folder(recordings((0, 0, 0), (3, 3, 4)), tmp_path)


def test_ragged_files_are_checked_too(tmp_path: Path) -> None:
    data = recordings()
    fields = {**data.columns._asdict(), "offsets": data.offsets, "labels": data.labels}
    np.savez(tmp_path / "good.npz", **fields, sample_id=[3, 7, 3], split=[0, 0, 1], sensor_size=[34, 34])
    assert nmnist.read_npz(tmp_path / "good.npz").sample_ids.tolist() == [3, 7, 60_003]
    np.savez(tmp_path / "bad.npz", **{**fields, "x": fields["x"] + 30})
    with pytest.raises(DatasetError, match=re.escape("bad.npz: EventDataset.x must be from 0 to 33")):
        nmnist.read_npz(tmp_path / "bad.npz")


def test_real_files_equal_the_gathered_ones(shared_data: Path) -> None:
    files, gathered = nmnist.read_folder(shared_data / "nmnist_raw"), nmnist.read_npz(shared_data / "nmnist_small.npz")
    assert len(files) == 20 and len(gathered) == 990
    row = {number: i for i, number in enumerate(gathered.sample_ids.tolist())}
    assert len(row) == 990
    for i, number in enumerate(files.sample_ids.tolist()):
        assert files[i][0] == gathered[row[number]][0] and files[i][1] == gathered[row[number]][1]


def test_official_folders_take_any_class_and_no_recordings_of_others(tmp_path: Path) -> None:
    streams = [stream(i, 10 + i) for i in range(3)]
    data = EventDataset.joined(streams, [24, 1, 10], sample_ids=[3, 7, 8], name="letters")
    for _ in range(2):  # again: the same files
        nmnist.write_folder(data, tmp_path)
    assert sorted(nmnist.read_folder(tmp_path).labels.tolist()) == [1, 10, 24]
    with pytest.raises(ArtefactError, match="must be empty, or hold these recordings alone, got 1 others"):
        nmnist.write_folder(data.subset([0, 1]), tmp_path)
    below = EventDataset.joined(streams, [0, -1, 1], sample_ids=[3, 7, 8], name="letters")
    with pytest.raises(DatasetError, match=r"write_folder\.data\.labels must be 0 or above.*got -1"):
        nmnist.write_folder(below, tmp_path / "other")
    assert not (tmp_path / "other").exists()
