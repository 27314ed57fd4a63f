"""Ways to bring two modalities into one space without gradient descent, as alternatives to `contrastive.py`.

Canonical    directions u, v of largest correlation between samples paired by class: the singular vectors of
             C_aa^-1/2 C_ab C_bb^-1/2, each covariance with a ridge; C_ab is that of the class means, since partners within
             a class are arbitrary                            (Hotelling, Biometrika 28, 1936)
Procrustes   features whitened within classes, projected on the span of the class means; then the rotation R that minimises
             |M_a - M_b R|, M the class means                 (Schoenemann, Psychometrika 31, 1966)
Attributes   ridge regression from either modality's features to a table of class attributes, the bridge; samples meet
             there                                            (Lampert et al., CVPR 2009, direct attribute prediction)

Each is `way(a, b, seeds) -> aligned`, aligned.of("a", features) -> unit vectors (N, d), as `contrastive.trained` is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..core.params import check
from ..core.seeds import Seeds
from ..errors import DatasetError, must
from .contrastive import Contrastive, Side, classes_of, trained
from .probe import Standard


class Aligned(Protocol):
    """Both modalities in one space."""

    def of(self, name: str, features: np.ndarray) -> np.ndarray: ...


Way = Callable[[Side, Side, Seeds], Aligned]


@dataclass(frozen=True, eq=False)
class Linear:
    """(standardised features - middle) W, brought to unit length."""

    standards: dict[str, Standard]
    middles: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]

    def of(self, name: str, features: np.ndarray) -> np.ndarray:
        """Unit vectors (N, d) float32 of features (N, F)."""
        z = (self.standards[name](features) - self.middles[name]) @ self.weights[name]
        return (z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)).astype(np.float32)


@dataclass(frozen=True)
class ByContrast:
    """`contrastive.trained` as a way."""

    settings: Contrastive = Contrastive()

    def __call__(self, a: Side, b: Side, seeds: Seeds) -> Aligned:
        return trained(a, b, self.settings, seeds=seeds)


@dataclass(frozen=True)
class Canonical:
    """size at most classes - 1; ridge as a share of the mean variance."""

    size: int = 7
    ridge: float = 1.0

    def __post_init__(self) -> None:
        check(self, "size", at_least=1, integer=True)
        check(self, "ridge", above=0)

    def __call__(self, a: Side, b: Side, seeds: Seeds) -> Aligned:
        classes = classes_of(a, b)
        (sa, xa, ma), (sb, xb, mb) = (_centred(side, classes) for side in (a, b))
        roots = [_inverse_root(x.T @ x / len(x), self.ridge) for x in (xa, xb)]
        u, _, vt = np.linalg.svd(roots[0] @ (ma.T @ mb / len(classes)) @ roots[1], full_matrices=False)
        kept = min(self.size, len(classes) - 1)
        weights = {"a": roots[0] @ u[:, :kept], "b": roots[1] @ vt[:kept].T}
        return Linear({"a": sa, "b": sb}, {"a": np.zeros(1), "b": np.zeros(1)}, weights)


@dataclass(frozen=True)
class Procrustes:
    """ridge of the covariance within classes, as a share of its mean variance."""

    ridge: float = 1.0

    def __post_init__(self) -> None:
        check(self, "ridge", above=0)

    def __call__(self, a: Side, b: Side, seeds: Seeds) -> Aligned:
        classes = classes_of(a, b)
        (sa, wa, ma), (sb, wb, mb) = (_discriminant(side, classes, self.ridge) for side in (a, b))
        u, _, vt = np.linalg.svd(mb.T @ ma)
        zero = np.zeros(1)
        return Linear({"a": sa, "b": sb}, {"a": zero, "b": zero}, {"a": wa, "b": wb @ u @ vt})


@dataclass(frozen=True, eq=False)
class Attributes:
    """table (classes, attributes) of numbers, row = label; ridge as a share of the mean variance."""

    table: np.ndarray
    ridge: float = 1.0

    def __post_init__(self) -> None:
        table = np.asarray(self.table, np.float64)
        if table.ndim != 2 or not np.isfinite(table).all():
            raise DatasetError(must("Attributes.table", "(classes, attributes), finite", table.shape))
        check(self, "ridge", above=0)
        spread = table.std(0)
        object.__setattr__(self, "table", (table - table.mean(0)) / np.where(spread > 0, spread, 1.0))

    def __call__(self, a: Side, b: Side, seeds: Seeds) -> Aligned:
        standards, middles, weights = {}, {}, {}
        for name, side in (("a", a), ("b", b)):
            if side.labels.max() >= len(self.table):
                rule = f"below {len(self.table)}, the rows of Attributes.table"
                raise DatasetError(must("labels", rule, int(side.labels.max())))
            standard, target = Standard.of(side.features), self.table[side.labels]
            x = standard(side.features).astype(np.float64)
            gram = x.T @ x / len(x)
            weight = np.linalg.solve(gram + _shrunk(gram, self.ridge), x.T @ (target - target.mean(0)) / len(x))
            standards[name], middles[name], weights[name] = standard, np.zeros(1), weight
        return Linear(standards, middles, weights)


def _centred(side: Side, classes: list[int]) -> tuple[Standard, np.ndarray, np.ndarray]:
    """Standard, standardised samples (N, F), class means (C, F) about their middle."""
    standard = Standard.of(side.features)
    x = standard(side.features).astype(np.float64)
    means = np.stack([x[side.labels == c].mean(0) for c in classes])
    return standard, x, means - means.mean(0)


def _discriminant(side: Side, classes: list[int], ridge: float) -> tuple[Standard, np.ndarray, np.ndarray]:
    """Standard, weights (F, C - 1) onto the span of whitened class means, and the means (C, C - 1) there."""
    standard, x, means = _centred(side, classes)
    middle = np.stack([x[side.labels == c].mean(0) for c in classes])
    within = x - middle[np.searchsorted(classes, side.labels)]
    root = _inverse_root(within.T @ within / len(within), ridge)
    _, _, span = np.linalg.svd(means @ root, full_matrices=False)
    weights = root @ span[: len(classes) - 1].T
    return standard, weights, means @ weights


def _shrunk(covariance: np.ndarray, ridge: float) -> np.ndarray:
    size = len(covariance)
    shrunk: np.ndarray = ridge * max(float(np.trace(covariance)) / size, 1e-12) * np.eye(size)
    return shrunk


def _inverse_root(covariance: np.ndarray, ridge: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance + _shrunk(covariance, ridge))
    root: np.ndarray = (vectors / np.sqrt(values)) @ vectors.T
    return root
