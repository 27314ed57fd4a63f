"""How good sampled pictures are, beside what real pictures and chance get.

    interval of a Frechet distance F       F + (quantiles of F* - mean of F*),      F* of both sets drawn again with replacement

A Frechet distance of n samples is biased upwards, and one of sets drawn again is biased once more: hence the middle of F* is
brought back to F. The interval says what other n samples would give, not what infinitely many would; the floor, two sets of n
real pictures, has the same bias. Far from the floor it holds what it says; near it, it is too wide (of 400 equal samples of 64
features 2.4 times).

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
    Gaussian,
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

    sampled   real (the ceiling)   noise, half-and-half blends of two classes (the floors)
    samples   how many of each
    """

    level: float
    sampled: Share
    real: Share
    noise: Share
    blends: Share
    samples: tuple[int, int, int, int]

    def __str__(self) -> str:
        given = [f"{m} {name} {_percent(share)}" for (name, share), m in zip(self.shares.items(), self.samples)]
        return f"sure of a class (>= {self.level:g}): {', '.join(given)}"

    @property
    def shares(self) -> dict[str, Share]:
        """By name."""
        return {"sampled": self.sampled, "real": self.real, "noise": self.noise, "blends": self.blends}


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
            learned = self.frechet_training
            found["frechet_training"] = {"value": learned.value, "samples": learned.samples[0]}
        if self.sureness is not None and self.coverage is not None and self.coverage_real is not None:
            named = zip(self.sureness.shares.items(), self.sureness.samples)
            found["sure"] = {k: {"share": s.value, "ci95": _listed(s.interval), "samples": m} for (k, s), m in named}
            found["sure"]["level"] = self.sureness.level
            found["classes"] = {"sampled": _covered(self.coverage), "real": _covered(self.coverage_real)}
        if (near := self.neighbours) is not None:
            found["neighbours"] = {"sampled": list(near.sampled), "held_out": list(near.held_out)}
            found["neighbours"] |= {"nearer": near.nearer.value, "ci95": _listed(near.nearer.interval)}
            found["neighbours"] |= {"samples": list(near.samples), "training": near.training}
        return found

    def __str__(self) -> str:
        lines = [f"{self.frechet}", f"  two real sets of as many: {_spread(self.frechet_floor)}"]
        if (learned := self.frechet_training) is not None:
            lines += [f"  {learned.samples[0]} training pictures: {learned.value:.4g}"]
        lines += [f"{self.kernel}", f"  two real sets of as many: {_spread(self.kernel_floor)}, 0 by chance"]
        if self.sureness is not None and self.coverage is not None and self.coverage_real is not None:
            of_classes = f"{len(self.coverage.shares)} classes in {self.samples}"
            lines += [f"{self.sureness}", f"most frequent over least of {of_classes} sampled: {_factor(self.coverage)}"]
            lines += [f"  in as many real pictures: {_factor(self.coverage_real)}"]
        return "\n".join([*lines, *[str(found) for found in [self.neighbours] if found is not None]])


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
    level      probability from which the classifier counts as sure
    Raises ShapeError for other shapes, ParameterError for values outside [-1, 1] or fewer than 20 pictures, DatasetError for too
    few real pictures, one class of them, or such as are among those of training.
    """
    x, others = as_pictures("quality.pictures", pictures), as_pictures("quality.real", real)
    learned = None if training is None else as_pictures("quality.training", training)
    n = len(x)
    _must_fit(x, others, learned)
    for name, value in (("draws", draws), ("floors", floors), ("searched", searched)):
        number(f"quality.{name}", value, at_least=2, integer=True)
    number("quality.level", level, at_least=0, at_most=1)
    others = others[torch.as_tensor(seeds.child("real").generator().permutation(len(others)))]
    named = classifier.named(x.shape[1:])
    (of_x, classes), (of_real, known) = classifier.seen(x), classifier.seen(others)
    distance = with_interval(of_x, of_real[:n], named, seeds, draws)
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
    if learned is not None:
        some = torch.as_tensor(seeds.child("training").generator().permutation(len(learned))[:n])
        found["frechet_training"] = frechet(classifier.seen(learned[some])[0], of_real[:n], features=named)
        found["neighbours"] = _neighbours(x, others, learned, searched)
    return Quality(n, distance, frechet_floor(of_real, n, named, seeds, floors), kernel, kernel_floor, **found)


def _must_fit(x: Tensor, real: Tensor, training: Tensor | None) -> None:
    """Enough pictures, all of one shape."""
    n = len(x)
    must_agree("quality.real", real, x)
    number("quality.pictures", n, at_least=20, integer=True, remedy="sample more")
    if len(real) < 2 * n:
        rule = f"{2 * n} pictures or more, twice as many as sampled ones"
        raise DatasetError(must("quality.real", rule, len(real), "half of them are the floor"))
    if training is not None:
        must_agree("quality.training", training, x)
        number("quality.training", len(training), at_least=20, integer=True, remedy="pictures, more of them")


def bootstrap(
    statistic: Callable[[np.ndarray, np.ndarray], float], value: float, n: int, m: int, seeds: Seeds, draws: int
) -> tuple[float, float]:
    """[low, high] at 95 % of a statistic of rows of two sets, n and m of them; its middle is brought back to `value`."""
    generator = seeds.child("bootstrap").generator()
    found = [statistic(generator.integers(0, n, n), generator.integers(0, m, m)) for _ in range(draws)]
    low, high = np.quantile(found, [1 - TAIL, TAIL]) - np.mean(found) + value
    return float(low), float(high)


def with_interval(a: np.ndarray, b: np.ndarray, named: str, seeds: Seeds, draws: int) -> Distance:
    """The Frechet distance of features (N, d) and (M, d) with its interval."""

    def again(rows: np.ndarray, others: np.ndarray) -> float:
        return Gaussian.of(a[rows]).from_other(Gaussian.of(b[others]))

    found = frechet(a, b, features=named)
    low, high = bootstrap(again, found.value, len(a), len(b), seeds.child("frechet"), draws)
    return Distance(found.kind, found.value, named, found.samples, (max(low, 0.0), high))


def frechet_floor(real: np.ndarray, n: int, named: str, seeds: Seeds, floors: int) -> Distance:
    """The mean over random pairs of disjoint sets of n of the real ones, and where 95 % of the pairs lie."""
    found = []
    for split in range(floors):
        of_split = seeds.child("floor", split)
        rows = of_split.child("which").generator().permutation(len(real))[: 2 * n]
        found.append(frechet_by_chance(real[rows], features=named, seeds=of_split))
    values = [distance.value for distance in found]
    low, high = np.quantile(values, [1 - TAIL, TAIL])
    return Distance(found[0].kind, float(np.mean(values)), named, found[0].samples, (float(low), float(high)))


def _sureness(
    classifier: Classifier, classes: np.ndarray, known: np.ndarray, real: Tensor, n: int, level: float, seeds: Seeds
) -> Sureness:
    noise = Noise(seeds.child("noise"), range(n), tuple(real.shape[1:])).initial().clamp(-1, 1)
    labels = known.argmax(1)
    apart = np.flatnonzero(labels[:n] != labels[n : 2 * n])
    if not len(apart):
        raise DatasetError(must("quality.real", "of two classes or more", "one, as the classifier sees them"))
    blends = (real[:n][apart] + real[n : 2 * n][apart]) / 2
    each = [classes, known, *[classifier.seen(x)[1] for x in (noise, blends)]]
    sampled, real_ones, of_noise, of_blends = (confident_share(p, level) for p in each)
    counts = (len(classes), len(known), len(noise), len(blends))
    return Sureness(level, sampled, real_ones, of_noise, of_blends, counts)


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


def must_agree(owner: str, found: Tensor, wanted: Tensor) -> None:
    """ShapeError unless pictures (M, C, H, W) have the shape of the sampled ones (N, C, H, W)."""
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
