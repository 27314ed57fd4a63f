"""How far sampled pictures are from real ones: in the distribution of features, in classes, from single training pictures.

    Frechet     |mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a^1/2 S_b S_a^1/2)^1/2)
    kernel      mean_(i != j) k(a_i, a_j) + mean_(i != j) k(b_i, b_j) - 2 mean k(a_i, b_j),      k(x, y) = (x . y / d + 1)^3

A Frechet distance is of the features it was measured in, and carries their name. It is called FID only in those of one
published Inception network, which is not here: none of these is comparable with a published FID. It is biased upwards where
there are few samples (`frechet_by_chance` says what equal distributions get); the kernel distance is not, and may be negative.

Heusel et al., NeurIPS 2017 (Frechet); Binkowski et al., ICLR 2018 (kernel).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..core.params import number
from ..core.seeds import Seeds
from ..errors import ParameterError, ShapeError, must
from ..statistics import TAIL, wilson


@dataclass(frozen=True)
class Distance:
    """A distance between two sets of features.

    kind        "Frechet distance" or "kernel distance"     features   the name of what they are of
    samples     of either set       interval   [low, high] at 95 %, where there is one
    """

    kind: str
    value: float
    features: str
    samples: tuple[int, int]
    interval: tuple[float, float] | None = None

    def __str__(self) -> str:
        spread = "" if self.interval is None else f" [{self.interval[0]:.4g}, {self.interval[1]:.4g}]"
        return (
            f"{self.kind} of {self.features}: {self.value:.4g}{spread}, {self.samples[0]} and {self.samples[1]} samples"
        )


def frechet(a: np.ndarray, b: np.ndarray, *, features: str) -> Distance:
    """Between features (N, d) and (M, d), each as the Gaussian of its mean and covariance; N and M above 1."""
    _must_match("frechet", a, b, features, 2)
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return Distance("Frechet distance", Gaussian.of(a).from_other(Gaussian.of(b)), features, (len(a), len(b)))


@dataclass(frozen=True, eq=False)
class Gaussian:
    """What `frechet` knows of a set of features: mean (d,), covariance (d, d), float64."""

    mean: np.ndarray
    covariance: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> Gaussian:
        """Of features (N, d) float64, N above 1."""
        mean = x.mean(0)
        away = x - mean
        return cls(mean, away.T @ away / (len(x) - 1))

    @cached_property
    def root(self) -> np.ndarray:
        """(d, d): the symmetric square root of the covariance."""
        values, vectors = np.linalg.eigh(self.covariance)
        return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T  # type: ignore[no-any-return]

    def from_other(self, other: Gaussian) -> float:
        """The Frechet distance, at least 0; the same the other way round, but for rounding."""
        apart = self.mean - other.mean
        both = np.sqrt(np.maximum(np.linalg.eigvalsh(self.root @ other.covariance @ self.root), 0)).sum()
        value = apart @ apart + np.trace(self.covariance) + np.trace(other.covariance) - 2 * both
        return max(float(value), 0.0)


def frechet_by_chance(a: np.ndarray, *, features: str, seeds: Seeds) -> Distance:
    """Between two random halves of one set (N, d): what equal distributions get with N / 2 samples each."""
    order = seeds.child("halves").generator().permutation(len(a))
    half = len(a) // 2
    return frechet(a[order[:half]], a[order[half : 2 * half]], features=features)


def kernel_distance(
    a: np.ndarray, b: np.ndarray, *, features: str, seeds: Seeds, block: int = 500, draws: int = 2000
) -> Distance:
    """Between features (N, d) and (M, d): the mean over pairs of blocks of `block` samples, which share none.

    The interval is the bootstrap's: percentiles of the mean over blocks drawn with replacement, `draws` times, widened by
    sqrt(n / (n - 1)) t / z for n blocks (Hesterberg, Am. Stat. 69, 2015). It needs ten blocks or more; None with fewer. Values
    of blocks are skewed: of equal distributions it held 0 in 93 % of 400 tries with twenty blocks, in 89 % with ten.
    """
    _must_match("kernel_distance", a, b, features, 2)
    most = min(len(a), len(b))
    number("kernel_distance.block", block, at_least=2, at_most=most, integer=True, remedy="or more samples")
    number("kernel_distance.draws", draws, at_least=1, integer=True)
    generator = seeds.child("kernel distance").generator()
    orders, count = [generator.permutation(len(x))[: most // block * block] for x in (a, b)], most // block
    pairs = zip(*(np.asarray(x, np.float64)[o].reshape(count, block, -1) for x, o in zip((a, b), orders)))
    values = np.array([_squared_discrepancy(x, y) for x, y in pairs])
    interval = _bootstrapped(values, generator, draws) if count >= 10 else None
    return Distance("kernel distance", float(values.mean()), features, (len(a), len(b)), interval)


def _bootstrapped(values: np.ndarray, generator: np.random.Generator, draws: int) -> tuple[float, float]:
    """[low, high] of the mean of n independent values."""
    from scipy.stats import norm
    from scipy.stats import t as student

    n, mean = len(values), values.mean()
    means = values[generator.integers(0, n, (draws, n))].mean(1)
    wider = math.sqrt(n / (n - 1)) * student.ppf(TAIL, n - 1) / norm.ppf(TAIL)
    low, high = mean + wider * (np.quantile(means, [1 - TAIL, TAIL]) - mean)
    return float(low), float(high)


def _squared_discrepancy(a: np.ndarray, b: np.ndarray) -> float:
    """The unbiased estimate from n samples of each."""
    n, size = a.shape
    aa, bb, ab = (((x @ y.T) / size + 1) ** 3 for x, y in ((a, a), (b, b), (a, b)))
    within = (aa.sum() - np.trace(aa) + bb.sum() - np.trace(bb)) / (n * (n - 1))
    return float(within - 2 * ab.mean())


@dataclass(frozen=True, eq=False)
class Coverage:
    """shares (C,) of samples that are of each class; factor: the largest over the smallest, infinite where one is missing."""

    shares: np.ndarray
    factor: float

    @property
    def missing(self) -> list[int]:
        """Classes of which there is no sample."""
        return np.flatnonzero(self.shares == 0).tolist()


def class_coverage(labels: np.ndarray, classes: int) -> Coverage:
    """Of what a classifier says of samples: labels (N,) from 0 to `classes` - 1."""
    number("class_coverage.classes", classes, at_least=1, integer=True)
    labels = np.asarray(labels)
    if labels.ndim != 1 or not len(labels) or labels.min() < 0 or labels.max() >= classes:
        raise ParameterError(must("class_coverage.labels", f"(N,) from 0 to {classes - 1}", labels))
    shares = np.bincount(labels, minlength=classes) / len(labels)
    return Coverage(shares, float(shares.max() / shares.min()) if shares.min() else math.inf)


@dataclass(frozen=True)
class Share:
    """A share of samples, and its interval [low, high] at 95 % (Wilson)."""

    value: float
    interval: tuple[float, float]


def confident_share(probabilities: np.ndarray, level: float = 0.9) -> Share:
    """The share of samples of whose class a classifier is sure: the largest of probabilities (N, C) is `level` or more."""
    number("confident_share.level", level, at_least=0, at_most=1)
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 2 or not probabilities.size or not np.allclose(probabilities.sum(1), 1, atol=1e-3):
        raise ParameterError(must("confident_share.probabilities", "(N, C) with rows that sum to 1", probabilities))
    share = float((probabilities.max(1) >= level).mean())
    low, high = wilson(share, len(probabilities))
    return Share(share, (low, high))


def nearest_neighbours(
    samples: np.ndarray, training: np.ndarray, count: int = 1, *, block: int = 256
) -> tuple[np.ndarray, np.ndarray]:
    """(distances, rows), both (N, count): the Euclidean nearest training pictures (M, *shape) of samples (N, *shape).

    shape is that of pictures or of their features; nearest first. A distance near 0 is a copy: compare with the same distances
    of held-out pictures.
    """
    number("nearest_neighbours.count", count, at_least=1, at_most=len(training), integer=True)
    if samples.shape[1:] != training.shape[1:]:
        rule = f"(N, *{tuple(training.shape[1:])}) as those of training"
        raise ShapeError(must("nearest_neighbours.samples", rule, tuple(samples.shape)))
    flat, known = (np.asarray(x, np.float64).reshape(len(x), -1) for x in (samples, training))
    lengths, found = (known**2).sum(1), []
    for low in range(0, len(flat), block):
        part = flat[low : low + block]
        closest = np.argpartition(lengths - 2 * part @ known.T, count - 1, axis=1)[:, :count]
        found.append(np.sort(closest, axis=1))
    rows = np.concatenate(found) if found else np.zeros((0, count), np.int64)
    apart = np.stack([np.linalg.norm(flat - known[rows[:, k]], axis=1) for k in range(count)], axis=1)
    order = np.argsort(apart, axis=1, kind="stable")
    return np.take_along_axis(apart, order, 1), np.take_along_axis(rows, order, 1)


def _must_match(owner: str, a: np.ndarray, b: np.ndarray, features: str, least: int) -> None:
    for name, x in (("a", a), ("b", b)):
        if x.ndim != 2 or len(x) < least or x.shape[1] != b.shape[-1]:
            rule = f"(N, d) of the same d, N at least {least}"
            raise ShapeError(must(f"{owner}.{name}", rule, tuple(x.shape)))
        if not np.isfinite(x).all():
            raise ParameterError(must(f"{owner}.{name}", "finite", "nan or inf"))
    if not features.strip() or features.strip().lower() in ("fid", "inception"):
        rule = "the name of what the features are of"
        raise ParameterError(must(f"{owner}.features", rule, features, 'like "pixels" or "digits classifier, layer 3"'))
