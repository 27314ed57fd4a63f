"""How good sampled pictures are, beside what real pictures and chance get; and which of two sets is better.

    interval of a Frechet distance F       F + (quantiles of F* - mean of F*),      F* of both sets drawn again with replacement
    of a difference F_a - F_b              the same of F_a* - F_b*, where both sets are drawn by the same rows

A Frechet distance of n samples is biased upwards, and one of sets drawn again is biased once more: hence the middle of F* is
brought back to F. The interval says what other n samples would give, not what infinitely many would; the floor, two sets of n
real pictures, has the same bias, and so have two sets of equal n, whose difference loses most of it.

Sampled pictures are compared in `features.py`'s features. What they may be mistaken for stands beside each figure: real
pictures (ceiling), noise and half-and-half blends of two classes (floors, which a good classifier is not sure of).

Heusel et al., NeurIPS 2017; Efron and Tibshirani, An Introduction to the Bootstrap, 1993.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.params import number
from ..core.seeds import Seeds
from ..errors import DatasetError, ShapeError, must
from ..statistics import TAIL, wilson
from .features import Classifier, as_pictures
from .metrics import (
    Coverage,
    Distance,
    Share,
    class_coverage,
    confident_share,
    frechet,
    frechet_by_chance,
    kernel_distance,
    nearest_neighbours,
)
from .noise import Noise

Pictures = np.ndarray | Tensor

NEAR = 0.05
"""Share of held-out real pictures that count as near a training picture."""


@dataclass(frozen=True)
class Sureness:
    """Shares of pictures of whose class the classifier is sure, at `level` or more.

    sampled   real (the ceiling)   noise, blends (floors)      each of `samples` pictures or, blends, somewhat fewer
    """

    level: float
    sampled: Share
    real: Share
    noise: Share
    blends: Share

    def __str__(self) -> str:
        given = [f"{name} {_percent(getattr(self, name))}" for name in ("sampled", "real", "noise", "blends")]
        return f"sure of a class (>= {self.level:g}): {', '.join(given)}"


@dataclass(frozen=True)
class Neighbours:
    """Euclidean distances, in pixels, to the nearest training picture.

    sampled, held_out   (median, least) of `samples` sampled, and of real pictures: counts (sampled, real)
    nearer              the share of sampled pictures that lie nearer than 5 % of held-out ones do: 0.05 by chance
    training            pictures that were searched
    """

    sampled: tuple[float, float]
    held_out: tuple[float, float]
    nearer: Share
    samples: tuple[int, int]
    training: int

    def __str__(self) -> str:
        (ours, least), (theirs, real_least), (n, m) = self.sampled, self.held_out, self.samples
        return (
            f"nearest of {self.training} training pictures, median distance: {n} sampled {ours:.3g}, least {least:.3g}; "
            f"{m} held-out real {theirs:.3g}, least {real_least:.3g}\n"
            f"  nearer than {NEAR:.0%} of held-out real ones are: {_percent(self.nearer)} of sampled, chance {NEAR:.0%}"
        )


@dataclass(frozen=True, eq=False)
class Quality:
    """Of n sampled pictures against n real ones, and what n other real ones get against these.

    frechet, kernel   distances          frechet_floor, kernel_floor   of real from real pictures
    frechet_training  of n training pictures: what samples get that are distributed just as these. None without them
    sureness, coverage, coverage_real    None where the network sees no classes
    neighbours                           None without training pictures
    """

    samples: int
    frechet: Distance
    frechet_floor: Distance
    kernel: Distance
    kernel_floor: Distance
    frechet_training: Distance | None = None
    sureness: Sureness | None = None
    coverage: Coverage | None = None
    coverage_real: Coverage | None = None
    neighbours: Neighbours | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON; an infinite factor is None."""
        found: dict[str, Any] = {"samples": self.samples, "features": self.frechet.features}
        for name in ("frechet", "frechet_floor", "kernel", "kernel_floor"):
            distance = getattr(self, name)
            found[name] = {"value": distance.value, "ci95": _listed(distance.interval)}
        if self.frechet_training is not None:
            found["frechet_training"] = {"value": self.frechet_training.value}
        if self.sureness is not None and self.coverage is not None and self.coverage_real is not None:
            shares = {k: getattr(self.sureness, k) for k in ("sampled", "real", "noise", "blends")}
            found["sure"] = {k: {"share": s.value, "ci95": _listed(s.interval)} for k, s in shares.items()}
            found["sure"]["level"] = self.sureness.level
            found["classes"] = {"sampled": _covered(self.coverage), "real": _covered(self.coverage_real)}
        if (near := self.neighbours) is not None:
            found["neighbours"] = {"sampled": list(near.sampled), "held_out": list(near.held_out)}
            found["neighbours"] |= {"nearer": near.nearer.value, "ci95": _listed(near.nearer.interval)}
            found["neighbours"] |= {"samples": list(near.samples), "training": near.training}
        return found

    def __str__(self) -> str:
        lines = [f"{self.frechet}", f"  two real sets of as many: {_spread(self.frechet_floor)}"]
        if self.frechet_training is not None:
            lines += [f"  as many training pictures: {self.frechet_training.value:.4g}"]
        lines += [f"{self.kernel}", f"  two real sets of as many: {_spread(self.kernel_floor)}, 0 by chance"]
        if self.sureness is not None and self.coverage is not None and self.coverage_real is not None:
            size = len(self.coverage.shares)
            lines += [
                f"{self.sureness}",
                f"classes, most frequent over least: {_factor(self.coverage)} of {size} classes",
            ]
            lines += [f"  of as many real pictures: {_factor(self.coverage_real)}"]
        return "\n".join([*lines, *[str(found) for found in [self.neighbours] if found is not None]])


