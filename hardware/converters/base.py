"""What a converter model answers: its largest code, and how its range is set."""

from __future__ import annotations

import numpy as np


class Converter:
    """Abstract: analog-to-digital conversion of column currents. Subclasses are frozen dataclasses.

    bits       of a code; 0: currents are taken as they are
    headroom   full scale over the largest current met in calibration; below 1 it clips
    """

    bits: int
    headroom: float

    @property
    def top(self) -> int:
        """Largest code."""
        return 2**self.bits - 1

    def lsb(self, largest: np.ndarray) -> np.ndarray:
        """Siemens (current over read voltage) per code, float32, for the largest current expected of each array (same
        shape); 0 where currents are not converted."""
        raise NotImplementedError
