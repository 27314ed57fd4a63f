"""Analog filamentary CMO/HfOx cells: program and verify, logarithmic relaxation, 1/f read noise.

    programming    G = max(0, target + (error + error_slope target) n), for acceptance within 2 % of the target
    ageing         G(t) = max(0, G + shift ln t + (sd + sd_slope ln t) m), t in s, from 1 s
    read           s = k log10(G / 1 uS) sqrt(ln((t + t_read) / 2 t_read)), t at least 1 s

Source: D. F. Falcone et al. (IBM Research Zurich), with aihwkit's linear fits. Targets from 9 to 88.19 uS. A verify
within 0.2 % has error = 0.00081107 uS and error_slope = 0.00106879.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..constant import constant
from ..effects.ageing import Logarithmic
from ..effects.spread import LogarithmicOneOverF, Polynomial
from .base import Device

_FIT = "aihwkit's fit to the CMO/HfOx characterisation of Falcone et al."
LOW, HIGH = 9e-6, 88.19e-6
"""Range of the fit (S)."""


@dataclass(frozen=True)
class Cell(Device):
    """See the module; conductances in siemens, times in seconds."""

    g_min: float = constant("9 uS", "S", status="fit", source=_FIT)
    g_max: float = constant("88.19 uS", "S", status="fit", source=_FIT)
    error: float = constant("0.0112185391 uS", "S", status="fit", source=f"{_FIT}: acceptance 2 %")
    error_slope: float = constant(0.01129027418, status="fit", source=f"{_FIT}: acceptance 2 %")
    relaxation_shift: float = constant("-0.08900206 uS", "S", status="fit", source=f"{_FIT}: mean, per ln(s)")
    relaxation_sd: float = constant("0.41183342 uS", "S", status="fit", source=f"{_FIT}: sd at 1 s")
    relaxation_sd_slope: float = constant("0.04201137 uS", "S", status="fit", source=f"{_FIT}: sd, per ln(s)")
    read_k: float = constant("0.0277316483 uS", "S", status="fit", source=_FIT)
    t_read: float = constant("1 us", "s", status="fit", source=_FIT)

    def __post_init__(self) -> None:
        self.check_window()
        self.check_within(LOW, HIGH)

    @property
    def programming(self) -> Polynomial:
        return Polynomial((self.error, self.error_slope), 1.0)

    @property
    def reading(self) -> LogarithmicOneOverF:
        return LogarithmicOneOverF(self.read_k, 1e-6, self.t_read, t_zero=1.0)

    @property
    def ageing(self) -> Logarithmic:
        return Logarithmic(self.relaxation_shift, self.relaxation_sd, self.relaxation_sd_slope)
