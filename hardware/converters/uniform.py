"""A uniform analog-to-digital converter: rounds to the nearest code and saturates.

code = min(round(I / lsb), 2^bits - 1),   lsb = full scale / (2^bits - 1)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikesim.core.params import check


@dataclass(frozen=True)
class UniformADC:
    """bits 0 stands for no conversion at all; 1 to 16 otherwise. headroom: full scale over the largest current seen."""

    bits: int
    headroom: float = 1.0

    def __post_init__(self) -> None:
        check(self, "bits", at_least=0, at_most=16, integer=True)
        check(self, "headroom", above=0)

    @property
    def top(self) -> int:
        """Largest code."""
        return 2**self.bits - 1

    def lsb(self, largest: np.ndarray) -> np.ndarray:
        """Siemens (current over read voltage) per code for the largest current expected of each array; 0 without bits."""
        largest = np.asarray(largest, np.float32)
        return largest * np.float32(self.headroom / self.top) if self.bits else np.zeros_like(largest)
