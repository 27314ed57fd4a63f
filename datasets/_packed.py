"""Events as words, and the kernel that takes them apart again, all of them or those that a view keeps.

    word = ((t << y_bits | y) << x_bits | x) << 1 | p

A sensor of 34 by 34 pixels and times up to 524 ms fit 6 + 6 + 1 + 19 = 32 bits: four bytes an event, where the N-MNIST layout
(`formats/nmnist_bin.py`) has five. Larger sensors and later times take as many bytes as they need, up to eight. Words of
one recording rise with time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spikesim.core.events import DTYPES, Columns, Window
from spikesim.core.kernel import inlined, kernel
from spikesim.core.params import check
from spikesim.errors import DatasetError, must

from .view import View


@dataclass(frozen=True)
class Layout:
    """Bits of t, y and x; the polarity takes one more, and all together at most 63."""

    t_bits: int
    y_bits: int
    x_bits: int

    def __post_init__(self) -> None:
        for name in ("t_bits", "y_bits", "x_bits"):
            check(self, name, at_least=0, at_most=63, integer=True)
        bits = self.t_bits + self.y_bits + self.x_bits + 1
        if bits > 63:
            raise DatasetError(must("Layout", "at most 63 bits an event", bits, "let times start at 0"))

    @classmethod
    def of(cls, sensor: tuple[int, int], latest: int) -> Layout:
        """The narrowest layout of events on the sensor (H, W) up to a time of `latest` µs."""
        return cls(int(latest).bit_length(), *((side - 1).bit_length() for side in sensor))

    @property
    def event_bytes(self) -> int:
        """Bytes of an event in a file, 4 to 8."""
        return max(4, -(-(self.t_bits + self.y_bits + self.x_bits + 1) // 8))

    def packed(self, t: np.ndarray, x: np.ndarray, y: np.ndarray, p: np.ndarray) -> np.ndarray:
        """Words (n,) of int64 columns that fit: uint32 where an event takes 4 bytes, else uint64."""
        words = ((t << self.y_bits | y) << self.x_bits | x) << 1 | p
        return words.astype(np.uint32 if self.event_bytes == 4 else np.uint64)

    def stored(self, words: np.ndarray) -> np.ndarray:
        """Words as a file holds them: uint32, or (n, event_bytes) uint8, lowest byte first."""
        if self.event_bytes == 4:
            return words
        return np.ascontiguousarray(words.astype("<u8").view(np.uint8).reshape(-1, 8)[:, : self.event_bytes])

    def holds(self, stored: np.ndarray) -> bool:
        """Has the array of a file this layout's type and shape."""
        if self.event_bytes == 4:
            return stored.ndim == 1 and stored.dtype == np.uint32
        return stored.dtype == np.uint8 and stored.ndim == 2 and stored.shape[1] == self.event_bytes

    def words(self, stored: np.ndarray) -> np.ndarray:
        """The words of what a file holds."""
        if self.event_bytes == 4:
            return stored
        wide = np.zeros((len(stored), 8), np.uint8)
        wide[:, : self.event_bytes] = stored
        return wide.view("<u8").ravel().astype(np.uint64, copy=False)


class Taken(NamedTuple):
    """What the kernel goes by: bits of y and x, sides of the sensor, the view's rectangle and polarity (-1: both)."""

    y_bits: int
    x_bits: int
    height: int
    width: int
    x0: int
    y0: int
    x1: int
    y1: int
    polarity: int


def unpacked_reference(
    words: np.ndarray, begins: np.ndarray, ends: np.ndarray, taken: Taken, out: Columns, offsets: np.ndarray,
    first: np.ndarray, last: np.ndarray,
) -> int:  # fmt: skip
    """Write the events of recordings words[begins[b]:ends[b]] that the view keeps to `out`, end to end.

    offsets  (B + 1,) int64, where they begin     first, last  (B,) int64 µs of the whole recording; 0 where it is empty
    out      columns with room for them
    -> -1, or the first recording with an event off the sensor or earlier than the one before it
    """
    n, offsets[0] = 0, 0
    for b in range(begins.size):
        here = words[begins[b] : ends[b]].astype(np.int64)
        t, p = here >> (taken.y_bits + taken.x_bits + 1), here & 1
        y = here >> (taken.x_bits + 1) & ((1 << taken.y_bits) - 1)
        x = here >> 1 & ((1 << taken.x_bits) - 1)
        if (y >= taken.height).any() or (x >= taken.width).any() or (np.diff(t) < 0).any():
            return b
        first[b], last[b] = (t[0], t[-1]) if t.size else (0, 0)
        kept = (x >= taken.x0) & (x < taken.x1) & (y >= taken.y0) & (y < taken.y1)
        kept &= (p == taken.polarity) | (taken.polarity < 0)
        stop = n + int(kept.sum())
        channel = p if taken.polarity < 0 else p - taken.polarity
        for column, values in zip(out, (t, x - taken.x0, y - taken.y0, channel)):
            column[n:stop] = values[kept]
        n = offsets[b + 1] = stop
    return -1


