"""Forming: an array of pristine cells becomes random weights in one step.

P(formed at V) = Phi((V - mean) / sd)
G | formed = median exp(s n),  s^2 = ln(1 + cv^2),  n ~ N(0, 1)        (or median (1 + cv n), clipped at 0)
G | not formed = g_unformed
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from spikesim.errors import RangeError, must


@dataclass(frozen=True)
class Forming:
    """mean, sd (V) of the forming voltage, measured from low to high (V); median, unformed (S); cv; lognormal or normal."""

    mean: float
    sd: float
    low: float
    high: float
    median: float
    cv: float
    unformed: float
    lognormal: bool = True

    def share(self, voltage: float) -> float:
        """P(formed) at a forming voltage (V). RangeError outside the voltages that were measured."""
        if not self.low <= voltage <= self.high:
            rule = f"within the measured {self.low:g} to {self.high:g} V"
            raise RangeError(must("forming.voltage", rule, voltage))
        return 0.5 * (1 + math.erf((voltage - self.mean) / (self.sd * math.sqrt(2))))

    def form(self, shape: tuple[int, ...], voltage: float, generator: np.random.Generator) -> np.ndarray:
        """Conductances (siemens, float64) of `shape` cells formed once at `voltage`."""
        formed = generator.random(shape) < self.share(voltage)
        normal = generator.standard_normal(shape)
        spread = math.sqrt(math.log(1 + self.cv**2))
        g = self.median * (np.exp(spread * normal) if self.lognormal else np.maximum(1 + self.cv * normal, 0.0))
        return np.where(formed, g, self.unformed)
