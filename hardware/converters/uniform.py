"""A uniform analog-to-digital converter: rounds to the nearest code and saturates.

code = min(round(max(I, 0) / lsb), 2^bits - 1),   lsb = full scale / (2^bits - 1)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikesim.core.params import check

from .base import Converter


@dataclass(frozen=True)
class ADC(Converter):
    """bits 1 to 16, headroom above 0; see `base.Converter`."""

    bits: int
    headroom: float = 1.0

    def __post_init__(self) -> None:
        check(self, "bits", at_least=1, at_most=16, integer=True)
        check(self, "headroom", above=0)

    def lsb(self, largest: np.ndarray) -> np.ndarray:
        return np.asarray(largest, np.float32) * np.float32(self.headroom / self.top)
