"""Inputs as 1-bit row drivers take them: whole steps, refused where they are not, listed where they are not 0.

v = min(max(rint(x per), least), most)          x fits if |x per - rint(x per)| <= tolerance, x >= floor, and, where
                                                nothing saturates, least <= rint(x per) <= most
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from spikesim.core.simd import lowest, word

ONE = np.uint64(1)


class Steps(NamedTuple):
    """per       1 / an input's least significant bit       tolerance  how far x per may lie from a whole number
    least, most  in steps: their limits, which larger inputs saturate at or are refused beyond (saturate)
    floor        smallest input
    """

    per: Any
    tolerance: Any
    least: Any
    most: Any
    floor: Any
    saturate: bool


def stepped(x: np.ndarray, steps: Steps) -> np.ndarray:
    """v, int64, of finite inputs."""
    return np.minimum(np.maximum(np.rint(x * steps.per), steps.least), steps.most).astype(np.int64)


def scan_reference(x: np.ndarray, steps: Steps, planes: np.ndarray, bad: np.ndarray) -> int:
    """bad (R,): how many inputs of each row of x (R, n) do not fit; planes (R, 2): bits of the largest positive and of the
    largest negative v of rows that do. -> the most inputs other than 0 of one of these."""
    value = x * steps.per
    whole = np.rint(value)
    within = ((whole >= steps.least) & (whole <= steps.most)) | steps.saturate
    with np.errstate(invalid="ignore"):
        bad[:] = (~((np.abs(value - whole) <= steps.tolerance) & (x >= steps.floor) & within)).sum(1)
    fullest = 0
    for r in np.flatnonzero(bad == 0):
        v = stepped(x[r], steps)
        planes[r] = int(v.max(initial=0)).bit_length(), int(-v.min(initial=0)).bit_length()
        fullest = max(fullest, int(np.count_nonzero(v)))
    return fullest


@njit(nogil=True, error_model="numpy")
def scanned(x, steps, planes, bad, begin, end):  # type: ignore[no-untyped-def]
    """As `scan_reference`, for rows begin to end - 1 of x; planes (end - begin, 2), zeros."""
    least, most, fullest = steps.least, steps.most, np.int64(0)
    for r in range(begin, end):
        row = x[r]
        # Whole-number reductions, which can be vectorised; those of floats must keep their order.
        n, off, high, low = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
        for i in range(row.size):
            value = row[i] * steps.per
            whole = np.rint(value)
            within = ((whole >= least) & (whole <= most)) | steps.saturate
            fits = (np.abs(value - whole) <= steps.tolerance) & (row[i] >= steps.floor) & within
            v = np.int32(min(max(whole, least), most))
            n, off = np.int32(n + (v != 0)), np.int32(off + (not fits))
            high, low = max(high, v), min(low, v)
        bad[r] = off
        if off:
            continue
        fullest = max(fullest, np.int64(n))
        while high >> planes[r - begin, 0]:
            planes[r - begin, 0] += 1
        while -low >> planes[r - begin, 1]:
            planes[r - begin, 1] += 1
    return fullest


@njit(nogil=True, error_model="numpy")
def driven(row, steps, sign, plane, fired):  # type: ignore[no-untyped-def]
    """fired (at least n, rounded up to 64) uint8: whether the pass (sign, plane) drives each of the row's inputs."""
    for i in range(row.size):
        v = np.int32(min(max(np.rint(row[i] * steps.per), steps.least), steps.most))
        there = -v if sign else v
        fired[i] = (there > 0) & (there >> plane)


@njit(nogil=True, error_model="numpy")
def taken(row, steps, fired, idx, val):  # type: ignore[no-untyped-def]
    """The row's inputs other than 0: their places, rising, in idx and v in val. -> how many. fired is scratch, as above."""
    n = 0
    for i in range(row.size):
        fired[i] = np.rint(row[i] * steps.per) != 0
    for first in range(0, fired.size, 64):
        left = word(fired, first)
        while left:
            i = first + lowest(left)
            idx[n], val[n] = i, np.int32(min(max(np.rint(row[i] * steps.per), steps.least), steps.most))
            n += 1
            left &= left - ONE
    return n
