"""Drive: how a layer's inputs reach 1-bit row drivers, and what they refuse.

v = rint(x / step), taken apart into sign and bit planes: every read drives rows or does not

binary    step 1, values 0 and 1: one read                  signed   negative values in a second, subtracted pass
counts    step 1, whole numbers: one read per bit           averages step 1/n of whole numbers: the product of n x, divided
analog    step = largest / 255: eight reads                          digitally, so that drivers see whole numbers
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from spikesim.errors import ParameterError, must

from ._inputs import Steps

MOST = 2**24
"""Largest input: the last whole number up to which float32 knows every one."""
WHOLE = 1e-3
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

    @property
    def steps(self) -> Steps:
        """How inputs become whole numbers, and which do not."""
        most = np.float32(self.levels if self.analog else MOST)
        return Steps(
            per=np.float32(1 / (self.step or 1)),
            tolerance=np.float32(1 if self.analog else WHOLE if self.step else 0),
            least=-most if self.signed or self.analog else np.float32(0),
            most=most,
            floor=np.float32(0 if self.analog and not self.signed else -np.inf),
            saturate=self.analog,
        )

    def whole(self, x: Tensor, node: str) -> Tensor:
        """x (R, n) on any device as whole steps. ParameterError where a driver could not apply an input."""
        per, tolerance, least, most, floor, saturate = map(float, self.steps)
        value = x * per
        whole = value.round()
        fits = ((value - whole).abs() <= tolerance) & (x >= floor)
        if not bool((fits if saturate else fits & (whole >= least) & (whole <= most)).all()):
            raise self.refusal(x.cpu().numpy(), node)
        return whole.clamp(least, most)

    def refusal(self, x: np.ndarray, node: str) -> ParameterError:
        """What to raise for inputs of which a driver cannot apply some."""
        drive, remedy, steps = f"for its {self.name} drive", "deploy with such inputs", self.steps
        value = x * steps.per
        with np.errstate(invalid="ignore"):
            off = ~(np.abs(value - np.rint(value)) <= steps.tolerance)
            off |= ~(np.abs(value) <= (np.inf if self.analog else MOST))
        if off.any():
            rule = "finite" if self.analog else f"whole numbers up to {MOST}"
            rule = f"multiples of 1/{round(1 / self.step)}" if self.average else rule
            return ParameterError(must(f"{node}.x", f"{rule} {drive}", f"{x[off].flat[0]:g}", remedy))
        return ParameterError(must(f"{node}.x", f"at least 0 {drive}", f"{x.min():g}", remedy))
