"""Cells of the 40 nm TaOx 1T1R chip: stochastic forming as measured, programming and ageing as assumed.

    forming        P(formed at V) = Phi((V - mean) / sd), valid from 3.14 to 3.70 V
                   G | formed = g_max exp(s n),  s^2 = ln(1 + cv^2);  unformed cells stay at g_min
    programming    G = max(0, target (1 + error n))
    read           s = read_noise G, fresh for each cell and read
    ageing         G(t) = max(0, G + g_max (shift ln t + (sd + sd_slope ln t) m)), t in s, from 1 s

Measured (published data of S. Wang et al., "Echo state graph neural networks with analogue random resistive memory
arrays", Nature Machine Intelligence 5, 2023): forming voltage of 400 cells, shape and spread of formed conductances.
The absolute scale of those conductances is not labelled there and is assumed, as are the programming error and, since no
retention of these cells is published, ageing: that of CMO/HfOx cells, as a share of the window.
"""

from __future__ import annotations

from dataclasses import dataclass

from spikesim.core.params import check

from ..constant import constant
from ..effects.ageing import Logarithmic
from ..effects.forming import Forming
from ..effects.spread import Proportional
from .base import Device

_STAND_IN = "no retention data of these cells; CMO/HfOx cells (device cmo_hfox) as a share of their 88.19 uS"


@dataclass(frozen=True)
class Cell(Device):
    """g_min unformed conductance (S), g_max median formed conductance (S): the window of programmed targets.

    programming_error   sd of a programmed conductance, as a share of its target (assumed)
    read_noise          sd of a read, as a share of the conductance
    formed_cv           coefficient of variation of formed conductances (measured)
    forming_mean, forming_sd   voltage at which a cell forms (V, measured from forming_low to forming_high)
    relaxation_*        ageing, shares of g_max per ln(s)
    """

    g_min: float = constant(unit="S")
    g_max: float = constant(unit="S")
    programming_error: float = constant()
    read_noise: float = constant()
    formed_cv: float = constant()
    forming_mean: float = constant(unit="V")
    forming_sd: float = constant(unit="V")
    forming_low: float = constant("3.14 V", "V", status="measured", source="lowest breakdown voltage of 400 cells")
    forming_high: float = constant("3.70 V", "V", status="measured", source="highest breakdown voltage of 400 cells")
    relaxation_shift: float = constant(-0.001009, status="assumed", source=_STAND_IN)
    relaxation_sd: float = constant(0.00467, status="assumed", source=_STAND_IN)
    relaxation_sd_slope: float = constant(0.000476, status="assumed", source=_STAND_IN)

    def __post_init__(self) -> None:
        for name in ("programming_error", "read_noise", "formed_cv", "relaxation_sd", "relaxation_sd_slope"):
            check(self, name, at_least=0, at_most=1)
        for name in ("forming_mean", "forming_sd", "forming_low", "forming_high"):
            check(self, name, above=0, unit="V")
        check(self, "relaxation_shift", at_least=-1, at_most=1)
        self.check_window()

    @property
    def programming(self) -> Proportional:
        return Proportional(self.programming_error)

    @property
    def reading(self) -> Proportional:
        return Proportional(self.read_noise)

    @property
    def ageing(self) -> Logarithmic:
        relaxation = self.relaxation_shift, self.relaxation_sd, self.relaxation_sd_slope
        return Logarithmic(*(share * self.g_max for share in relaxation))

    @property
    def forming(self) -> Forming:
        return Forming(
            self.forming_mean, self.forming_sd, self.forming_low, self.forming_high,
            self.g_max, self.formed_cv, self.g_min,
        )  # fmt: skip
