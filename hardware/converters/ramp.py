"""A ramp converter: one ramp for all columns of an array, a comparator and a counter for each.

    code = clock cycles until the ramp, lsb / gain per cycle, passes I + offset; 2^bits - 1 at most

The ramp's slope is one draw for each array, offsets are the comparators': one for each column. All columns of an array are
converted at once, in 2^bits cycles, however many share it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikesim.core.params import check

from ..constant import constant
from .base import Instances, Quantiser


@dataclass(frozen=True)
class ADC(Quantiser):
    """gain_sd: relative spread of slopes over arrays; offset_sd: spread of comparator offsets, in codes."""

    gain_sd: float = constant(0.0)
    offset_sd: float = constant(0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, "gain_sd", at_least=0, at_most=1)
        check(self, "offset_sd", at_least=0)

    def drawn(self, n: int, columns: int, generator: np.random.Generator) -> Instances:
        slope, offset = generator.standard_normal(), generator.standard_normal(columns)
        gain = np.full(columns, 1 + self.gain_sd * slope)
        return Instances(gain, self.offset_sd * offset, np.zeros((columns, 0)))
