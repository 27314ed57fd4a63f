"""SONOS charge-trap cells, 40 nm, read below threshold; statistics of 128 K cells over five days.

    programming    I = max(0, target + s(target) n),  s = A (1 - exp(-I / B))
    ageing         mean I + sum_k c_k I^k, k = 0..10, spread s of that mean, both tabulated each day up to 5 days
    read           s = A_r (1 - exp(-I / B_r))

Cells are read at one voltage, so that a conductance is a current over it: G = I / v_sense, and 1600 nA stand for 16 uS.
Source: V. Agrawal et al., "Subthreshold operation of SONOS analog memory", IEDM 2022, Figs. 10 and 11, with CrossSim's
fits. Targets from 0 to 16 uS.
"""

from __future__ import annotations

from dataclasses import dataclass

from spikesim.core.params import check

from ..constant import constant
from ..effects.ageing import Shift, Tabulated
from ..effects.spread import Saturating
from .base import Device

DAY = 86_400.0
HIGH = 1600e-9
"""Largest current of the fit (A)."""
_FIT = "CrossSim's fit to Agrawal et al., IEDM 2022"
_SHIFTS = (
    (6.83650e-01, 6.51250e-03, -4.03163e-04, 3.37944e-06, -1.87435e-08, 5.88902e-11, -1.07685e-13, 1.17751e-16,
     -7.60016e-20, 2.67255e-23, -3.94954e-27),
    (6.60925e-01, 8.60627e-03, -1.72936e-04, 7.44096e-07, -5.94866e-09, 2.36734e-11, -4.83740e-14, 5.56072e-17,
     -3.65397e-20, 1.28405e-23, -1.87450e-27),
    (1.15821e00, 1.96116e-02, -4.70807e-04, 3.67510e-06, -2.08786e-08, 6.59752e-11, -1.19499e-13, 1.28435e-16,
     -8.11574e-20, 2.78802e-23, -4.02057e-27),
    (8.72216e-01, 1.70926e-02, -2.23370e-04, 1.57526e-06, -1.32779e-08, 5.08256e-11, -1.01251e-13, 1.14633e-16,
     -7.46124e-20, 2.60559e-23, -3.78724e-27),
    (1.15294e00, 1.03149e-02, -6.05199e-05, 1.76086e-08, -6.46690e-09, 3.39044e-11, -7.53872e-14, 8.98185e-17,
     -6.00346e-20, 2.12615e-23, -3.11099e-27),
)  # fmt: skip
"""Mean shift after 1 to 5 days: nA, in powers of the current in nA."""


@dataclass(frozen=True)
class Cell(Device):
    """spread_top, spread_scale: A and B after 0 to 5 days (A); shift_N_days: coefficients in powers of I / 1 nA (A)."""

    g_min: float = constant("0 uS", "S", status="fit", source=_FIT)
    g_max: float = constant("16 uS", "S", status="fit", source=f"{_FIT}: 0 to 16 uS suggested for 0 to 1600 nA")
    v_sense: float = constant("0.1 V", "V", status="fit", source=f"{_FIT}: 1600 nA stand for 16 uS")
    spread_top: tuple[float, ...] = constant(
        ("19.88665 nA", "25.59102 nA", "28.72753 nA", "31.04318 nA", "33.76214 nA", "34.57909 nA"), "A",
        status="fit", source=_FIT,
    )  # fmt: skip
    spread_scale: tuple[float, ...] = constant(
        ("176.3115 nA", "186.85544 nA", "193.56834 nA", "198.90332 nA", "204.77023 nA", "207.34309 nA"), "A",
        status="fit", source=_FIT,
    )  # fmt: skip
    shift_1d: tuple[float, ...] = constant(tuple(f"{c} nA" for c in _SHIFTS[0]), "A", status="fit", source=_FIT)
    shift_2d: tuple[float, ...] = constant(tuple(f"{c} nA" for c in _SHIFTS[1]), "A", status="fit", source=_FIT)
    shift_3d: tuple[float, ...] = constant(tuple(f"{c} nA" for c in _SHIFTS[2]), "A", status="fit", source=_FIT)
    shift_4d: tuple[float, ...] = constant(tuple(f"{c} nA" for c in _SHIFTS[3]), "A", status="fit", source=_FIT)
    shift_5d: tuple[float, ...] = constant(tuple(f"{c} nA" for c in _SHIFTS[4]), "A", status="fit", source=_FIT)
    read_top: float = constant("12.58037 nA", "A", status="fit", source=_FIT)
    read_scale: float = constant("215.36557 nA", "A", status="fit", source=_FIT)

    def __post_init__(self) -> None:
        check(self, "v_sense", above=0, unit="V")
        self.check_window()
        self.check_within(0.0, HIGH / self.v_sense)

    @property
    def programming(self) -> Saturating:
        return self._spreads[0]

    @property
    def reading(self) -> Saturating:
        return Saturating(self.read_top / self.v_sense, self.read_scale / self.v_sense)

    @property
    def ageing(self) -> Tabulated:
        days = ((0.0,), self.shift_1d, self.shift_2d, self.shift_3d, self.shift_4d, self.shift_5d)
        shifts = tuple(Shift(tuple(c / self.v_sense for c in day), 1e-9 / self.v_sense) for day in days)
        return Tabulated(tuple(DAY * d for d in range(6)), self._spreads, shifts, logarithmic=False)

    @property
    def _spreads(self) -> tuple[Saturating, ...]:
        pairs = zip(self.spread_top, self.spread_scale)
        return tuple(Saturating(top / self.v_sense, scale / self.v_sense) for top, scale in pairs)
