"""Distances of distributions against closed forms, and the counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.linalg import sqrtm

import spikesim as ss
from spikesim.diffusion import (
    class_coverage,
    confident_share,
    frechet,
    frechet_by_chance,
    kernel_distance,
    nearest_neighbours,
)
from spikesim.errors import ParameterError, ShapeError


def normal(seed: int, count: int, size: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, size))


def whitened(seed: int, count: int, size: int = 4) -> np.ndarray:
    """Samples whose mean and covariance are exactly 0 and 1."""
    x = normal(seed, count, size)
    x -= x.mean(0)
    return x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T


def test_frechet_of_two_gaussians() -> None:
    """Of equal axes: sum of (mean difference)^2 + (difference of deviations)^2; else by the matrix square root."""
    a, b = whitened(0, 500), whitened(1, 700)
    deviations, mean = np.array([1, 2, 0.5, 3]), np.array([1, 0, -2, 0.5])
    found = frechet(a, b * deviations + mean, features="numbers")
    assert found.value == pytest.approx((mean**2).sum() + ((deviations - 1) ** 2).sum(), rel=1e-9)
    assert found.samples == (500, 700) and str(found).startswith("Frechet distance of numbers: ")
    assert "FID" not in str(found)

    p, q = normal(2, 4), normal(3, 4)
    left, right = p @ p.T, q @ q.T
    exact = np.trace(left + right - 2 * sqrtm(left @ right).real)
    assert frechet(a @ p.T, b @ q.T, features="numbers").value == pytest.approx(exact, rel=1e-6)
    assert frechet(b @ q.T, a @ p.T, features="numbers").value == pytest.approx(exact, rel=1e-6)


def test_frechet_of_equal_sets() -> None:
    a = normal(4, 300)
    assert frechet(a, a, features="numbers").value == pytest.approx(0, abs=1e-9)
    flat = a.copy()
    flat[:, 3] = 1  # a feature that never changes
    assert frechet(flat, flat, features="numbers").value == pytest.approx(0, abs=1e-7)
    chance = frechet_by_chance(normal(5, 2000), features="numbers", seeds=ss.Seeds(0))
    assert chance.samples == (1000, 1000) and 0.001 < chance.value < 0.03
    again = frechet_by_chance(normal(5, 2000), features="numbers", seeds=ss.Seeds(0))
    assert again == chance


def test_the_kernel_distance_is_unbiased() -> None:
    """Its mean over many pairs of sets is 0 for equal distributions, and for others the kernel's own expectation."""
    values, shifted, covered = [], [], 0
    for seed in range(150):
        a, b = normal(2 * seed, 400, 1), normal(2 * seed + 1, 400, 1)
        near = kernel_distance(a, b, features="numbers", seeds=ss.Seeds(seed), block=20, draws=200)
        values.append(near.value)
        assert near.interval is not None
        covered += near.interval[0] <= 0 <= near.interval[1]
        shifted.append(kernel_distance(a, b + 1, features="numbers", seeds=ss.Seeds(seed), block=20).value)
    assert min(values) < 0 < max(values)
    assert np.mean(values) == pytest.approx(0, abs=3 * np.std(values) / math.sqrt(150))
    # E (xy + 1)^3 = 1 + 3 m1 n1 + 3 m2 n2 + m3 n3: moments of N(0, 1) are 0, 1, 0, of N(1, 1) are 1, 2, 4
    exact = 2 + (1 + 3 + 12 + 16) - 2 * (1 + 6) + (1 + 3 - 3 - 1) + 2
    assert np.mean(shifted) == pytest.approx(exact, abs=4 * np.std(shifted) / math.sqrt(150))
    assert 132 <= covered <= 149


def test_the_kernel_distance_is_that_of_plain_sums() -> None:
    a, b = normal(1, 6, 3), normal(2, 6, 3) + 0.3

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / 3 + 1) ** 3)

    within = sum(kernel(x[i], x[j]) for x in (a, b) for i in range(6) for j in range(6) if i != j) / 30
    across = sum(kernel(x, y) for x in a for y in b) / 36
    found = kernel_distance(a, b, features="numbers", seeds=ss.Seeds(0), block=6)
    assert found.value == pytest.approx(within - 2 * across, rel=1e-12)
    assert found.interval is None and found.kind == "kernel distance"


def test_intervals_depend_on_seeds_alone() -> None:
    a, b = normal(1, 300), normal(2, 300)
    one, again, other = (kernel_distance(a, b, features="numbers", seeds=ss.Seeds(s), block=20) for s in (0, 0, 1))
    assert one == again != other


def test_class_coverage() -> None:
    found = class_coverage(np.array([0, 1, 1, 2, 2, 2, 2, 0]), 3)
    assert found.shares.tolist() == [0.25, 0.25, 0.5] and found.factor == 2 and found.missing == []
    lacking = class_coverage(np.array([0, 2]), 4)
    assert lacking.factor == math.inf and lacking.missing == [1, 3]


def test_confident_share() -> None:
    found = confident_share(np.array([[0.95, 0.05], [0.9, 0.1], [0.5, 0.5], [0.2, 0.8]]))
    assert found.value == 0.5 and found.interval[0] < 0.5 < found.interval[1]


def test_nearest_neighbours() -> None:
    training, samples = normal(1, 50, 12).reshape(50, 3, 4), normal(2, 30, 12).reshape(30, 3, 4)
    samples[4] = training[17]
    training[33] = training[17]
    apart, rows = nearest_neighbours(samples, training, 3, block=7)
    every = np.linalg.norm((samples[:, None] - training[None]).reshape(30, 50, 12), axis=2)
    np.testing.assert_allclose(apart, np.sort(every, axis=1)[:, :3], atol=1e-12)
    assert apart[4, 0] == 0 and rows[4, :2].tolist() == [17, 33]
    np.testing.assert_allclose(np.take_along_axis(every, rows, 1), apart, atol=1e-12)


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: frechet(normal(0, 5), normal(0, 5, 3), features="n"), "frechet.a must be"),
        (lambda: frechet(normal(0, 1), normal(0, 5), features="n"), "frechet.a must be"),
        (lambda: frechet(normal(0, 5), normal(0, 5) * np.nan, features="n"), "frechet.b must be finite"),
        (lambda: frechet(normal(0, 5), normal(0, 5), features=" "), "frechet.features must be the name"),
        (lambda: frechet(normal(0, 5), normal(0, 5), features="FID"), "frechet.features must be the name"),
        (lambda: kernel_distance(normal(0, 5), normal(0, 5), features="n", seeds=ss.Seeds(0)), "kernel_distance.block must be"),
        (lambda: class_coverage(np.array([0, 3]), 3), "class_coverage.labels must be"),
        (lambda: confident_share(np.array([[0.5, 0.1]])), "confident_share.probabilities must be"),
        (lambda: nearest_neighbours(normal(0, 5), normal(0, 5, 3)), "nearest_neighbours.samples must be"),
        (lambda: nearest_neighbours(normal(0, 5), normal(0, 5), 6), "nearest_neighbours.count must be"),
    ],
)  # fmt: skip
def test_refusals(make, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises((ParameterError, ShapeError), match=says):
        make()
