"""What a device model answers: its conductance window, what programming does, how much a read fluctuates."""

from __future__ import annotations

import numpy as np

from spikesim.errors import RangeError, must


class Device:
    """Abstract: one cell model. Subclasses are frozen dataclasses; conductances in siemens.

    g_min, g_max   the window that targets must lie in
    read_noise     standard deviation of a read, as a share of the conductance; fresh for each cell and read
    """

    g_min: float
    g_max: float
    read_noise: float

    def program(self, target: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Conductances (siemens, float64, any shape) that cells end at when programmed to `target` (same shape)."""
        raise NotImplementedError

    def check_targets(self, target: np.ndarray) -> None:
        """RangeError where a target lies outside the window (or is not a number)."""
        slack = 1e-9 * self.g_max
        off = ~((target >= self.g_min - slack) & (target <= self.g_max + slack))
        if off.any():
            rule = f"within {self.g_min:.3g} to {self.g_max:.3g} S"
            raise RangeError(must(f"{type(self).__name__}.target", rule, float(target[off].flat[0])))
