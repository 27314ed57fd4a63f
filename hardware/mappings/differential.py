"""Differential pairs: a weight is the difference of two cells, one of which stays at the bottom of the window.

w >= 0:  G+ = g_min + |w| / scale,  G- = g_min         w < 0:  the other way round
w = scale (G+ - G-),   scale = max|w| / (g_max - g_min)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikesim.core.params import check
from spikesim.errors import ParameterError, must


@dataclass(frozen=True)
class DifferentialPair:
    """One-sided differential pairs in the window [g_min, g_max] (siemens)."""

    g_min: float
    g_max: float

    def __post_init__(self) -> None:
        check(self, "g_min", at_least=0, unit="S")
        check(self, "g_max", above=0, unit="S")
        if not self.g_max > self.g_min:
            raise ParameterError(must("DifferentialPair.g_max", f"above g_min = {self.g_min:g} S", self.g_max))

    def conductances(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """weights (rows, n_out) -> G+ and G- (rows, n_out) in siemens, and scale (weight per siemens)."""
        weights = np.asarray(weights, np.float64)
        if not np.isfinite(weights).all():
            raise ParameterError(must("weights", "finite", float(weights[~np.isfinite(weights)].flat[0])))
        largest = float(np.abs(weights).max(initial=0.0)) or 1.0
        scale = largest / (self.g_max - self.g_min)
        size = np.abs(weights) / scale
        return self.g_min + np.where(weights > 0, size, 0), self.g_min + np.where(weights < 0, size, 0), scale

    def weights(self, positive: np.ndarray, negative: np.ndarray, scale: float) -> np.ndarray:
        """scale (G+ - G-), the weights that conductances stand for."""
        return scale * (positive - negative)
