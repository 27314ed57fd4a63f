"""Linear probes: what a linear classifier gets out of features, its strength chosen on training samples alone.

    "ridge"      one-hot labels by least squares with a penalty, features standardised
    "logistic"   multinomial logistic regression, features standardised
    "network"    one hidden layer of ReLU units, the small ANN readout

The penalty is chosen by accuracy on a fifth of the training samples that is held back, then all of them are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from ..core.params import check
from ..errors import DatasetError, ParameterError, must, nearest

PENALTIES = {"ridge": (10.0, 100.0, 1e3, 1e4, 1e5), "logistic": (1e-2, 1e-1, 1.0), "network": (1e-4, 1e-2, 1.0)}
HELD = 0.2
PART = 4096
"""Samples whose products are summed in float32 at a time."""
SETTLED = 1e-6
"""Features that vary less over training samples than this are left out."""


@dataclass(frozen=True)
class LinearProbe:
    """kind, seed of the part held back; penalties to choose among (empty: those of the kind); hidden units of "network"."""

    kind: str = "ridge"
    seed: int = 0
    penalties: tuple[float, ...] = ()
    hidden: int = 256

    def __post_init__(self) -> None:
        if self.kind not in PENALTIES:
            rule = f"one of {', '.join(PENALTIES)}"
            raise ParameterError(must("LinearProbe.kind", rule, self.kind, nearest(self.kind, PENALTIES)))
        check(self, "seed", at_least=0, integer=True)
        check(self, "hidden", at_least=1, integer=True)


@dataclass(frozen=True, eq=False)
class Standard:
    """(x - mean) / deviation of training features; those that do not vary become 0."""

    mean: np.ndarray
    per: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> Standard:
        """From training features (N, F)."""
        per = _per(x.std(0, dtype=np.float64))
        return cls(x.mean(0, dtype=np.float64).astype(np.float32), per.astype(np.float32))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return (x - self.mean) * self.per


def _per(deviation: np.ndarray) -> np.ndarray:
    """1 / deviation; 0 for what does not vary."""
    found: np.ndarray = np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > SETTLED)
    return found


def probed(train: np.ndarray, labels: np.ndarray, test: np.ndarray, probe: LinearProbe = LinearProbe()) -> np.ndarray:
    """Labels (N_test,) that a probe trained on features (N, F) gives test features. DatasetError for fewer than two classes."""
    labels = np.asarray(labels, np.int64)
    if len(np.unique(labels)) < 2:
        raise DatasetError(must("probed.labels", "of at least two classes", np.unique(labels).tolist()))
    choices, order = (
        probe.penalties or PENALTIES[probe.kind],
        np.random.default_rng(probe.seed).permutation(len(labels)),
    )
    held, kept = np.split(order, [max(1, round(HELD * len(labels)))])
    if probe.kind == "ridge":
        classes = int(labels.max()) + 1
        form = form_of(train)
        mine, rest = (form.of(train[rows], labels[rows], classes) for rows in (kept, held))
        return (mine + rest).ridge(best_ridge(mine, train[held], labels[held], choices))(test)
    standard = Standard.of(train)
    x = standard(train)
    right = [(_fitted(x[kept], labels[kept], probe, c)(x[held]) == labels[held]).mean() for c in choices]
    found: np.ndarray = _fitted(x, labels, probe, choices[int(np.argmax(right))])(standard(test))
    return found


def _fitted(x: np.ndarray, labels: np.ndarray, probe: LinearProbe, penalty: float) -> Any:
    if probe.kind == "logistic":
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=penalty, max_iter=300).fit(x, labels).predict
    from sklearn.neural_network import MLPClassifier

    network = MLPClassifier((probe.hidden,), alpha=penalty, max_iter=60, early_stopping=True, random_state=probe.seed)
    return network.fit(x, labels).predict


@dataclass(frozen=True, eq=False)
class Moments:
    """What least squares needs to know of samples; of two parts it is the sum, so that parts can be left out again.

    count     N                          labels   (C,) samples of each class
    total     (F,) sum of x              square   (F, F) sum of x x'              by_class (F, C) sum of x of each class
    """

    count: float
    labels: np.ndarray
    total: np.ndarray
    square: np.ndarray
    by_class: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, labels: np.ndarray, classes: int) -> Moments:
        """Of features (N, F) float32 and labels (N,) below `classes`. Products in float32, by parts, sums in float64."""
        size = x.shape[1]
        square, by_class = np.zeros((size, size)), np.zeros((size, classes))
        for start in range(0, len(x), PART):
            part = np.ascontiguousarray(x[start : start + PART], np.float32)
            square += part.T @ part
            by_class += part.T @ np.eye(classes, dtype=np.float32)[labels[start : start + PART]]
        counts = np.bincount(labels, minlength=classes).astype(np.float64)
        return cls(float(len(x)), counts, by_class.sum(1), square, by_class)

    def __add__(self, other: Moments) -> Moments:
        return self.plus(other, 1.0)

    def __sub__(self, other: Moments) -> Moments:
        return self.plus(other, -1.0)

    def plus(self, other: Moments, times: float) -> Moments:
        """These samples and the others, each of the others counted so many times."""
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Moments(*(mine + times * theirs for mine, theirs in pairs))

    def ridge(self, penalty: float) -> Ridge:
        """argmin_W sum |y - ȳ - z W|^2 + penalty |W|^2, z the standardised features, y one-hot labels."""
        from scipy.linalg import cho_factor, cho_solve

        mean = self.total / self.count
        per = _per(np.sqrt(np.maximum(np.diag(self.square) / self.count - mean**2, 0)))
        gram = (self.square - self.count * np.outer(mean, mean)) * np.outer(per, per)
        moment = (self.by_class - np.outer(mean, self.labels)) * per[:, None]
        gram[np.diag_indices_from(gram)] += penalty
        weight = cho_solve(cho_factor(gram, overwrite_a=True), moment) * per[:, None]
        return Ridge.of(weight, mean, self.labels / self.count)


@dataclass(frozen=True, eq=False)
class Samples:
    """The same of fewer samples than features, in the dual form: products of samples with each other, (N, N) in place of (F, F).

    W = z' (z z' + penalty I)^-1 (y - ȳ)        x (N, F) float32, labels (N,) below `classes`
    """

    x: np.ndarray
    labels: np.ndarray
    classes: int

    @classmethod
    def of(cls, x: np.ndarray, labels: np.ndarray, classes: int) -> Samples:
        """As `Moments.of`; the features are kept, not copied."""
        return cls(np.asarray(x, np.float32), labels, classes)

    def __add__(self, other: Samples) -> Samples:
        labels = np.concatenate([self.labels, other.labels])
        return Samples(np.concatenate([self.x, other.x]), labels, max(self.classes, other.classes))

    @cached_property
    def _standardised(self) -> tuple[np.ndarray, Standard, np.ndarray]:
        standard = Standard.of(self.x)
        z = standard(self.x)
        return z, standard, (z @ z.T).astype(np.float64)

    def ridge(self, penalty: float) -> Ridge:
        """As `Moments.ridge`; of several penalties the products are made once."""
        from scipy.linalg import cho_factor, cho_solve

        z, standard, products = self._standardised
        one_hot = np.eye(self.classes)[self.labels]
        share, damped = one_hot.mean(0), products + penalty * np.eye(len(products))
        dual = cho_solve(cho_factor(damped, overwrite_a=True), one_hot - share)
        weight = z.T @ dual.astype(np.float32) * standard.per[:, None]
        return Ridge.of(weight, standard.mean, share)


def form_of(x: np.ndarray) -> Any:
    """`Samples` or `Moments`, whichever is smaller for training features (N, F)."""
    return Samples if len(x) < x.shape[1] else Moments


@dataclass(frozen=True, eq=False)
class Ridge:
    """Labels (N,) of features (N, F): the largest of x W + offset among the classes that were there."""

    weight: np.ndarray
    offset: np.ndarray
    there: np.ndarray

    @classmethod
    def of(cls, weight: np.ndarray, mean: np.ndarray, share: np.ndarray) -> Ridge:
        """From W of features (their scale in it), their means, and each class's share of the samples."""
        return cls(weight.astype(np.float32), (share - mean @ weight).astype(np.float32), share > 0)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        scores = np.where(self.there, x @ self.weight + self.offset, -np.inf)
        found: np.ndarray = scores.argmax(1)
        return found


def best_ridge(kept: Moments | Samples, held: np.ndarray, labels: np.ndarray, penalties: Sequence[float]) -> float:
    """The penalty whose classifier, made of `kept`, is most often right on held samples."""
    right = [float((kept.ridge(p)(held) == labels).mean()) for p in penalties]
    return penalties[int(np.argmax(right))]
