"""A ramp converter: one ramp for all columns of an array, a comparator and a counter for each.

    code = min(max(floor(gain I / lsb + offset + 1/2), 0), 2^bits - 1)      gain: one draw per array, offset: per column

All columns are converted at once, in the 2^bits cycles of the ramp: a macro says so by the length of its t_convert and
columns_per_converter = 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .base import Instances, Quantiser


@dataclass(frozen=True)
class ADC(Quantiser):
    """gain_sd: spread of the ramps' slopes over arrays; offset_sd: of the comparators; see `base.Quantiser`."""

    def drawn(self, n: int, columns: int, generator: np.random.Generator) -> Instances:
        each = super().drawn(columns, columns, generator)
        return replace(each, gain=np.full(columns, each.gain[0]))
