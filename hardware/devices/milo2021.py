"""HfO2 RRAM cells after program and verify with pulses of growing gate voltage.

    programming    G = max(0, target + s(target) n),  s = 4.782 uS - 0.009107 target, at least 0

Source: V. Milo et al., "Optimized programming algorithms for multilevel RRAM in hardware neural networks", IRPS 2021,
Fig. 4 (IGVVA-100), with CrossSim's linear fit. Targets from 50 to 225 uS. No read noise and no retention there.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..constant import constant
from ..effects.spread import Polynomial
from .base import Device

_FIT = "CrossSim's linear fit to Fig. 4 of Milo et al., IRPS 2021"
LOW, HIGH = 50e-6, 225e-6
"""Range of the fit (S)."""


@dataclass(frozen=True)
class Cell(Device):
    """error, error_slope: s = max(0, error + error_slope target)."""

    g_min: float = constant("50 uS", "S", status="fit", source=f"{_FIT}: suggested ratio 4.5")
    g_max: float = constant("225 uS", "S", status="fit", source=_FIT)
    error: float = constant("4.782321 uS", "S", status="fit", source=_FIT)
    error_slope: float = constant(-0.009107, status="fit", source=_FIT)

    def __post_init__(self) -> None:
        self.check_window()
        self.check_within(LOW, HIGH)

    @property
    def programming(self) -> Polynomial:
        return Polynomial((self.error, self.error_slope), 1.0)
