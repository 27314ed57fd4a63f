"""Any cell that is programmed and verified, with your own numbers; what `hardware.fit_device` writes.

    programming    s = sum_k programming_error_k (G / g_reference)^k   (S)        independent: one coefficient
                   and programming_share G on top (both: root of the sum of squares)      proportional: this alone
                   lognormal_error: G = target exp(s n) instead of both
    read           s^2 = (polynomial read_error)^2 + (read_share G)^2 + telegraph noise
    ageing         mean shift and spread that came since programming, at relaxation_times; linear in ln t between them
    conduction     I = G V (1 + iv_excess (V / iv_voltage)^2), up to iv_voltage
    forming        as `effects.forming`, where forming_mean is given: formed_median, formed_cv, formed_normal

Valid from g_min to g_max, to the last relaxation time, to iv_voltage, from forming_low to forming_high.
"""

from __future__ import annotations

from dataclasses import dataclass

from spikesim.core.params import check
from spikesim.errors import ParameterError, must

from ..constant import constant
from ..effects.ageing import Ageing, Shift, Steady, Tabulated
from ..effects.conduction import Conduction, Cubic
from ..effects.forming import Forming
from ..effects.spread import Independent, Lognormal, Polynomial, Proportional, Spread, Together
from ..effects.telegraph import WARNING, Telegraph
from .base import Device


@dataclass(frozen=True)
class Cell(Device):
    """Only g_min and g_max must be given; what is left out does not happen. See the module."""

    g_min: float = constant(unit="S")
    g_max: float = constant(unit="S")
    g_reference: float = constant("0 S", "S")
    programming_error: tuple[float, ...] = constant((), "S")
    programming_share: float = constant(0.0)
    lognormal_error: float = constant(0.0)
    read_error: tuple[float, ...] = constant((), "S")
    read_share: float = constant(0.0)
    relaxation_times: tuple[float, ...] = constant((), "s")
    relaxation_shift: tuple[float, ...] = constant((), "S")
    relaxation_sd: tuple[float, ...] = constant((), "S")
    iv_excess: float = constant(0.0)
    iv_voltage: float = constant("0 V", "V")
    forming_mean: float = constant("0 V", "V")
    forming_sd: float = constant("0 V", "V")
    forming_low: float = constant("0 V", "V")
    forming_high: float = constant("0 V", "V")
    formed_median: float = constant("0 S", "S")
    formed_cv: float = constant(0.0)
    formed_normal: float = constant(0.0)
    telegraph_share: float = constant(0.0)
    telegraph_amplitude: float = constant(0.0)
    telegraph_filled: float = constant("1 s", "s")
    telegraph_empty: float = constant("1 s", "s")

    def __post_init__(self) -> None:
        self.check_window()
        for name in ("programming_share", "lognormal_error", "read_share", "formed_cv", "formed_normal"):
            check(self, name, at_least=0, at_most=1)
        for name in ("iv_voltage", "forming_mean", "forming_sd", "forming_low", "forming_high"):
            check(self, name, at_least=0, unit="V")
        for name in ("g_reference", "formed_median"):
            check(self, name, at_least=0, unit="S")
        times = self.relaxation_times
        if not len(times) == len(self.relaxation_shift) == len(self.relaxation_sd):
            got = f"{len(times)}, {len(self.relaxation_shift)} and {len(self.relaxation_sd)}"
            raise ParameterError(must("program_verify.relaxation_*", "times, shifts and sds of one length", got))
        if any(low >= high for low, high in zip((0.0, *times), times)):
            raise ParameterError(must("program_verify.relaxation_times", "rising, above 0 s", times))
        if (len(self.programming_error) > 1 or len(self.read_error) > 1) and not self.g_reference:
            raise ParameterError(must("program_verify.g_reference", "given with a polynomial", "nothing"))
        if self.iv_excess and not self.iv_voltage:
            raise ParameterError(must("program_verify.iv_voltage", "given with iv_excess", "nothing"))
        if self.telegraph_share:
            self._telegraph  # noqa: B018 - checks itself

    @property
    def programming(self) -> Spread:
        if self.lognormal_error:
            return Lognormal(self.lognormal_error)
        return self._curve(self.programming_error, self.programming_share)

    @property
    def reading(self) -> Spread:
        noise = self._curve(self.read_error, self.read_share)
        return Together((noise, self._telegraph)) if self.telegraph_share else noise

    @property
    def ageing(self) -> Ageing:
        if not self.relaxation_times:
            return Steady()
        times = (min(1.0, self.relaxation_times[0] / 2), *self.relaxation_times)
        spreads = (self.programming, *(Together((self.programming, Independent(sd))) for sd in self.relaxation_sd))
        return Tabulated(times, spreads, tuple(Shift((s,), 1.0) for s in (0.0, *self.relaxation_shift)))

    @property
    def conduction(self) -> Conduction:
        return Cubic(self.iv_excess, self.iv_voltage) if self.iv_voltage else Conduction()

    @property
    def forming(self) -> Forming | None:
        if not self.forming_mean:
            return None
        return Forming(
            self.forming_mean, self.forming_sd, self.forming_low, self.forming_high,
            self.formed_median or self.g_max, self.formed_cv, self.g_min, not self.formed_normal,
        )  # fmt: skip

    @property
    def warnings(self) -> tuple[str, ...]:
        return (WARNING,) if self.telegraph_share else ()

    def _curve(self, coefficients: tuple[float, ...], share: float) -> Spread:
        """A polynomial and a proportional part; one of them alone where the other is not given."""
        parts: list[Spread] = [Polynomial(coefficients, self.g_reference or 1.0)] if coefficients else []
        parts += [Proportional(share)] if share else []
        return parts[0] if len(parts) == 1 else Together(tuple(parts)) if parts else Independent()

    @property
    def _telegraph(self) -> Telegraph:
        return Telegraph(
            self.telegraph_share, self.telegraph_amplitude, self.telegraph_filled, self.telegraph_empty
        )  # fmt: skip
