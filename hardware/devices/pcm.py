"""Phase-change memory: polynomial programming error, power-law drift with an exponent per cell, 1/f read noise.

    programming    G = max(0, target + s n),  s = 0.26348 + 1.9650 x - 1.1731 x^2 in uS,  x = target / 25 uS
    drift          G(t) = G ((t + t_zero) / t_zero)^-nu,  nu = |mu + sigma n| of each cell
                   mu = clip(-0.0155 ln x + 0.0244, 0.049, 0.1),  sigma = clip(-0.0125 ln x - 0.0059, 0.008, 0.045)
    read           s = G q sqrt(ln((t + t_zero + t_read) / 2 t_read)),  q = min(0.2, 0.0088 / x0^0.65)

t counts from t_zero = 20 s after programming; x0 is the programmed conductance over 25 uS. Source: S. R. Nandakumar et al.,
"Phase-change memory models for deep learning training and inference", ICECS 2019, with the coefficients of IBM's
aihwkit. Targets from 0 to 25 uS; x is taken as at least 1e-7 in the logarithms.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..constant import constant
from ..effects.ageing import PowerLaw
from ..effects.spread import OneOverF, Polynomial
from .base import Device

_FIT = "Nandakumar et al., ICECS 2019, as coded in aihwkit"


@dataclass(frozen=True)
class Cell(Device):
    """nu_mean, nu_sd: slope, level, lowest, highest. Conductances in siemens, times in seconds."""

    g_min: float = constant("0 uS", "S", status="fit", source=_FIT)
    g_max: float = constant("25 uS", "S", status="fit", source=_FIT)
    g_reference: float = constant("25 uS", "S", status="fit", source=f"{_FIT}: conductance that x = 1 stands for")
    error: tuple[float, ...] = constant(("0.26348 uS", "1.9650 uS", "-1.1731 uS"), "S", status="fit", source=_FIT)
    nu_mean: tuple[float, ...] = constant((-0.0155, 0.0244, 0.049, 0.1), status="fit", source=_FIT)
    nu_sd: tuple[float, ...] = constant((-0.0125, -0.0059, 0.008, 0.045), status="fit", source=_FIT)
    read_share: float = constant(0.0088, status="fit", source=_FIT)
    read_exponent: float = constant(0.65, status="fit", source=_FIT)
    read_top: float = constant(0.2, status="fit", source=_FIT)
    t_read: float = constant("250 ns", "s", status="fit", source=_FIT)
    t_zero: float = constant("20 s", "s", status="fit", source=_FIT)

    def __post_init__(self) -> None:
        self.check_window()
        self.check_within(0.0, self.g_reference)

    @property
    def programming(self) -> Polynomial:
        return Polynomial(self.error, self.g_reference)

    @property
    def reading(self) -> OneOverF:
        return OneOverF(
            self.read_share, self.read_exponent, self.read_top, self.g_reference, self.t_read, self.t_zero
        )  # fmt: skip

    @property
    def ageing(self) -> PowerLaw:
        return PowerLaw(self.nu_mean, self.nu_sd, self.g_reference, self.t_zero)  # type: ignore[arg-type]
