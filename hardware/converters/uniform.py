"""A uniform analog-to-digital converter: rounds to the nearest code and saturates; instances differ in gain and offset.

code = min(max(floor((gain I + offset) / lsb + 1/2), 0), 2^bits - 1),   lsb = full scale / (2^bits - 1)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikesim.core.params import check

from ..constant import constant
from .base import Instances, Quantiser


@dataclass(frozen=True)
class ADC(Quantiser):
    """gain_sd: relative spread of gains over instances; offset_sd: spread of offsets, in codes; see `base.Converter`."""

    gain_sd: float = constant(0.0)
    offset_sd: float = constant(0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, "gain_sd", at_least=0, at_most=1)
        check(self, "offset_sd", at_least=0)

    def drawn(self, n: int, columns: int, generator: np.random.Generator) -> Instances:
        gain, offset = generator.standard_normal((2, n))
        return Instances(1 + self.gain_sd * gain, self.offset_sd * offset, np.zeros((n, 0)))