@dataclass(frozen=True)
class Comparison:
    """Two sets of n pictures from the same initial noise, against the same real ones.

    a, b         their Frechet distances          floor   of two halves of the real ones, 2 n of them or all
    difference   of a from b, below 0 where a is nearer to real pictures         interval   [low, high] at 95 %
    """

    a: Distance
    b: Distance
    floor: Distance
    difference: float
    interval: tuple[float, float]

    @property
    def differs(self) -> bool:
        """Whether the interval excludes 0."""
        return self.interval[0] > 0 or self.interval[1] < 0

    @property
    def needed(self) -> float:
        """Pictures of each set with which the interval would exclude 0, if the difference stayed; infinite where it is 0.

        The interval's width falls as 1 / sqrt(n), where real pictures grow in number too.
        """
        reach = (self.difference - self.interval[0]) if self.difference > 0 else (self.interval[1] - self.difference)
        if self.differs:
            return self.a.samples[0]
        return math.ceil(self.a.samples[0] * (reach / self.difference) ** 2) if self.difference else math.inf

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON; infinite `needed` is None."""
        found = {"features": self.a.features, "samples": self.a.samples[0], "real": self.a.samples[1]}
        found |= {"a": self.a.value, "b": self.b.value, "difference": self.difference, "ci95": list(self.interval)}
        found |= {"differs": self.differs, "needed": None if math.isinf(self.needed) else self.needed}
        return found | {"floor": {"value": self.floor.value, "samples": list(self.floor.samples)}}

    def __str__(self) -> str:
        n, real = self.a.samples
        verdict = "they differ"
        if not self.differs:
            enough = "no number" if math.isinf(self.needed) else f"about {self.needed:.0f}"
            verdict = f"no difference is shown; {enough} of each would show one of this size"
        return (
            f"Frechet distances of {self.a.features}, {n} pictures from the same noise against {real} real ones:\n"
            f"  a {self.a.value:.4g}, b {self.b.value:.4g}, two sets of {self.floor.samples[0]} real ones {self.floor.value:.4g}\n"
            f"  a - b {self.difference:.4g} [{self.interval[0]:.4g}, {self.interval[1]:.4g}], 0 by chance: {verdict}"
        )


def quality(
    pictures: Pictures,
    real: Pictures,
    classifier: Classifier,
    *,
    training: Pictures | None = None,
    seeds: Seeds,
    level: float = 0.9,
    draws: int = 200,
    floors: int = 20,
    searched: int = 500,
) -> Quality:
    """Of sampled pictures (n, C, H, W), against real ones that are held out from training (2 n or more, C, H, W), in [-1, 1].

    training   what a denoiser learned from, (M, C, H, W); the nearest of them are sought for `searched` pictures
    draws      of the bootstrap          floors   random splits of real pictures, over which their distance is a mean
    """
    x, others = as_pictures("quality.pictures", pictures), as_pictures("quality.real", real)
    n = len(x)
    _must_agree("quality.real", others, x)
    number("quality.pictures", n, at_least=20, integer=True, remedy="sample more")
    if len(others) < 2 * n:
        rule = f"{2 * n} pictures or more, twice as many as sampled ones"
        raise DatasetError(must("quality.real", rule, len(others), "half of them are the floor"))
    for name, value in (("draws", draws), ("floors", floors), ("searched", searched)):
        number(f"quality.{name}", value, at_least=2, integer=True)
    others = others[torch.as_tensor(seeds.child("real").generator().permutation(len(others)))]
    named, (of_x, classes), (of_real, known) = (
        classifier.named(x.shape[1:]),
        classifier.seen(x),
        classifier.seen(others),
    )
    distance = _with_interval(of_x, of_real[:n], named, seeds, draws)
    kernel, kernel_floor = (
        kernel_distance(a, of_real[:n], features=named, seeds=seeds.child("kernel"), block=min(500, max(2, n // 20)))
        for a in (of_x, of_real[n : 2 * n])
    )
    found: dict[str, Any] = {}
    if classifier.classes:
        found["sureness"] = _sureness(classifier, classes, known, others, n, level, seeds)
        found["coverage"], found["coverage_real"] = (
            class_coverage(p.argmax(1), classifier.classes) for p in (classes, known[:n])
        )
    if training is not None:
        learned = as_pictures("quality.training", training)
        _must_agree("quality.training", learned, x)
        some = torch.as_tensor(seeds.child("training").generator().permutation(len(learned))[:n])
        of_learned = classifier.seen(learned[some])[0]
        found["frechet_training"] = frechet(of_learned, of_real[:n], features=named)
        found["neighbours"] = _neighbours(x, others, learned, searched)
    return Quality(n, distance, _floor(of_real, n, named, seeds, floors), kernel, kernel_floor, **found)


def compared(
    a: Pictures, b: Pictures, real: Pictures, classifier: Classifier, *, seeds: Seeds, draws: int = 200
) -> Comparison:
    """Two sets (n, C, H, W) in [-1, 1], a[i] and b[i] from the same initial noise, against real pictures (M, C, H, W)."""
    one, two, known = (as_pictures(f"compared.{k}", v) for k, v in (("a", a), ("b", b), ("real", real)))
    _must_agree("compared.real", known, one)
    if one.shape != two.shape:
        raise ShapeError(must("compared.b", f"{tuple(one.shape)} as a, paired by rows", tuple(two.shape)))
    for name, count in (("a", len(one)), ("real", len(known))):
        number(f"compared.{name}", count, at_least=20, integer=True, remedy="pictures, more of them")
    number("compared.draws", draws, at_least=2, integer=True)
    named = classifier.named(one.shape[1:])
    (of_a, _), (of_b, _), (of_real, _) = (classifier.seen(x) for x in (one, two, known))

    def difference(rows: np.ndarray, others: np.ndarray) -> float:
        against = of_real[others]
        first, second = (frechet(x[rows], against, features=named).value for x in (of_a, of_b))
        return first - second

    first, second = (frechet(x, of_real, features=named) for x in (of_a, of_b))
    value = first.value - second.value
    interval = _bootstrap(difference, value, len(one), len(known), seeds.child("compared"), draws)
    floor = _floor(of_real, min(len(one), len(known) // 2), named, seeds, 20)
    return Comparison(first, second, floor, value, interval)


def _bootstrap(
    statistic: Callable[[np.ndarray, np.ndarray], float], value: float, n: int, m: int, seeds: Seeds, draws: int
) -> tuple[float, float]:
    """[low, high] of a statistic of rows of two sets, n and m of them; its middle is brought back to `value`."""
    generator = seeds.child("bootstrap").generator()
    found = [statistic(generator.integers(0, n, n), generator.integers(0, m, m)) for _ in range(draws)]
    low, high = np.quantile(found, [1 - TAIL, TAIL]) - np.mean(found) + value
    return float(low), float(high)


def _with_interval(a: np.ndarray, b: np.ndarray, named: str, seeds: Seeds, draws: int) -> Distance:
    def again(rows: np.ndarray, others: np.ndarray) -> float:
        return frechet(a[rows], b[others], features=named).value

    found = frechet(a, b, features=named)
    low, high = _bootstrap(again, found.value, len(a), len(b), seeds.child("frechet"), draws)
    return Distance(found.kind, found.value, named, found.samples, (max(low, 0.0), high))


def _floor(real: np.ndarray, n: int, named: str, seeds: Seeds, floors: int) -> Distance:
    """The mean over random pairs of disjoint sets of n of the real ones, and where 95 % of the pairs lie."""
    values = []
    for split in range(floors):
        of_split = seeds.child("floor", split)
        rows = of_split.child("which").generator().permutation(len(real))[: 2 * n]
        values.append(frechet_by_chance(real[rows], features=named, seeds=of_split).value)
    low, high = np.quantile(values, [1 - TAIL, TAIL])
    return Distance("Frechet distance", float(np.mean(values)), named, (n, n), (float(low), float(high)))


def _sureness(
    classifier: Classifier, classes: np.ndarray, known: np.ndarray, real: Tensor, n: int, level: float, seeds: Seeds
) -> Sureness:
    noise = Noise(seeds.child("noise"), range(n), tuple(real.shape[1:])).initial().clamp(-1, 1)
    labels = known.argmax(1)
    apart = np.flatnonzero(labels[:n] != labels[n : 2 * n])
    if not len(apart):
        raise DatasetError(must("quality.real", "of two classes or more", "one, as the classifier sees them"))
    blends = (real[:n][apart] + real[n : 2 * n][apart]) / 2
    floors = [classifier.seen(x)[1] for x in (noise, blends)]
    return Sureness(level, *[confident_share(p, level) for p in (classes, known, *floors)])


def _neighbours(sampled: Tensor, real: Tensor, training: Tensor, searched: int) -> Neighbours:
    """Of `searched` sampled and twice as many real pictures, or all."""
    ours, theirs = (
        nearest_neighbours(x[:count].cpu().numpy(), training.cpu().numpy())[0][:, 0]
        for x, count in ((sampled, searched), (real, 2 * searched))
    )
    if np.median(theirs) == 0:
        raise DatasetError(must("quality.real", "held out from training", "pictures that are among those of training"))
    n, m = len(ours), len(theirs)
    share = float((ours < np.quantile(theirs, NEAR)).mean())
    low, high = wilson(share, max(1, n * m // (n + m)))  # the quantile is uncertain, too: 1/n + 1/m
    of_ours, of_theirs = ((float(np.median(d)), float(d.min())) for d in (ours, theirs))
    return Neighbours(of_ours, of_theirs, Share(share, (low, high)), (n, m), len(training))


def _must_agree(owner: str, found: Tensor, wanted: Tensor) -> None:
    if found.shape[1:] != wanted.shape[1:]:
        rule = f"(N, {', '.join(map(str, wanted.shape[1:]))}) as the sampled pictures"
        raise ShapeError(must(owner, rule, tuple(found.shape)))


def _listed(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)


def _covered(coverage: Coverage) -> dict[str, Any]:
    factor = None if math.isinf(coverage.factor) else coverage.factor
    return {"shares": coverage.shares.tolist(), "factor": factor, "missing": coverage.missing}


def _percent(share: Share) -> str:
    return f"{share.value:.1%} [{share.interval[0]:.1%}, {share.interval[1]:.1%}]"


def _spread(distance: Distance) -> str:
    low, high = distance.interval or (math.nan, math.nan)
    return f"{distance.value:.4g} [{low:.4g}, {high:.4g}]"


def _factor(coverage: Coverage) -> str:
    missing = f", none of {', '.join(map(str, coverage.missing))}" if coverage.missing else ""
    return f"{coverage.factor:.3g}{missing}"
