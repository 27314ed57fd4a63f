"""Counts of channels: files, what is refused, batches a reservoir can be shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from spikesim.datasets import Counts, counts, read_counts
from spikesim.errors import DatasetError, ParameterError, ShapeError
from spikesim.lsm.extraction import Frames, event_counts


def drawn(n: int = 6, steps: int = 20, channels: int = 192) -> np.ndarray:
    return np.random.default_rng(n).poisson(0.3, (n, steps, channels))


def written(path: Path, **arrays: Any) -> Path:
    (savemat if path.suffix == ".mat" else lambda to, held: np.savez(to, **held))(path, arrays)
    return path


@pytest.mark.parametrize("suffix", ["npz", "mat"])
def test_files_give_counts_and_labels(tmp_path: Path, suffix: str) -> None:
    path = written(
        tmp_path / f"hand.{suffix}", counts=drawn().astype(float), labels=np.arange(6) % 3, split=np.arange(6) % 2
    )
    data = read_counts(path)
    assert np.array_equal(data.counts, drawn()) and data.counts.dtype == np.uint8 and data.name == "hand"
    assert data.labels.tolist() == [0, 1, 2] * 2 and data.part("test").sample_ids.tolist() == [1, 3, 5]
    assert len(data) == 6 and data.sensor == (1, 192) and data.summary()["steps"] == 20


@pytest.mark.parametrize("suffix", ["npz", "mat"])
def test_files_say_who_and_where_from(tmp_path: Path, suffix: str) -> None:
    who = ["a", "bcd", "a", "a", "bcd", "e"]
    path = written(
        tmp_path / f"hand.{suffix}", counts=drawn(), labels=np.arange(6), groups=np.array(who), source="drawn for tests"
    )
    data = read_counts(path)
    assert data.groups.tolist() == who and data.source == "drawn for tests" == data.subset([1]).source
    assert data.summary()["source"] == "drawn for tests" and data.subset([4, 0]).groups.tolist() == ["bcd", "a"]
    sessions = read_counts(written(path, counts=drawn(), labels=np.arange(6), groups=[3.0, 3, 3, 12, 12, 12]))
    assert (
        sessions.groups.tolist() == ["3"] * 3 + ["12"] * 3
        and sessions.source == ""
        and "source" not in sessions.summary()
    )
    with pytest.raises(DatasetError, match=rf"hand.{suffix} groups must be texts or whole numbers, got float64"):
        read_counts(written(path, counts=drawn(), labels=np.arange(6), groups=np.arange(6) / 4))


def test_batches_hold_the_counts_whatever_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Counts(drawn(), np.arange(6))
    monkeypatch.setattr(counts, "BATCH", 4)
    found = list(data.batches(Frames(steps=20)))
    assert [raster.shape for raster, _ in found] == [(192,)] * 2 and [ids.tolist() for _, ids in found] == [
        [0, 1, 2, 3],
        [4, 5],
    ]
    dense = np.concatenate([raster.dense().numpy() for raster, _ in found], 1)
    assert np.array_equal(dense.swapaxes(0, 1), drawn())
    values = event_counts(data.subset([5, 2]), Frames(steps=20), windows=2)
    assert np.array_equal(values, drawn()[[5, 2]].reshape(2, 2, 10, 192).sum(2).reshape(2, -1))
    largest = next(data.batches(Frames(steps=20, largest=1)))[0].dense().numpy()
    assert np.array_equal(largest.swapaxes(0, 1), np.minimum(drawn()[:4], 1))


@pytest.mark.parametrize("steps", [1, 7, 10, 20])
def test_fewer_steps_add_neighbours_up(steps: int) -> None:
    dense = next(Counts(drawn(), np.arange(6)).batches(Frames(steps=steps)))[0].dense().numpy()
    expected = np.zeros((steps, 6, 192))
    for t in range(20):
        expected[t * steps // 20] += drawn()[:, t]
    assert np.array_equal(dense, expected)


@pytest.mark.parametrize(
    "value,message", [(-1, "at least 0, got -1.0"), (0.5, "whole, got 0.5"), (np.nan, "finite, got nan")]
)
def test_counts_that_are_none_are_refused(tmp_path: Path, value: float, message: str) -> None:
    wrong = drawn().astype(float)
    wrong[3, 4, 5] = value
    path = written(tmp_path / "x.npz", counts=wrong, labels=np.arange(6))
    with pytest.raises(DatasetError, match=rf"x\.npz: Counts\.counts must be {message} in trial 3, step 4, channel 5"):
        read_counts(path)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    for suffix in ("npz", "mat"):
        with pytest.raises(DatasetError, match=r"must be with labels, got"):
            read_counts(written(tmp_path / f"a.{suffix}", counts=drawn()))
        with pytest.raises(DatasetError, match=r"must be with counts and labels, got other"):
            read_counts(written(tmp_path / f"b.{suffix}", other=drawn()))
        (tmp_path / f"c.{suffix}").write_bytes(b"something else that is none of these")
        with pytest.raises(DatasetError, match=rf"c\.{suffix} must be an? ") as caught:
            read_counts(tmp_path / f"c.{suffix}")
        assert "\n" not in str(caught.value)
        with pytest.raises(DatasetError, match="a file that can be read"):
            read_counts(tmp_path / f"none.{suffix}")
    with pytest.raises(DatasetError, match=r"labels must be whole numbers"):
        read_counts(written(tmp_path / "d.npz", counts=drawn(), labels=np.array(list("abcdef"))))
    with pytest.raises(ShapeError, match=r"Counts\.labels must be whole numbers of shape \(6,\)"):
        read_counts(written(tmp_path / "e.npz", counts=drawn(), labels=np.arange(5)))
    with pytest.raises(DatasetError, match=r"numbers of shape \(trials, steps, channels\)"):
        Counts(drawn()[0], np.arange(20))
    with pytest.raises(DatasetError, match=r"below 2\^24"):
        Counts(np.full((1, 1, 1), 1 << 24), np.zeros(1, int))


@pytest.mark.parametrize("frames", [Frames(steps=21), Frames(steps=5, side=1), Frames(steps=5, polarity=0)])
def test_views_that_counts_do_not_have_are_refused(frames: Frames) -> None:
    with pytest.raises(ParameterError, match=r"Frames"):
        next(Counts(drawn(), np.arange(6)).batches(frames))
