"""RRAM cells of the 130 nm NeuRRAM chip after program and verify, 1 s, 1 day and 2 days later.

    programming    G = max(0, target + s(target) n),  s = sum_k c_k (target / 40 uS)^k in uS, k = 0..4
    ageing         the same curve fitted at 1 s, 1 day and 2 days; between them linear in ln t, beyond 2 days refused
    read           s = read_noise G

Source: W. Wan et al., "A compute-in-memory chip based on resistive random-access memory", Nature 608, 2022, whose
figures IBM's aihwkit fitted with these polynomials. Targets from 0 to 40 uS.
"""

from __future__ import annotations

from dataclasses import dataclass

from spikesim.core.params import check

from ..constant import constant
from ..effects.ageing import Tabulated
from ..effects.spread import Polynomial, Proportional
from .base import Device

DAY = 86_400.0
_FIT = "aihwkit's polynomial fit to the published figures of Wan et al., Nature 608, 2022"


@dataclass(frozen=True)
class Cell(Device):
    """error_*: coefficients (S) of the spread at three times, in powers of target / g_reference."""

    g_min: float = constant("0 uS", "S", status="fit", source=f"{_FIT}: lowest target")
    g_max: float = constant("40 uS", "S", status="fit", source=f"{_FIT}: highest target")
    g_reference: float = constant("40 uS", "S", status="fit", source=f"{_FIT}: conductance that x = 1 stands for")
    error_1s: tuple[float, ...] = constant(
        ("0.348 uS", "16.030 uS", "-43.853 uS", "45.393 uS", "-16.815 uS"), "S", status="fit", source=_FIT
    )
    error_1d: tuple[float, ...] = constant(
        ("0.701 uS", "22.086 uS", "-50.773 uS", "47.095 uS", "-16.458 uS"), "S", status="fit", source=_FIT
    )
    error_2d: tuple[float, ...] = constant(
        ("0.782 uS", "20.274 uS", "-43.507 uS", "37.062 uS", "-11.934 uS"), "S", status="fit", source=_FIT
    )
    read_noise: float = constant(
        0.01, status="assumed", source="about 1 % of short-term read noise, as aihwkit advises; not in the paper's data"
    )

    def __post_init__(self) -> None:
        check(self, "read_noise", at_least=0, at_most=1)
        self.check_window()
        self.check_within(0.0, self.g_reference)

    @property
    def programming(self) -> Polynomial:
        return Polynomial(self.error_1s, self.g_reference)

    @property
    def reading(self) -> Proportional:
        return Proportional(self.read_noise)

    @property
    def ageing(self) -> Tabulated:
        curves = (self.error_1s, self.error_1d, self.error_2d)
        return Tabulated((1.0, DAY, 2 * DAY), tuple(Polynomial(c, self.g_reference) for c in curves))
