"""Cells of the 40 nm TaOx 1T1R chip: stochastic forming as measured, programming as assumed.

    forming        P(formed at V) = Phi((V - mean) / sd)
                   G | formed = median exp(s n),  s^2 = ln(1 + cv^2);  unformed cells stay at g_min
    programming    G = max(0, target (1 + error n))
    read           sd = read_noise G, fresh for each cell and read
n ~ N(0, 1).

Measured (published data of S. Wang et al., "Echo state graph neural networks with analogue random resistive memory
arrays", Nature Machine Intelligence 5, 2023): forming voltage of 400 cells, shape and spread of formed conductances.
The absolute scale of those conductances is not labelled there and is assumed, as is the programming error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from spikesim.core.params import check
from spikesim.errors import ParameterError, RangeError, must

from .base import Device


@dataclass(frozen=True)
class Cell(Device):
    """g_min unformed conductance (S), g_max median formed conductance (S): the window of programmed targets.

    programming_error   sd of a programmed conductance, as a share of its target (assumed)
    read_noise          sd of a read, as a share of the conductance
    formed_cv           coefficient of variation of formed conductances (measured)
    forming_mean, forming_sd   voltage at which a cell forms (V, measured); valid from 3.14 to 3.70 V
    """

    g_min: float
    g_max: float
    programming_error: float
    read_noise: float
    formed_cv: float
    forming_mean: float
    forming_sd: float

    def __post_init__(self) -> None:
        check(self, "g_min", at_least=0, unit="S")
        check(self, "g_max", above=0, unit="S")
        for name in ("programming_error", "read_noise", "formed_cv"):
            check(self, name, at_least=0, at_most=1)
        check(self, "forming_mean", above=0, unit="V")
        check(self, "forming_sd", above=0, unit="V")
        if not self.g_max > self.g_min:
            raise ParameterError(must("taox40.g_max", f"above g_min = {self.g_min:g} S", self.g_max))

    def program(self, target: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        self.check_targets(target)
        return np.maximum(target * (1 + self.programming_error * generator.standard_normal(target.shape)), 0.0)

    def formed_share(self, voltage: float) -> float:
        """P(formed) at a forming voltage (V); RangeError outside the 3.14 to 3.70 V that were measured."""
        if not 3.14 <= voltage <= 3.70:
            raise RangeError(must("taox40.voltage", "within the measured 3.14 to 3.70 V", voltage))
        return 0.5 * (1 + math.erf((voltage - self.forming_mean) / (self.forming_sd * math.sqrt(2))))

    def form(self, shape: tuple[int, ...], voltage: float, generator: np.random.Generator) -> np.ndarray:
        """Conductances (siemens) of cells formed once at `voltage`: random weights, not programmed ones."""
        formed = generator.random(shape) < self.formed_share(voltage)
        spread = math.sqrt(math.log(1 + self.formed_cv**2))
        conductance = self.g_max * np.exp(spread * generator.standard_normal(shape))
        return np.where(formed, conductance, self.g_min)
