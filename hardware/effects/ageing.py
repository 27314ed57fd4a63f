"""Ageing: where a programmed conductance stands later.

    steady       g(t) = g(0)
    power law    g(t) = g(0) ((t + t0) / t0)^-nu, nu drawn once per cell
    logarithmic  g(t) = g(0) + b ln t + (a + c ln t) m, m ~ N(0, 1) drawn once per cell; t from 1 s
    tabulated    mean shift and spread measured at some times, between them by interpolation

Seconds count from the end of programming. What a cell draws is drawn in the same order whatever `seconds` is, so that a
generator started anew gives each cell one trajectory. Conductances in siemens, clipped at zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from spikesim.errors import RangeError, must

from .spread import Spread


class Ageing:
    """Abstract: one model of what time does."""

    def aged(
        self, g: np.ndarray, targets: np.ndarray, seconds: float, generator: np.random.Generator
    ) -> np.ndarray:  # fmt: skip
        """Conductances `seconds` (above 0) after programming. g: just after it; targets: what it aimed at (same shape).

        Raises RangeError for times that were not measured.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Steady(Ageing):
    """Nothing changes."""

    def aged(self, g: np.ndarray, targets: np.ndarray, seconds: float, generator: np.random.Generator) -> np.ndarray:
        return g.copy()


@dataclass(frozen=True)
class PowerLaw(Ageing):
    """g(t) = g(0) ((t + t_zero) / t_zero)^-nu with nu = |mean + sd n| of each cell.

    mean, sd   (slope, level, low, high): clip(slope ln(target / reference) + level, low, high)
    """

    mean: tuple[float, float, float, float]
    sd: tuple[float, float, float, float]
    reference: float
    t_zero: float

    def exponents(self, targets: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """nu of each cell, shape of targets."""
        x = np.log(np.maximum(np.abs(targets) / self.reference, 1e-7))
        mean, sd = (np.clip(c[0] * x + c[1], c[2], c[3]) for c in (self.mean, self.sd))
        return np.abs(mean + sd * generator.standard_normal(np.shape(targets)))

    def aged(self, g: np.ndarray, targets: np.ndarray, seconds: float, generator: np.random.Generator) -> np.ndarray:
        return g * ((seconds + self.t_zero) / self.t_zero) ** -self.exponents(targets, generator)


@dataclass(frozen=True)
class Logarithmic(Ageing):
    """g(t) = max(0, g(0) + shift ln(t / 1 s) + (sd + sd_slope ln(t / 1 s)) m), all in siemens; from 1 s on."""

    shift: float
    sd: float
    sd_slope: float

    def aged(self, g: np.ndarray, targets: np.ndarray, seconds: float, generator: np.random.Generator) -> np.ndarray:
        if seconds < 1:
            raise RangeError(must("aged.seconds", "0, or at least the 1 s from which relaxation was fitted", seconds))
        passed = math.log(seconds)
        wandered = (self.sd + self.sd_slope * passed) * generator.standard_normal(np.shape(g))
        return np.maximum(g + self.shift * passed + wandered, 0.0)


@dataclass(frozen=True)
class Shift:
    """Mean shift of a conductance (siemens): sum_k c_k (G / reference)^k, coefficients in siemens."""

    coefficients: tuple[float, ...]
    reference: float

    def __call__(self, g: np.ndarray) -> np.ndarray:
        return np.polynomial.polynomial.polyval(np.asarray(g, np.float64) / self.reference, self.coefficients)


@dataclass(frozen=True)
class Tabulated(Ageing):
    """Spread around the target, and mean shift, at measured times; between them linear in ln t, or in t.

    times     rising seconds; the first is when programming was verified
    spreads   of conductances around target + shift at each time, curves of target + shift
    shifts    at each time; () for none
    A cell keeps the error n it was programmed with and gains what the spread grew by:

        g(t) = max(0, target + shift + s_first n + sqrt(max(s(t)^2 - s_first^2, 0)) m)         m ~ N(0, 1)

    which has exactly the measured spread at every time; for cells that were clipped at zero n is drawn from what it
    can have been. Raises RangeError beyond the last time.
    """

    times: tuple[float, ...]
    spreads: tuple[Spread, ...]
    shifts: tuple[Shift, ...] = ()
    logarithmic: bool = True

    def aged(self, g: np.ndarray, targets: np.ndarray, seconds: float, generator: np.random.Generator) -> np.ndarray:
        if seconds > self.times[-1]:
            raise RangeError(must("aged.seconds", f"at most {self.times[-1]:g} s, the last time measured", seconds))
        first = self.spreads[0].sd(targets)
        low, weight = self._place(seconds)
        centre = targets if not self.shifts else targets + self._between([s(targets) for s in self.shifts], low, weight)
        spread = self._between([s.sd(centre) for s in self.spreads], low, weight)
        uniform, normal = generator.random(np.shape(g)), generator.standard_normal(np.shape(g))
        error = np.where((g <= 0) & (targets > 0) & (first > 0), _below(targets, first, uniform), g - targets)
        return np.maximum(centre + error + np.sqrt(np.maximum(spread**2 - first**2, 0.0)) * normal, 0.0)

    def _place(self, seconds: float) -> tuple[int, float]:
        """The interval that `seconds` lies in, and how far."""
        scale = (lambda t: math.log(max(t, self.times[0]))) if self.logarithmic else float
        low = max(i for i, t in enumerate(self.times[:-1]) if i == 0 or t <= seconds)
        start, end = scale(self.times[low]), scale(self.times[low + 1])
        return low, min(max((scale(seconds) - start) / (end - start), 0.0), 1.0)

    @staticmethod
    def _between(values: list[np.ndarray], low: int, weight: float) -> np.ndarray:
        return (1 - weight) * values[low] + weight * values[low + 1]


def _below(targets: np.ndarray, sd: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Errors (siemens) of cells that ended at zero: normal with `sd`, given that target + error is at most zero."""
    from scipy.special import ndtr, ndtri

    scale = np.maximum(sd, np.finfo(np.float64).tiny)
    return scale * ndtri(np.maximum(uniform * ndtr(-targets / scale), np.finfo(np.float64).tiny))
