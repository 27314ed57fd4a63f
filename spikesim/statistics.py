"""How sure a figure is: intervals over chips, over test samples, and of shares of chips. Nothing here simulates.

    over chips     mean +- t(0.975, n - 1) s / sqrt(n)                        what other chips of the design would give
    over samples   Wilson: (p + z^2/2N +- z sqrt(p (1 - p)/N + z^2/4N^2)) / (1 + z^2/N)   what other test samples would give
    yield          Clopper-Pearson: the shares for which k of n chips or more, and k or fewer, have a chance of 2.5 %

All are two-sided at 95 %. Chips are tested on the same samples, so that the interval over chips does not hold the error of
the samples; both are given, apart. Sources: Wilson, JASA 22, 1927; Clopper and Pearson, Biometrika 26, 1934.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .core.params import number

LEVEL = 0.95
TAIL = (1 + LEVEL) / 2


def mean_interval(values: Sequence[float]) -> list[float] | None:
    """[low, high] of the mean by Student's t; None for a single value, which says nothing about others."""
    from scipy.stats import t as student

    found = np.asarray(values, np.float64)
    n, mean = len(found), float(found.mean())
    if n < 2:
        return None
    half = float(student.ppf(TAIL, n - 1) * found.std(ddof=1) / math.sqrt(n))
    return [mean - half, mean + half]


def wilson(share: float, samples: int) -> list[float]:
    """[low, high] of a share of `samples` independent samples."""
    from scipy.stats import norm

    number("wilson.samples", samples, at_least=1, integer=True)
    z = float(norm.ppf(TAIL))
    middle, spread = (
        share + z * z / (2 * samples),
        z * math.sqrt(share * (1 - share) / samples + (z / samples / 2) ** 2),
    )
    scale = 1 + z * z / samples
    return [max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)]


def clopper_pearson(count: int, n: int) -> list[float]:
    """[low, high] of the probability of what happened in `count` of n trials; exact, at least 95 %."""
    from scipy.stats import beta

    number("clopper_pearson.n", n, at_least=1, integer=True)
    number("clopper_pearson.count", count, at_least=0, at_most=n, integer=True)
    low = float(beta.ppf(1 - TAIL, count, n - count + 1)) if count else 0.0
    high = float(beta.ppf(TAIL, count + 1, n - count)) if count < n else 1.0
    return [low, high]


def chip_accuracy(accuracies: Sequence[float]) -> dict[str, Any]:
    """{n, mean, ci95: [low, high], worst}: a t-interval over chips, clipped to 0..1; one chip leaves all of 0..1 open."""
    values = np.asarray(accuracies, np.float64)
    low, high = mean_interval(accuracies) or (0.0, 1.0)
    worst = float(values.min())
    return {"n": len(values), "mean": float(values.mean()), "ci95": [max(0.0, low), min(1.0, high)], "worst": worst}


def yields(accuracies: Sequence[float], at: Iterable[float]) -> list[dict[str, Any]]:
    """For each accuracy of `at` the share of chips that reach it: {accuracy, chips, share, ci95}."""
    rows = []
    for wanted in at:
        number("yield accuracy", wanted, at_least=0, at_most=1, remedy="a share of 0 to 1, like 0.95")
        count = sum(a >= wanted - 1e-12 for a in accuracies)
        share = count / len(accuracies)
        rows.append(
            {"accuracy": wanted, "chips": count, "share": share, "ci95": clopper_pearson(count, len(accuracies))}
        )
    return rows
