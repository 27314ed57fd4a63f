"""Probes: the ridge beside scikit-learn's, moments that add up, choices made without test samples."""

from __future__ import annotations

import numpy as np
import pytest

from spikesim.errors import DatasetError, ParameterError
from spikesim.lsm import LinearProbe, probed
from spikesim.lsm.probe import Moments, Samples, Standard


def blobs(count: int, seed: int = 0, classes: int = 4, size: int = 12) -> tuple[np.ndarray, np.ndarray]:
    centres = np.random.default_rng(99).standard_normal((classes, size)) * 2
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, count)
    return (centres[labels] + generator.standard_normal((count, size))).astype(np.float32), labels


def test_the_ridge_is_scikit_learns() -> None:
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    x, labels = blobs(300)
    test, _ = blobs(100, 1)
    x[:, 3] = 5.0  # does not vary
    scaler = StandardScaler().fit(x)
    found = Ridge(alpha=30.0).fit(scaler.transform(x), np.eye(4)[labels]).predict(scaler.transform(test))
    answer = Moments.of(x, labels, 4).ridge(30.0)
    np.testing.assert_allclose(test @ answer.weight + answer.offset, found, atol=2e-4)


def test_moments_of_parts_add_up_and_can_be_left_out_again() -> None:
    x, labels = blobs(200)
    first, rest = Moments.of(x[:70], labels[:70], 4), Moments.of(x[70:], labels[70:], 4)
    whole = Moments.of(x, labels, 4)
    for made in (first + rest, whole.plus(rest, 2.0) - rest - rest):
        np.testing.assert_allclose(made.square, whole.square, rtol=1e-6, atol=1e-3)
        np.testing.assert_allclose(made.by_class, whole.by_class, rtol=1e-6, atol=1e-4)
        assert made.count == 200
    np.testing.assert_allclose((whole - first).ridge(1.0).weight, rest.ridge(1.0).weight, atol=1e-3)


def test_the_dual_form_is_the_same_ridge() -> None:
    x, labels = blobs(60, size=90)
    x[:, 3] = 5.0  # does not vary
    test, _ = blobs(20, 1, size=90)
    primal = Moments.of(x, labels, 5)
    dual = Samples.of(x[:25], labels[:25], 5) + Samples.of(x[25:], labels[25:], 5)
    for penalty in (1.0, 100.0):
        one, other = primal.ridge(penalty), dual.ridge(penalty)
        np.testing.assert_allclose(test @ other.weight + other.offset, test @ one.weight + one.offset, atol=2e-4)
        assert one.there.tolist() == other.there.tolist() == [True] * 4 + [False]


@pytest.mark.parametrize("kind", ["ridge", "logistic", "network"])
def test_every_kind_learns(kind: str) -> None:
    x, labels = blobs(400)
    test, wanted = blobs(200, 1)
    assert (probed(x, labels, test, LinearProbe(kind)) == wanted).mean() > 0.9


def test_classes_that_were_not_there_are_never_answered() -> None:
    x, labels = blobs(100, classes=3)
    assert set(probed(x, labels * 2, x).tolist()) <= {0, 2, 4}


def test_standardising_knows_training_samples_alone() -> None:
    x, _ = blobs(50)
    standard = Standard.of(x)
    z = standard(x)
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(z.std(0), 1, atol=1e-4)
    assert (Standard.of(np.ones((5, 2), np.float32))(np.full((3, 2), 7.0)) == 0).all()


def test_refusals() -> None:
    with pytest.raises(DatasetError, match=r"at least two classes"):
        probed(np.zeros((5, 2), np.float32), np.zeros(5, int), np.zeros((1, 2), np.float32))
    with pytest.raises(ParameterError, match=r"LinearProbe.kind"):
        LinearProbe("ridg")
