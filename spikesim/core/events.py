"""Event streams: what an event camera or a silicon cochlea says, and its binning into count rasters.

t  int64 microseconds, never decreasing      x  right      y  down      p  0 = OFF, 1 = ON
raster(steps): float32 counts (T, 1, P, H, W), P index = p,
    bin k = floor((t - start) * T / duration), start = first event, duration = last - first + 1 unless given
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from ..errors import DatasetError, ParameterError, ShapeError, must
from .kernel import kernel
from .params import number

POLARITIES = 2
TONIC_DTYPE = np.dtype([("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "bool")])
DTYPES = {"t": np.int64, "x": np.int16, "y": np.int16, "p": np.uint8}
LARGEST_SIDE = np.iinfo(np.int16).max


class Columns(NamedTuple):
    """Events as columns: t int64 µs, x int16, y int16, p uint8; recordings may stand end to end."""

    t: np.ndarray
    x: np.ndarray
    y: np.ndarray
    p: np.ndarray

    def between(self, first: int, last: int) -> Columns:
        """Events first to last - 1; views, not copies."""
        return Columns(self.t[first:last], self.x[first:last], self.y[first:last], self.p[first:last])

    def stream(self, sensor: tuple[int, int]) -> EventStream:
        """These events as one recording."""
        return EventStream(self.t, self.x, self.y, self.p, sensor)


class Window(NamedTuple):
    """What is binned where: raster row b holds recording rows[b], from start[b] for duration[b], all int64 (B,)."""

    rows: np.ndarray
    start: np.ndarray
    duration: np.ndarray


def binned_reference(events: Columns, offsets: np.ndarray, window: Window, out: np.ndarray) -> None:
    """Add recording rows[b] = events[offsets[r]:offsets[r + 1]] to out[:, b], out (T, B, P, H, W) float32.

    k = floor((t - start) T / duration), in int64; events before start or at and after start + duration are left out.
    """
    for b in range(out.shape[1]):
        first, last = offsets[window.rows[b]], offsets[window.rows[b] + 1]
        t, x, y, p = events.between(first, last)
        since = t - window.start[b]
        kept = (since >= 0) & (since < window.duration[b])
        k = since[kept] * out.shape[0] // window.duration[b]
        np.add.at(out, (k, b, p[kept], y[kept], x[kept]), np.float32(1))


@kernel(reference=binned_reference)
def binned_kernel(events, offsets, window, out):  # type: ignore[no-untyped-def]
    steps = out.shape[0]
    one = np.float32(1)
    for b in range(out.shape[1]):
        start, duration = window.start[b], window.duration[b]
        for i in range(offsets[window.rows[b]], offsets[window.rows[b] + 1]):
            since = events.t[i] - start
            if 0 <= since < duration:
                out[since * steps // duration, b, events.p[i], events.y[i], events.x[i]] += one


def raster(
    events: Columns, offsets: np.ndarray, window: Window, steps: int, sensor: tuple[int, int]
) -> torch.Tensor:  # fmt: skip
    """Count rasters of recordings that stand end to end.

    events   columns of all recordings          offsets  (n + 1,) int64, recording r is offsets[r]:offsets[r + 1]
    window   rows, start, duration, (B,) each   -> (T, B, 2, H, W) float32 counts
    Raises ParameterError when (t - start) T cannot be computed exactly in int64.
    """
    number("EventStream.raster.steps", steps, at_least=1, integer=True)
    longest = int(window.duration.max(initial=1))
    if longest * steps > np.iinfo(np.int64).max:
        raise ParameterError(must("EventStream.raster.steps", "below 2^63 / duration", steps, "shorten the window"))
    out = np.zeros((steps, len(window.rows), POLARITIES, *sensor), np.float32)
    binned_kernel(events, offsets, window, out)
    return torch.from_numpy(out)


def natural_window(t: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> Window:
    """From first to last event of each recording: start = first, duration = last - first + 1 (1 when it is empty)."""
    rows = np.ascontiguousarray(rows, np.int64)
    first, end = offsets[rows], offsets[rows + 1]
    filled = end > first
    start, last = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    start[filled], last[filled] = t[first[filled]], t[end[filled] - 1]
    return Window(rows, start, last - start + 1)


def checked_sensor(sensor: Any, owner: str) -> tuple[int, int]:
    """(H, W) as two ints from 1 to 32767, or ShapeError."""
    try:
        height, width = (int(side) for side in sensor)
    except (TypeError, ValueError):
        raise ShapeError(must(f"{owner}.sensor", "(H, W)", sensor)) from None
    if not (1 <= height <= LARGEST_SIDE and 1 <= width <= LARGEST_SIDE):
        raise ShapeError(must(f"{owner}.sensor", f"(H, W) with sides from 1 to {LARGEST_SIDE}", (height, width)))
    return height, width


def checked_columns(
    columns: dict[str, Any], sensor: tuple[int, int], owner: str, offsets: np.ndarray | None = None
) -> Columns:
    """The columns in the house dtypes, read-only, after a check of every event.

    An array that is read-only already and of the right dtype is kept, any other is copied. `offsets` says where
    recordings begin (time may step back there). Raises ShapeError on unequal lengths, DatasetError on the first
    event off the sensor, with another polarity, or earlier than the one before it.
    """
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    lengths = {name: array.shape for name, array in arrays.items()}
    if any(len(shape) != 1 for shape in lengths.values()) or len(set(lengths.values())) > 1:
        raise ShapeError(must(f"{owner}.t, x, y, p", "one-dimensional and equally long", lengths))
    for name, array in arrays.items():
        if array.size and array.dtype.kind not in "iub":
            raise DatasetError(must(f"{owner}.{name}", "whole numbers", array.dtype.name, "round it to integers first"))
    height, width = sensor
    for name, side, remedy in (("x", width, "crop first"), ("y", height, "crop first"), ("p", 2, "0 is OFF, 1 is ON")):
        _inside(owner, name, arrays[name], side, remedy)
    back = arrays["t"][1:] < arrays["t"][:-1]
    if offsets is not None and back.size:
        begins = offsets[(offsets > 0) & (offsets < len(arrays["t"]))]
        back[begins - 1] = False
    if back.any():
        i = int(back.argmax()) + 1
        got = f"event {i} at {arrays['t'][i]} us after {arrays['t'][i - 1]} us"
        raise DatasetError(must(f"{owner}.t", "never decreasing", got, "sort with EventStream.sorted(...)"))
    return Columns(**{name: _frozen(array, DTYPES[name]) for name, array in arrays.items()})


def _inside(owner: str, name: str, values: np.ndarray, side: int, remedy: str) -> None:
    if values.size and (int(values.min()) < 0 or int(values.max()) >= side):
        i = int(((values < 0) | (values >= side)).argmax())
        rule = f"from 0 to {side - 1}"
        raise DatasetError(must(f"{owner}.{name}", rule, f"{values[i]} at event {i}", remedy))


def _frozen(array: np.ndarray, dtype: Any) -> np.ndarray:
    if array.dtype == dtype and not array.flags.writeable and array.flags.c_contiguous:
        return array
    copy = np.array(array, dtype, order="C")
    copy.flags.writeable = False
    return copy


@dataclass(frozen=True, eq=False)
class EventStream:
    """One recording: events in time order on a sensor of H by W pixels; immutable.

    t        (n,) int64 µs, never decreasing        x, y   (n,) int16 pixels, x right, y down
    p        (n,) uint8, 0 = OFF, 1 = ON            sensor (H, W); one-dimensional data: (1, W) and y = 0

    Raises ShapeError for unequal lengths, DatasetError naming the first event that is off the sensor, has another
    polarity or comes before its predecessor.
    """

    t: np.ndarray
    x: np.ndarray
    y: np.ndarray
    p: np.ndarray
    sensor: tuple[int, int]

    def __post_init__(self) -> None:
        owner = type(self).__name__
        object.__setattr__(self, "sensor", checked_sensor(self.sensor, owner))
        columns = checked_columns({name: getattr(self, name) for name in DTYPES}, self.sensor, owner)
        for name, column in columns._asdict().items():
            object.__setattr__(self, name, column)

    @classmethod
    def sorted(cls, t: Any, x: Any, y: Any, p: Any, sensor: Sequence[int]) -> EventStream:
        """The stream of events given in any order; events of one time keep their order."""
        order = np.argsort(np.asarray(t), kind="stable")
        t, x, y, p = (np.asarray(column)[order] for column in (t, x, y, p))
        return cls(t, x, y, p, (sensor[0], sensor[1]))

    @classmethod
    def from_structured(cls, array: np.ndarray, sensor: Sequence[int]) -> EventStream:
        """The stream of a structured array with fields t, x, p and, unless one-dimensional, y (as tonic has it)."""
        names = array.dtype.names or ()
        missing = {"t", "x", "p"} - set(names)
        if missing:
            raise DatasetError(must("EventStream.from_structured.array", "with fields x, y, t, p", names))
        y = array["y"] if "y" in names else np.zeros(len(array), np.int16)
        return cls(array["t"], array["x"], y, array["p"], (sensor[0], sensor[1]))

    def structured(self) -> np.ndarray:
        """The events as a structured array with tonic's fields: x int16, y int16, t int64, p bool."""
        out = np.empty(len(self), TONIC_DTYPE)
        for name in DTYPES:
            out[name] = getattr(self, name)
        return out

    def __len__(self) -> int:
        return len(self.t)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EventStream):
            return NotImplemented
        return self.sensor == other.sensor and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in DTYPES
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def columns(self) -> Columns:
        """The four columns as one tuple."""
        return Columns(self.t, self.x, self.y, self.p)

    @property
    def duration(self) -> int:
        """Microseconds from first to last event, both counted: last - first + 1; 0 when empty."""
        return int(self.t[-1] - self.t[0]) + 1 if len(self) else 0

    @property
    def rate(self) -> float:
        """Events per second over `duration`; 0 when empty."""
        return len(self) / (self.duration * 1e-6) if len(self) else 0.0

    def crop(self, x0: int, y0: int, x1: int, y1: int) -> EventStream:
        """The events with x0 <= x < x1 and y0 <= y < y1, on a sensor of that size, counted from its corner."""
        height, width = self.sensor
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            rule = f"a rectangle inside 0, 0, {width}, {height}"
            raise ParameterError(must("EventStream.crop.x0, y0, x1, y1", rule, (x0, y0, x1, y1)))
        kept = (self.x >= x0) & (self.x < x1) & (self.y >= y0) & (self.y < y1)
        x, y = self.x[kept] - np.int16(x0), self.y[kept] - np.int16(y0)
        return EventStream(self.t[kept], x, y, self.p[kept], (y1 - y0, x1 - x0))

    def window(self, start_us: int, end_us: int) -> EventStream:
        """The events with start_us <= t < end_us; times stay as they are."""
        if end_us < start_us:
            raise ParameterError(must("EventStream.window.end_us", f"at least start_us = {start_us}", end_us))
        first, last = np.searchsorted(self.t, [start_us, end_us])
        return self.columns.between(first, last).stream(self.sensor)

    def raster(self, steps: int, *, start: int | None = None, duration: int | None = None) -> torch.Tensor:
        """Count raster (T, 1, 2, H, W) float32: bin k = floor((t - start) T / duration).

        start is the first event and duration last - first + 1 unless given, in µs; events outside
        [start, start + duration) are left out; an empty stream gives zeros. Raises ParameterError for steps < 1.
        """
        offsets = _frozen(np.array([0, len(self)]), np.int64)
        natural = natural_window(self.t, offsets, np.zeros(1, np.int64))
        if duration is not None:
            number("EventStream.raster.duration", duration, at_least=1, integer=True, unit="us")
        begin = int(natural.start[0]) if start is None else int(start)
        if duration is None:  # a later start shortens the window, so that the last event stays its end
            duration = max(int(natural.start[0] + natural.duration[0]) - begin, 1)
        chosen = Window(natural.rows, np.array([begin], np.int64), np.array([duration], np.int64))
        return raster(self.columns, offsets, chosen, steps, self.sensor)

    def frame(self) -> torch.Tensor:
        """Events per polarity and pixel, (1, 2, H, W) float32: the raster of one step."""
        return self.raster(1)[0]
