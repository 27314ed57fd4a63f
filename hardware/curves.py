"""Spread curves fitted by likelihood, and compared: which of them a lab's cells ask for, and how well it fits.

Deviations d of cells at conductance G are taken as N(0, s(G)^2) with one of the curves of `effects.spread`. Coefficients
maximise the likelihood; the Bayesian information criterion BIC = k ln n - 2 ln L (k coefficients, n cells) chooses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .effects.spread import Independent, Lognormal, Polynomial, Proportional, Spread

DEGREES = (1, 2, 3, 4)
"""Degrees of the polynomials that are tried."""
ROUNDS, HALVINGS = 200, 40
"""Most steps of a fit, and halvings of one step."""


@dataclass(frozen=True)
class Fitted:
    """A curve with its name, BIC, number of coefficients, and standardised deviations z (n,), which should be N(0, 1)."""

    name: str
    spread: Spread
    bic: float
    coefficients: int
    z: np.ndarray


def candidates(at: np.ndarray, deviation: np.ndarray, reference: float) -> list[Fitted]:
    """Independent, proportional and polynomial curves fitted to deviations (n,) of cells at `at` (n,), best first.

    reference   conductance that x = 1 stands for in polynomials (siemens)
    """
    found = [
        _fitted("independent", Independent(_rms(deviation)), at, deviation, 1),
        _fitted("proportional", Proportional(_rms(deviation / at)), at, deviation, 1) if (at > 0).all() else None,
    ]
    levels = len(np.unique(at))
    found += [_polynomial(degree, at, deviation, reference) for degree in DEGREES if degree < levels]
    return sorted((f for f in found if f is not None), key=lambda f: f.bic)


def lognormal(target: np.ndarray, measured: np.ndarray) -> Fitted | None:
    """measured = target exp(s n), with the BIC in the same units as `candidates`; None where something is not above 0."""
    if not ((target > 0).all() and (measured > 0).all()):
        return None
    logs = np.log(measured / target)
    s = _rms(logs)
    if s == 0:
        return None
    likelihood = _normal_likelihood(logs, np.full(len(logs), s)) - float(np.log(measured).sum())
    return Fitted("lognormal", Lognormal(s), math.log(len(logs)) - 2 * likelihood, 1, logs / s)


def ks_normal(z: np.ndarray) -> tuple[float, float]:
    """Kolmogorov-Smirnov statistic and p of z against N(0, 1)."""
    from scipy.stats import kstest

    found = kstest(z, "norm")
    return float(found.statistic), float(found.pvalue)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _normal_likelihood(deviation: np.ndarray, sd: np.ndarray) -> float:
    return float(-0.5 * np.sum((deviation / sd) ** 2) - np.log(sd).sum() - 0.5 * len(sd) * math.log(2 * math.pi))


def _fitted(name: str, spread: Spread, at: np.ndarray, deviation: np.ndarray, k: int) -> Fitted | None:
    sd = spread.sd(at)
    if not (sd > 0).all():
        return None
    bic = k * math.log(len(at)) - 2 * _normal_likelihood(deviation, sd)
    return Fitted(name, spread, bic, k, deviation / sd)


def _polynomial(degree: int, at: np.ndarray, deviation: np.ndarray, reference: float) -> Fitted | None:
    """The polynomial of highest likelihood that is positive at every cell, by Fisher scoring with halved steps.

    With s = X c: gradient X^T (d^2 / s^3 - 1 / s), information X^T (2 / s^2) X.
    """
    unit = _rms(deviation)
    powers, d = np.vander(at / reference, degree + 1, increasing=True), deviation / unit
    coefficients = np.array([1.0, *np.zeros(degree)])
    reached = _normal_likelihood(d, powers @ coefficients)
    for _ in range(ROUNDS):
        sd = powers @ coefficients
        information = powers.T @ (powers * (2 / sd**2)[:, None])
        step = np.linalg.lstsq(information, powers.T @ (d**2 / sd**3 - 1 / sd), rcond=None)[0]
        for _ in range(HALVINGS):
            trial = powers @ (coefficients + step)
            gained = _normal_likelihood(d, trial) - reached if (trial > 0).all() else -math.inf
            if gained > 0:
                break
            step = step / 2
        else:
            break
        coefficients, reached = coefficients + step, reached + gained
        if gained < 1e-9 * len(d):
            break
    spread = Polynomial(tuple(float(c) * unit for c in coefficients), reference)
    return _fitted(f"polynomial of degree {degree}", spread, at, deviation, degree + 1)
