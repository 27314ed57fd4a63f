"""Which of two samplers makes better pictures: both start from the same noise, so that pictures come in pairs.

    difference    F(a, real) - F(b, real),   F the Frechet distance
    interval      by the bootstrap: rows of a and b are drawn together, real pictures too  (`quality.py`)
    swapped       the share of random swaps within pairs, each with chance 1/2, whose difference is as large, either way

Both distances are biased upwards by small n, and by about as much, since n is the same: their difference loses most of it. The
interval is somewhat wide (1.3 to 1.7 times, on Gaussians), so that a difference it shows is one. `swapped` is a test without
that slack, but of more: that both samplers draw from one distribution (Fisher's exchange of pairs).

Pairs take away what both pictures owe to their noise. Heusel et al., NeurIPS 2017 (distance); Efron and Tibshirani, 1993.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.params import number
from ..core.seeds import Seeds
from ..errors import ShapeError, must
from .features import Classifier, as_pictures
from .metrics import Distance, Gaussian, frechet
from .quality import Pictures, bootstrap, must_agree


@dataclass(frozen=True)
class Comparison:
    """Two sets of n pictures from the same initial noise, against the same real ones.

    a, b         their Frechet distances          floor     of n real ones from all others, or of half from half
    difference   of a from b, below 0 where a is nearer to real pictures          interval  [low, high] at 95 %
    swapped      share of random swaps within pairs that differ as much: small where a and b do not by chance
    """

    a: Distance
    b: Distance
    floor: Distance
    difference: float
    interval: tuple[float, float]
    swapped: float

    @property
    def differs(self) -> bool:
        """Whether the interval excludes 0."""
        return self.interval[0] > 0 or self.interval[1] < 0

    @property
    def needed(self) -> float:
        """Pictures of each set with which the interval would exclude 0, if the difference stayed; infinite where it is 0.

        The interval's width falls as 1 / sqrt(n), where real pictures grow in number too. n where it excludes 0 already.
        """
        if self.differs or not self.difference:
            return self.a.samples[0] if self.differs else math.inf
        towards_zero = self.interval[0] if self.difference > 0 else self.interval[1]
        return math.ceil(self.a.samples[0] * ((self.difference - towards_zero) / self.difference) ** 2)

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON; infinite `needed` is None."""
        found = {"features": self.a.features, "samples": self.a.samples[0], "real": self.a.samples[1]}
        found |= {"a": self.a.value, "b": self.b.value, "difference": self.difference, "ci95": list(self.interval)}
        found |= {"swapped": self.swapped, "differs": self.differs}
        found |= {"needed": None if math.isinf(self.needed) else self.needed}
        return found | {"floor": {"value": self.floor.value, "samples": list(self.floor.samples)}}

    def __str__(self) -> str:
        (n, real), (few, rest), (low, high) = self.a.samples, self.floor.samples, self.interval
        verdict = "they differ"
        if not self.differs:
            enough = "no number" if math.isinf(self.needed) else f"about {self.needed:.0f}"
            verdict = f"the interval holds 0; {enough} of each would show a difference of this size"
        return (
            f"Frechet distances of {self.a.features}, {n} pictures from the same noise against {real} real ones:\n"
            f"  a {self.a.value:.4g}, b {self.b.value:.4g}; {few} real against {rest} others {self.floor.value:.4g}\n"
            f"  a - b {self.difference:.4g} [{low:.4g}, {high:.4g}], 0 by chance: {verdict}\n"
            f"  as large in {self.swapped:.1%} of random swaps within pairs"
        )


def compared(
    a: Pictures, b: Pictures, real: Pictures, classifier: Classifier, *, seeds: Seeds, draws: int = 200
) -> Comparison:
    """Two sets (n, C, H, W) in [-1, 1], a[i] and b[i] from the same initial noise, against real pictures (M, C, H, W).

    draws   of the bootstrap, and as many of swaps
    Raises ShapeError for sets of other shapes or lengths, ParameterError for values outside [-1, 1] or fewer than 20 pictures.
    """
    one, two, known = (as_pictures(f"compared.{k}", v) for k, v in (("a", a), ("b", b), ("real", real)))
    must_agree("compared.real", known, one)
    if one.shape != two.shape:
        raise ShapeError(must("compared.b", f"{tuple(one.shape)} as a, paired by rows", tuple(two.shape)))
    for name, count in (("a", len(one)), ("real", len(known))):
        number(f"compared.{name}", count, at_least=20, integer=True, remedy="pictures, more of them")
    number("compared.draws", draws, at_least=2, integer=True)
    named = classifier.named(one.shape[1:])
    (of_a, _), (of_b, _), (of_real, _) = (classifier.seen(x) for x in (one, two, known))

    def again(rows: np.ndarray, others: np.ndarray) -> float:
        return _difference(of_a[rows], of_b[rows], Gaussian.of(of_real[others]))

    first, second = (frechet(of_real, x, features=named) for x in (of_a, of_b))
    first, second = (Distance(d.kind, d.value, named, d.samples[::-1]) for d in (first, second))
    value = first.value - second.value
    interval = bootstrap(again, value, len(one), len(known), seeds.child("compared"), draws)
    floor = _floor(of_real, min(len(one), len(known) // 2), named, seeds)
    return Comparison(first, second, floor, value, interval, _swapped(of_a, of_b, of_real, value, seeds, draws))


def _floor(real: np.ndarray, n: int, named: str, seeds: Seeds, floors: int = 20) -> Distance:
    """The mean over random n of the real ones, against the others."""
    orders = [seeds.child("compared", "floor", k).generator().permutation(len(real)) for k in range(floors)]
    found = [frechet(real[order[:n]], real[order[n:]], features=named) for order in orders]
    return Distance(found[0].kind, float(np.mean([d.value for d in found])), named, found[0].samples)


def _difference(a: np.ndarray, b: np.ndarray, real: Gaussian) -> float:
    return real.from_other(Gaussian.of(a)) - real.from_other(Gaussian.of(b))


def _swapped(a: np.ndarray, b: np.ndarray, real: np.ndarray, value: float, seeds: Seeds, draws: int) -> float:
    """(1 + swaps that differ as much) / (1 + draws)."""
    generator, of_real, as_large = seeds.child("compared", "swaps").generator(), Gaussian.of(real), 0
    for _ in range(draws):
        swap = generator.integers(0, 2, len(a))[:, None] == 1
        found = _difference(np.where(swap, b, a), np.where(swap, a, b), of_real)
        as_large += abs(found) >= abs(value)
    return (1 + as_large) / (1 + draws)
