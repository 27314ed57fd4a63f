"""Spread: the standard deviation of a conductance around its mean, as a curve of the conductance.

    independent   s = s0                             saturating   s = A (1 - exp(-G / B))
    proportional  s = share G                        1/f          s = q(G) G sqrt(ln((t + t_r) / 2 t_r))
    polynomial    s = sum_k c_k (G / G_ref)^k        lognormal    G exp(s n)

A programming error and a read's noise are both a spread; draws are normal (but for lognormal) and clipped at zero,
since no cell conducts backwards. Conductances and coefficients in siemens, arrays of any shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


class Spread:
    """Abstract: one curve s(G)."""

    def sd(self, g: np.ndarray, seconds: float = 0.0, programmed: np.ndarray | None = None) -> np.ndarray:
        """Standard deviation (siemens, shape of g) at conductance g, `seconds` after programming.

        programmed   conductance just after programming (same shape), for noise that remembers it; None: g
        """
        raise NotImplementedError

    def drawn(self, targets: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Conductances around `targets` (siemens, float64), clipped at zero."""
        return np.maximum(targets + self.sd(targets) * generator.standard_normal(targets.shape), 0.0)


@dataclass(frozen=True)
class Independent(Spread):
    """s = sd (siemens), whatever the conductance."""

    value: float = 0.0

    def sd(self, g: np.ndarray, seconds: float = 0.0, programmed: np.ndarray | None = None) -> np.ndarray:
        return np.full(np.shape(g), self.value)


@dataclass(frozen=True)
class Proportional(Spread):
    """s = share G."""

    share: float

    def sd(self, g: np.ndarray, seconds: float = 0.0, programmed: np.ndarray | None = None) -> np.ndarray:
        return self.share * np.asarray(g, np.float64)


@dataclass(frozen=True)
class Polynomial(Spread):
    """s = max(0, sum_k c_k (G / reference)^k), coefficients in siemens."""

    coefficients: tuple[float, ...]
    reference: float

    def sd(self, g: np.ndarray, seconds: float = 0.0, programmed: np.ndarray | None = None) -> np.ndarray:
        x = np.asarray(g, np.float64) / self.reference
        return np.maximum(np.polynomial.polynomial.polyval(x, self.coefficients), 0.0)


@dataclass(frozen=True)
class Saturating(Spread):
    """s = top (1 - exp(-G / scale)), both in siemens."""

    top: float
    scale: float

    def sd(self, g: np.ndarray, seconds: float = 0.0, programmed: np.ndarray | None = None) -> np.ndarray:
        return -self.top * np.expm1(-np.asarray(g, np.float64) / self.scale)


@dataclass(frozen=True)
class Lognormal(Spread):
    """G = target exp(s n): the median is the target; sd = G exp(s^2 / 2) sqrt(exp(s^2) - 1)."""

    s: float

    def sd(self, g: np.ndarray, seconds: float = 0.0, programmed: np.ndarray | None = None) -> np.ndarray:
        return np.asarray(g, np.float64) * math.exp(self.s**2 / 2) * math.sqrt(math.expm1(self.s**2))

    def drawn(self, targets: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return np.asarray(targets, np.float64) * np.exp(self.s * generator.standard_normal(targets.shape))


def accumulated(seconds: float, t_read: float) -> float:
    """sqrt(ln((t + t_read) / 2 t_read)): how 1/f noise has grown t seconds after programming (0 before t_read)."""
    return math.sqrt(math.log((max(seconds, t_read) + t_read) / (2 * t_read)))


@dataclass(frozen=True)
class OneOverF(Spread):
    """1/f noise accumulated since programming: s = G q sqrt(ln((t + t_zero + t_read) / 2 t_read)), with
    q = min(top, share / (G0 / reference)^exponent) of the conductance G0 just after programming."""

    share: float
    exponent: float
    top: float
    reference: float
    t_read: float
    t_zero: float

    def sd(self, g: np.ndarray, seconds: float = 0.0, programmed: np.ndarray | None = None) -> np.ndarray:
        start = np.asarray(g if programmed is None else programmed, np.float64) / self.reference
        q = np.minimum(self.top, self.share / np.maximum(start, 1e-6) ** self.exponent)
        return np.asarray(g, np.float64) * q * accumulated(seconds + self.t_zero, self.t_read)


@dataclass(frozen=True)
class LogarithmicOneOverF(Spread):
    """1/f noise that grows with the logarithm of the conductance: s = k log10(G / unit) sqrt(ln((t + t_read) / 2 t_read)).

    k in siemens; nothing below G = unit; t at least t_zero.
    """

    k: float
    unit: float
    t_read: float
    t_zero: float

    def sd(self, g: np.ndarray, seconds: float = 0.0, programmed: np.ndarray | None = None) -> np.ndarray:
        decades = np.log10(np.maximum(np.asarray(g, np.float64) / self.unit, 1.0))
        return self.k * decades * accumulated(max(seconds, self.t_zero), self.t_read)


@dataclass(frozen=True)
class Together(Spread):
    """Independent spreads at once: s^2 = sum of their s^2."""

    parts: tuple[Spread, ...]

    def sd(self, g: np.ndarray, seconds: float = 0.0, programmed: np.ndarray | None = None) -> np.ndarray:
        return np.sqrt(sum(part.sd(g, seconds, programmed) ** 2 for part in self.parts))
