"""Warped copies: what their equations say, keyed by sample, and nothing of the recordings themselves changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spikesim.core import philox
from spikesim.core.seeds import Seeds
from spikesim.datasets import EventDataset, Warp, warped
from spikesim.errors import ParameterError

CHANNELS = 40


def heard(n: int = 6, events: int = 400, channels: tuple[int, int] = (10, 30)) -> EventDataset:
    rng = np.random.default_rng(n)
    counts = np.full(n, events)
    counts[1] = 0
    t = np.concatenate([np.sort(rng.integers(500, 90_000, c)) for c in counts])
    return EventDataset(
        t, rng.integers(*channels, len(t)), np.zeros(len(t), int), np.ones(len(t), int), np.cumsum([0, *counts]), np.arange(n) % 3,
        (1, CHANNELS), 2**33 + 7 * np.arange(n), "heard", np.arange(n) % 2, np.array([f"speaker {i % 2}" for i in range(n)]), 1,
    )  # fmt: skip


def one(data: EventDataset, row: int) -> tuple[np.ndarray, np.ndarray]:
    stream, _ = data[row]
    return stream.t, stream.x.astype(int)


def test_recordings_stand_first_and_copies_keep_what_belongs_to_them() -> None:
    data = heard()
    made = warped(data, Warp(2, 3.0, 0.1), Seeds(1))
    assert all(np.array_equal(getattr(made.subset(np.arange(6)), f), getattr(data, f)) for f in ("t", "x", "y", "p"))
    rows = [0, 1, 2, 3, 4, 5, *[0, 2, 3, 4, 5] * 2]  # recording 1 has no event, so no copies
    assert (
        made.sample_ids.tolist() == data.sample_ids[rows].tolist()
        and made.labels.tolist() == data.labels[rows].tolist()
    )
    assert made.groups.tolist() == data.groups[rows].tolist() and made.split.tolist() == data.split[rows].tolist()
    assert made.sensor == data.sensor and made.polarity == 1 and made.name == "heard"
    left = made.excluding(data.sample_ids[:1])
    assert len(left) == len(made) - 3


@pytest.mark.parametrize("copy", [0, 1])
def test_events_lie_where_the_equations_put_them(copy: int) -> None:
    data = heard()
    made = warped(data, Warp(2, 3.0, 0.2), Seeds(2))
    key = Seeds(2).child("warp").key
    for row, place in ((0, 0), (4, 3)):
        identity = int(data.sample_ids[row])
        once = philox.words(0, 2 * copy, identity & 0xFFFFFFFF, identity >> 32, key)
        shift, bend = 3.0 * (2 * philox.uniform_of(once[0]) - 1), 0.2 * (2 * philox.uniform_of(once[1]) - 1)
        t, x = one(data, row)
        found_t, found_x = one(made, 6 + 5 * copy + place)
        for i in range(0, len(t), 37):
            u = philox.uniform_of(philox.words(i, 2 * copy + 1, identity & 0xFFFFFFFF, identity >> 32, key)[0])
            assert found_x[i] == int(np.floor(x[i] + shift + u))
        part = (t - t[0]) / (t[-1] - t[0])
        assert np.array_equal(found_t, t[0] + np.rint((t[-1] - t[0]) * (part + bend * part * (1 - part))))
        assert (found_t[0], found_t[-1]) == (t[0], t[-1]) and (np.diff(found_t) >= 0).all()
        assert abs((found_x - x).mean() - shift) < 0.12, "in the mean between the two channels"
        assert set(np.unique(found_x - x)) <= {int(np.floor(shift)), int(np.floor(shift)) + 1}


def test_either_of_the_two_alone() -> None:
    data = heard()
    shifted, bent = (warped(data, w, Seeds(3)).subset(np.arange(6, 11)) for w in (Warp(channels=2.5), Warp(tempo=0.3)))
    some = data.subset([0, 2, 3, 4, 5])
    assert np.array_equal(shifted.t, some.t) and not np.array_equal(shifted.x, some.x)
    assert np.array_equal(bent.x, some.x) and not np.array_equal(bent.t, some.t)


def test_copies_depend_on_seeds_and_sample_alone() -> None:
    data, warp = heard(), Warp(3, 4.0, 0.1)
    every = warped(data, warp, Seeds(4))
    few = warped(data.subset([5, 2]), warp, Seeds(4))
    for copy in range(4):
        start = 0 if copy == 0 else 6 + 5 * (copy - 1)
        for row, place in ((0, 5 if copy == 0 else 4), (1, 2 if copy == 0 else 1)):
            assert all(np.array_equal(a, b) for a, b in zip(one(few, 2 * copy + row), one(every, start + place)))
    assert not np.array_equal(warped(data, warp, Seeds(5)).x, every.x)
    assert np.array_equal(warped(data, replace(warp, copies=1), Seeds(4)).x, every.subset(np.arange(11)).x)


def test_shifts_are_spread_over_their_range() -> None:
    data = heard(300, 30)
    made = warped(data, Warp(channels=5.0), Seeds(6)).subset(np.arange(300, 599))
    some = data.subset(np.flatnonzero(np.diff(data.offsets)))
    means = np.add.reduceat(made.x - some.x.astype(float), made.offsets[:-1]) / 30
    assert abs(means.mean()) < 0.5 and abs(means.std() - 5 / 3**0.5) < 0.3 and 4 < abs(means).max() < 5.5


def test_what_leaves_the_sensor_is_dropped_and_nothing_is_left_out_silently_shown() -> None:
    data = heard(40, 50, channels=(0, 2))
    made = warped(data, Warp(channels=8.0), Seeds(0))
    assert made.x.min() >= 0 and 40 + 15 < len(made) < 79 and (np.diff(made.offsets)[40:] > 0).all()


def test_refusals() -> None:
    for wrong, message in (
        ({"copies": 0, "channels": 1.0}, r"Warp.copies must be"), ({}, r"Warp.channels, tempo must be above 0"),
        ({"channels": -1.0}, r"Warp.channels must be"), ({"tempo": 1.0}, r"Warp.tempo must be"),
    ):  # fmt: skip
        with pytest.raises(ParameterError, match=message):
            Warp(**wrong)  # type: ignore[arg-type]
    flat = EventDataset([1], [0], [0], [0], [0, 1], [1], (4, 6))
    with pytest.raises(ParameterError, match=r"warped.data must be of channels, sensor \(1, channels\)"):
        warped(flat, Warp(channels=1.0), Seeds(0))
