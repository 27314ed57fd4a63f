"""The ideal cell: takes any conductance in its window and holds it. For comparisons, not a device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikesim.core.params import check
from spikesim.errors import ParameterError, must

from .base import Device


@dataclass(frozen=True)
class Cell(Device):
    """Programming is exact and reads do not fluctuate. g_min, g_max in siemens."""

    g_min: float
    g_max: float
    read_noise: float = 0.0

    def __post_init__(self) -> None:
        check(self, "g_min", at_least=0, unit="S")
        check(self, "g_max", above=0, unit="S")
        check(self, "read_noise", at_least=0)
        if not self.g_max > self.g_min:
            raise ParameterError(must("ideal.g_max", f"above g_min = {self.g_min:g} S", self.g_max))

    def program(self, target: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        self.check_targets(target)
        return np.asarray(target, np.float64)
