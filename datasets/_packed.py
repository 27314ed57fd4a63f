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
from spikesim.core.kernel import kernel
from spikesim.core.params import check
from spikesim.errors import DatasetError, must

from .view import View


@dataclass(frozen=True)
class Layout:
    """Bits of t, y and x; the polarity takes one more, and all together at most 64."""

    t_bits: int
    y_bits: int
    x_bits: int

    def __post_init__(self) -> None:
        for name in ("t_bits", "y_bits", "x_bits"):
            check(self, name, at_least=0, at_most=63, integer=True)
        bits = self.t_bits + self.y_bits + self.x_bits + 1
        if bits > 64:
            raise DatasetError(must("Layout", "at most 64 bits an event", bits, "let times start at 0"))

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
    out      columns with room for one event more than there are
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


@kernel(reference=unpacked_reference)
def unpacked_kernel(words, begins, ends, taken, out, offsets, first, last):  # type: ignore[no-untyped-def]
    n, height, width = np.uintp(0), np.uint32(taken.height), np.uint32(taken.width)
    unit = words.dtype.type
    y_shift, t_shift = unit(taken.x_bits + 1), unit(taken.y_bits + taken.x_bits + 1)
    y_mask, x_mask = unit((1 << taken.y_bits) - 1), unit((1 << taken.x_bits) - 1)
    x0, y0 = np.uint32(taken.x0), np.uint32(taken.y0)
    wide, high = np.uint32(taken.x1 - taken.x0), np.uint32(taken.y1 - taken.y0)
    both, one = np.uint32(taken.polarity < 0), np.uint32(max(taken.polarity, 0))
    ts, xs, ys, ps = out.t, out.x, out.y, out.p
    offsets[0] = 0
    for b in range(begins.size):
        wrong, before, here = False, unit(0), words[begins[b] : ends[b]]
        for word in here:  # written in any case, kept by counting on: no branch to guess wrong
            t, p = word >> t_shift, np.uint32(word & unit(1))
            y, x = np.uint32(word >> y_shift & y_mask), np.uint32(word >> unit(1) & x_mask)
            wrong |= (y >= height) | (x >= width) | (t < before)
            before = t
            x, y = np.uint32(x - x0), np.uint32(y - y0)  # below x0 they wrap around, beyond any side
            ts[n], xs[n], ys[n], ps[n] = t, x, y, p - one
            n += np.uintp((x < wide) & (y < high) & ((both | (p == one)) != 0))
        if wrong:
            return b
        first[b] = here[0] >> t_shift if here.size else 0
        last[b] = before
        offsets[b + 1] = n
    return -1


def room(events: int) -> Columns:
    """Columns for so many events, and the one more that the kernel writes to."""
    return Columns(*(np.empty(events + 1, DTYPES[name]) for name in Columns._fields))


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
