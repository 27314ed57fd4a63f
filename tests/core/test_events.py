"""Event streams: what they refuse, what they never change, and binning against brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesim.core import events
from spikesim.core.events import EventStream
from spikesim.errors import DatasetError, ParameterError, ShapeError

SENSOR = (5, 7)


def stream(seed: int = 0, n: int = 60, span: int = 900, start: int = 40) -> EventStream:
    rng = np.random.default_rng(seed)
    t = start + np.sort(rng.integers(0, span, n))
    return EventStream(t, rng.integers(0, 7, n), rng.integers(0, 5, n), rng.integers(0, 2, n), SENSOR)


def brute_force(s: EventStream, steps: int, start: int, duration: int) -> np.ndarray:
    out = np.zeros((steps, 1, 2, *s.sensor), np.float32)
    for t, x, y, p in zip(s.t.tolist(), s.x.tolist(), s.y.tolist(), s.p.tolist()):
        if start <= t < start + duration:
            out[(t - start) * steps // duration, 0, p, y, x] += 1
    return out


def columns(**changed: object) -> dict[str, object]:
    return {"t": [1, 2, 3], "x": [0, 1, 2], "y": [0, 0, 4], "p": [0, 1, 1], "sensor": SENSOR, **changed}


@pytest.mark.parametrize(
    "changed, error, said",
    [
        ({"t": [1, 5, 3]}, DatasetError, r"t must be never decreasing, got event 2 at 3 us .*EventStream.sorted"),
        ({"x": [0, 7, 9]}, DatasetError, r"EventStream.x must be from 0 to 6, got 7 at event 1"),
        ({"y": [0, 0, -1]}, DatasetError, r"EventStream.y must be from 0 to 4, got -1 at event 2"),
        ({"p": [0, 2, 1]}, DatasetError, r"EventStream.p must be from 0 to 1, got 2 at event 1"),
        ({"t": [1.5, 2, 3]}, DatasetError, r"EventStream.t must be whole numbers, got float64"),
        ({"p": [0, 1]}, ShapeError, r"equally long"),
        ({"sensor": (5,)}, ShapeError, r"EventStream.sensor must be \(H, W\)"),
        ({"sensor": (0, 7)}, ShapeError, r"EventStream.sensor must be"),
    ],
)
def test_bad_columns_are_refused_by_name_and_event(changed: dict, error: type, said: str) -> None:
    with pytest.raises(error, match=said) as refusal:
        EventStream(**columns(**changed))  # type: ignore[arg-type]
    assert "\n" not in str(refusal.value)


def test_sorting_is_offered_and_stable() -> None:
    s = EventStream.sorted([5, 3, 5, 3], [0, 1, 2, 3], [0, 0, 0, 0], [0, 0, 1, 1], SENSOR)
    assert s.x.tolist() == [1, 3, 0, 2]


def test_streams_are_immutable_and_leave_their_inputs_alone() -> None:
    t = np.array([1, 2, 3])
    s = EventStream(t, t, t, t % 2, SENSOR)
    t[0] = 99
    assert s.t[0] == 1
    for column in s.columns:
        with pytest.raises(ValueError):
            column[0] = 1
    before = s.structured()
    s.crop(1, 1, 3, 3), s.window(1, 3), s.raster(4), s.frame()
    assert np.array_equal(before, s.structured())


def test_structured_arrays_round_trip() -> None:
    s = stream()
    array = s.structured()
    assert array.dtype.names == ("x", "y", "t", "p")
    assert EventStream.from_structured(array, SENSOR) == s
    flat = EventStream.from_structured(array[["t", "x", "p"]], (1, 7))
    assert not flat.y.any()
    with pytest.raises(DatasetError, match="with fields"):
        EventStream.from_structured(array[["t", "x"]], SENSOR)


@pytest.mark.parametrize(
    "steps, start, duration", itertools.product([1, 3, 100], [None, 0, 300], [None, 77, 5_000])
)  # fmt: skip
def test_raster_is_its_definition(steps: int, start: int | None, duration: int | None) -> None:
    s = stream(3)
    begin = int(s.t[0]) if start is None else start
    span = int(s.t[-1]) + 1 - begin if duration is None else duration
    found = s.raster(steps, start=start, duration=duration)
    assert found.dtype == torch.float32 and found.shape == (steps, 1, 2, *SENSOR)
    assert np.array_equal(found.numpy(), brute_force(s, steps, begin, span))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 40), st.integers(1, 50), st.integers(1, 2**40))
def test_raster_sums_to_the_frame(seed: int, n: int, steps: int, span: int) -> None:
    s = stream(seed, n, span, start=seed)
    assert torch.equal(s.raster(steps).sum(0), s.frame())
    assert int(s.frame().sum()) == len(s)
    assert np.array_equal(s.raster(steps).numpy(), brute_force(s, steps, int(s.t[0]) if n else 0, max(s.duration, 1)))


def test_crop_and_window_keep_what_they_say() -> None:
    s = stream(5)
    cropped = s.crop(2, 1, 6, 4)
    assert cropped.sensor == (3, 4)
    assert torch.equal(cropped.frame(), s.frame()[:, :, 1:4, 2:6])
    part = s.window(200, 500)
    assert len(part) == int(((s.t >= 200) & (s.t < 500)).sum()) and (part.t >= 200).all()
    assert len(s.window(0, 200)) + len(part) + len(s.window(500, 10**9)) == len(s)
    for bad in ((3, 0, 3, 2), (0, 0, 8, 2), (-1, 0, 2, 2)):
        with pytest.raises(ParameterError, match="rectangle"):
            s.crop(*bad)
    with pytest.raises(ParameterError, match="at least start_us"):
        s.window(5, 4)


@pytest.mark.parametrize("steps", [0, -1, 1.5, True])
def test_steps_below_one_are_refused(steps: object) -> None:
    with pytest.raises(ParameterError, match=r"EventStream.raster.steps must be a whole number at least 1"):
        stream().raster(steps)  # type: ignore[arg-type]


def test_windows_that_leave_int64_are_refused() -> None:
    s = EventStream([0, 2**60], [0, 0], [0, 0], [1, 1], SENSOR)
    with pytest.raises(ParameterError, match="2\\^63"):
        s.raster(100)
    assert s.raster(2).sum() == 2


def test_an_empty_stream_is_silent() -> None:
    s = EventStream([], [], [], [], SENSOR)
    assert (len(s), s.duration, s.rate) == (0, 0, 0.0)
    assert s.raster(4).shape == (4, 1, 2, *SENSOR) and not s.raster(4).any()


def test_duration_and_rate_count_both_ends() -> None:
    s = EventStream([10, 19], [0, 0], [0, 0], [1, 1], SENSOR)
    assert s.duration == 10 and s.rate == pytest.approx(2e5)


def test_binning_kernel_equals_its_reference() -> None:
    rng = np.random.default_rng(1)
    s, offsets = stream(7, 200), np.array([0, 30, 30, 120, 200])
    for rows, steps in (([0, 1, 2, 3], 7), ([3, 0, 3], 1), ([2], 300)):
        start, duration = rng.integers(0, 300, len(rows)), rng.integers(1, 900, len(rows))
        window = events.Window(np.array(rows), start, duration)
        fast, slow = (np.zeros((steps, len(rows), 2, *SENSOR), np.float32) for _ in range(2))
        events.binned_kernel(s.columns, offsets, window, fast)
        events.binned_reference(s.columns, offsets, window, slow)
        assert np.array_equal(fast, slow) and fast.any()
