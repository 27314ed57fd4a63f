"""What a converter model answers: its codes, how its range is set, and how its instances on a chip differ.

    code = min(max(floor(gain (I / lsb + noise n) + offset + 1/2), low), top)         n ~ N(0, 1), fresh

Single-ended converters have codes 0 to 2^bits - 1; behind an analog subtraction they are signed, -2^(bits-1) to
2^(bits-1) - 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikesim.core.params import check

from ..constant import constant


@dataclass(frozen=True)
class Instances:
    """Converters of one array: gain (n,), offset (n,) in codes, capacitors (n, bits) in codes, most significant first, or
    (n, 0) where they match."""

    gain: np.ndarray
    offset: np.ndarray
    capacitors: np.ndarray


class Converter:
    """Abstract: analog-to-digital conversion of column currents; without bits currents are taken as they are."""

    bits: int = 0
    headroom: float = 1.0
    percentile: float = 100.0
    per_column: int = 0
    noise: float = 0.0

    def codes(self, signed: bool = False) -> tuple[int, int]:
        """Smallest and largest code."""
        if not self.bits:
            return 0, 0
        return (-(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1) if signed else (0, 2**self.bits - 1)

    def lsb(self, largest: np.ndarray, signed: bool = False) -> np.ndarray:
        """Siemens (current over read voltage) per code, float32, for the largest current expected of each column (same
        shape); 0 where currents are not converted."""
        largest = np.asarray(largest, np.float32)
        return largest * np.float32(self.headroom / max(self.codes(signed)[1], 1)) if self.bits else 0 * largest

    def drawn(self, n: int, columns: int, generator: np.random.Generator) -> Instances:
        """The n converters of one array of so many columns, or one for each column."""
        return Instances(np.ones(n), np.zeros(n), np.zeros((n, 0)))


@dataclass(frozen=True)
class Quantiser(Converter):
    """Abstract: a converter with codes. Subclasses are frozen dataclasses.

    bits         of a code, 1 to 16
    headroom     full scale over the largest current met in calibration; below 1 it clips
    percentile   of the currents met in calibration that is taken for the largest
    per_column   1: every column has a range of its own; 0: all columns of an array share one
    noise        sd of the comparator's noise, fresh for every conversion, in codes
    gain_sd      relative spread of gains over instances
    offset_sd    spread of offsets over instances, in codes
    Raises ParameterError.
    """

    bits: int
    headroom: float = constant(1.0)
    percentile: float = constant(100.0)
    per_column: int = 0
    noise: float = constant(0.0)
    gain_sd: float = constant(0.0)
    offset_sd: float = constant(0.0)

    def __post_init__(self) -> None:
        check(self, "bits", at_least=1, at_most=16, integer=True)
        check(self, "headroom", above=0)
        check(self, "percentile", above=0, at_most=100)
        check(self, "per_column", at_least=0, at_most=1, integer=True)
        check(self, "noise", at_least=0)
        check(self, "gain_sd", at_least=0, at_most=1)
        check(self, "offset_sd", at_least=0)

    def drawn(self, n: int, columns: int, generator: np.random.Generator) -> Instances:
        gain, offset = generator.standard_normal((2, n))
        return Instances(1 + self.gain_sd * gain, self.offset_sd * offset, np.zeros((n, 0)))