@inlined
def _wrong(here, unit, y_shift, t_shift, y_mask, x_mask, taken):  # type: ignore[no-untyped-def]
    """Whether a recording has an event off the sensor or earlier than the one before it: sums that the compiler vectorises."""
    bad, bottom, right = unit(0), unit(taken.height - 1), unit(taken.width - 1)
    for word in here:
        bad |= unit((word >> y_shift & y_mask) > bottom) | unit((word >> unit(1) & x_mask) > right)
    for i in range(1, here.size):
        bad |= unit((here[i] >> t_shift) < (here[i - 1] >> t_shift))
    return bad != 0


@inlined
def _seen(here, unit, y_shift, y_mask, x_mask, taken, kept):  # type: ignore[no-untyped-def]
    """The words that the view keeps, to the front of `kept` -> their number."""
    n, x0, y0 = np.uintp(0), unit(taken.x0), unit(taken.y0)
    wide, high = unit(taken.x1 - taken.x0), unit(taken.y1 - taken.y0)
    both, wanted = unit(taken.polarity < 0), unit(max(taken.polarity, 0))
    for word in here:  # written in any case, kept by counting on: no branch to guess wrong
        kept[n] = word
        y, x = unit((word >> y_shift & y_mask) - y0), unit((word >> unit(1) & x_mask) - x0)  # below 0 they wrap around
        n += np.uintp((x < wide) & (y < high) & ((both | unit((word & unit(1)) == wanted)) != 0))
    return n


@kernel(reference=unpacked_reference)
def unpacked_kernel(words, begins, ends, taken, out, offsets, first, last):  # type: ignore[no-untyped-def]
    unit = words.dtype.type
    y_shift, t_shift = unit(taken.x_bits + 1), unit(taken.y_bits + taken.x_bits + 1)
    y_mask, x_mask = unit((1 << taken.y_bits) - 1), unit((1 << taken.x_bits) - 1)
    x0, y0, channel = unit(taken.x0), unit(taken.y0), unit(max(taken.polarity, 0))
    longest = 0
    for b in range(begins.size):
        longest = max(longest, ends[b] - begins[b])
    kept, n = np.empty(longest + 1, words.dtype), 0
    offsets[0] = 0
    for b in range(begins.size):
        here = words[begins[b] : ends[b]]
        if _wrong(here, unit, y_shift, t_shift, y_mask, x_mask, taken):
            return b
        m = _seen(here, unit, y_shift, y_mask, x_mask, taken, kept)
        t, x, y, p = out.t[n : n + m], out.x[n : n + m], out.y[n : n + m], out.p[n : n + m]
        for i in range(m):
            word = kept[i]
            t[i], p[i] = word >> t_shift, (word & unit(1)) - channel
            x[i], y[i] = (word >> unit(1) & x_mask) - x0, (word >> y_shift & y_mask) - y0
        first[b] = here[0] >> t_shift if here.size else 0
        last[b] = here[-1] >> t_shift if here.size else 0
        n += m
        offsets[b + 1] = n
    return -1


def room(events: int) -> Columns:
    """Columns for so many events."""
    return Columns(*(np.empty(events, DTYPES[name]) for name in Columns._fields))


def unpacked(
    words: np.ndarray, begins: np.ndarray, ends: np.ndarray, layout: Layout, view: View, out: Columns
) -> tuple[Columns, np.ndarray, Window] | int:
    """Recordings words[begins[b]:ends[b]] as columns of what the view keeps (the front of `out`), their offsets, and the
    window of each whole recording; or the number of one with an event off the sensor or earlier than the one before."""
    polarity = -1 if view.polarity is None else view.polarity
    taken = Taken(layout.y_bits, layout.x_bits, *view.sensor, *view.box, polarity)
    offsets, first, last = (np.zeros(len(begins) + extra, np.int64) for extra in (1, 0, 0))
    wrong = unpacked_kernel(words, begins, ends, taken, out, offsets, first, last)
    if wrong >= 0:
        return int(wrong)
    columns = Columns(*(column[: offsets[-1]] for column in out))
    return columns, offsets, Window(np.arange(len(begins)), first, last - first + 1)
