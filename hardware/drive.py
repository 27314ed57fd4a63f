"""Drive: how a layer's inputs reach 1-bit row drivers, and the lists of what they are given.

v = rint(x / step), taken apart into sign and bit planes: every read drives rows or does not

binary    step 1, values 0 and 1: one read                  signed   negative values in a second, subtracted pass
counts    step 1, whole numbers: one read per bit           averages step 1/n of whole numbers: the product of n x, divided
analog    step = largest / 255: eight reads                          digitally, so that drivers see whole numbers
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from spikesim.core import simd as simd_module
from spikesim.core.kernel import kernel, shared_out
from spikesim.core.simd import lowest, word
from spikesim.errors import ParameterError, must

MOST = 2**24
"""Largest input: the last whole number up to which float32 knows every one."""
ONE = np.uint64(1)
WHOLE = np.float32(1e-3)
"""How far a multiple of a step may lie from a whole number: an average is rounded."""


@dataclass(frozen=True)
class Drive:
    """Decided at deployment.

    levels   largest value met on the calibration inputs, 1 where drives are binary, 0 where they are counts; whole
             numbers take the bit planes that a call needs. For analog inputs 2^bits - 1, which saturate there
    signed   negative inputs are driven in a second, subtracted pass
    step     0: inputs are whole numbers; otherwise the input's least significant bit
    average  inputs are multiples of step (averages of whole numbers); False: they are rounded to it (analog)
    """

    levels: int
    signed: bool
    step: float = 0.0
    average: bool = False

    @property
    def name(self) -> str:
        """ "binary", "counts", "averages" or "analog", with "signed" where it is."""
        kind = "binary" if self.levels == 1 else "counts"
        if self.step:
            kind = "averages" if self.average else "analog"
        return f"signed {kind}" if self.signed else kind

    @property
    def analog(self) -> bool:
        """Whether inputs are rounded."""
        return bool(self.step) and not self.average

    @property
    def planes(self) -> int | None:
        """Reads of a full-scale input and sign; None where it depends on the input."""
        return None if not self.levels or self.average else int(self.levels).bit_length()

    def events(self, x: np.ndarray, node: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x (R, n) float32 -> ptr (R + 1,) int64, idx and val int32 of what is not 0, in whole steps.

        ParameterError where a driver could not apply an input.
        """
        per = np.float32(1 / self.step if self.step else 1)
        most = np.float32(self.levels if self.analog else MOST)
        ranges = np.array([-most if self.signed or self.analog else 0, most], np.float32)
        tolerance = np.float32(1 if self.analog else WHOLE if self.step else 0)
        found, bad = np.zeros(len(x), np.int64), np.zeros(len(x), np.int64)
        count_kernel(x, per, tolerance, ranges, self.analog, found, bad)
        if bad.any() or (self.analog and not self.signed and x.size and x.min() < 0):
            self._refuse(x, per, tolerance, node)
        ptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(found)])
        idx, val = np.empty(ptr[-1], np.int32), np.empty(ptr[-1], np.int32)
        list_kernel(x, per, ranges, ptr, idx, val)
        return ptr, idx, val

    def whole(self, x: Tensor, node: str) -> Tensor:
        """x (R, n) on any device as whole steps; refuses what `events` refuses."""
        per, most = 1 / self.step if self.step else 1.0, self.levels if self.analog else MOST
        tolerance = 1.0 if self.analog else float(WHOLE) if self.step else 0.0
        value = x * per
        stepped, least = value.round(), 0 if not self.signed else -most
        fits = ((value - stepped).abs() <= tolerance) & ((stepped >= least) | (self.analog and self.signed))
        if not bool((fits if self.analog else fits & (stepped <= most)).all()):
            self._refuse(x.cpu().numpy(), np.float32(per), np.float32(tolerance), node)
        return stepped.clamp(least, most)

    def _refuse(self, x: np.ndarray, per: np.float32, tolerance: np.float32, node: str) -> None:
        drive, remedy = f"for its {self.name} drive", "deploy with such inputs"
        value = x * per
        with np.errstate(invalid="ignore"):
            off = ~(np.abs(value - np.rint(value)) <= tolerance) | ~(np.abs(value) <= (np.inf if self.analog else MOST))
        if off.any():
            rule = "finite" if self.analog else f"whole numbers up to {MOST}"
            rule = f"multiples of 1/{round(1 / self.step)}" if self.average else rule
            raise ParameterError(must(f"{node}.x", f"{rule} {drive}", f"{x[off].flat[0]:g}", remedy))
        raise ParameterError(must(f"{node}.x", f"at least 0 {drive}", f"{x.min():g}", remedy))


def stepped(x: Any, per: np.float32, ranges: np.ndarray) -> Any:
    """v = rint(x per) within the ranges (least, most)."""
    return np.minimum(np.maximum(np.rint(x * per), ranges[0]), ranges[1])


def count_reference(
    x: np.ndarray, per: np.float32, tolerance: np.float32, ranges: np.ndarray, saturate: bool, found: np.ndarray,
    bad: np.ndarray,
) -> None:  # fmt: skip
    """found (R,): values that are not 0 in each row; bad (R,): values further than `tolerance` from a whole step or,
    where nothing saturates, out of range."""
    value = x * per
    whole = np.rint(value)
    fits = np.abs(value - whole) <= tolerance
    if not saturate:
        fits &= (whole >= ranges[0]) & (whole <= ranges[1])
    found[:], bad[:] = (whole != 0).sum(1), (~fits).sum(1)


@kernel(reference=count_reference, items=lambda x, *_: x.shape[0])
def count_kernel(x, per, tolerance, ranges, saturate, found, bad, begin, end, team):  # type: ignore[no-untyped-def]
    if shared_out(begin, end, team):
        return
    least, most = ranges[0], ranges[1]
    for r in range(begin, end):
        row = x[r]
        n, off = np.int32(0), np.int32(0)
        for i in range(row.size):
            value = row[i] * per
            whole = np.rint(value)
            within = (whole >= least) & (whole <= most) | saturate
            fits = (np.abs(value - whole) <= tolerance) & within
            n += np.int32(whole != 0)
            off += np.int32(not fits)
        found[r], bad[r] = n, off


def list_reference(
    x: np.ndarray, per: np.float32, ranges: np.ndarray, ptr: np.ndarray, idx: np.ndarray, val: np.ndarray
) -> None:
    """The values that are not 0, as whole numbers, row after row: rows ptr[r]:ptr[r + 1] of idx and val."""
    v = stepped(x, per, ranges)
    rows, columns = np.nonzero(np.rint(x * per))
    idx[:], val[:] = columns, v[rows, columns]


@kernel(reference=list_reference, items=lambda x, *_: x.shape[0], depends=(simd_module,))
def list_kernel(x, per, ranges, ptr, idx, val, begin, end, team):  # type: ignore[no-untyped-def]
    if shared_out(begin, end, team):
        return
    least, most = ranges[0], ranges[1]
    fired = np.zeros((x.shape[1] + 63) // 64 * 64, np.uint8)
    for r in range(begin, end):
        row, at = x[r], ptr[r]
        for i in range(row.size):
            fired[i] = np.rint(row[i] * per) != 0
        for first in range(0, fired.size, 64):
            left = word(fired, first)
            while left:
                i = first + lowest(left)
                idx[at], val[at] = i, np.int32(min(max(np.rint(row[i] * per), least), most))
                at += 1
                left &= left - ONE
