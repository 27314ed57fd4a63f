"""Matching across modalities: a query of one, its nearest neighbour among the other's; and prototypes beside it.

    found(q) = argmax_g  z_q . z_g;      right where the labels agree;      chance: the mean share of the query's class

Directions are named "a to b": queries from a, candidates from b.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import DatasetError, must


@dataclass(frozen=True, eq=False)
class Match:
    """right (N,) bool of each query; matrix (C, C): queries of a class (row) whose match is of a class (column); classes (C,)
    names; chance, what a blind choice gets."""

    right: np.ndarray
    matrix: np.ndarray
    classes: np.ndarray
    chance: float

    @property
    def accuracy(self) -> float:
        """Share of queries whose match has their label."""
        return float(self.right.mean())


def retrieved(queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """(N,) row of the nearest candidate of each query, by dot product."""
    if queries.shape[1] != candidates.shape[1] or not len(candidates):
        rule = f"(N, {queries.shape[1]}), N above 0"
        raise DatasetError(must("retrieved.candidates", rule, candidates.shape))
    found: np.ndarray = (queries @ candidates.T).argmax(1)
    return found


def matched(queries: np.ndarray, labels: np.ndarray, candidates: np.ndarray, of_candidates: np.ndarray) -> Match:
    """Queries (N, d) of labels (N,) against candidates (M, d) of labels (M,)."""
    return judged(labels, of_candidates[retrieved(queries, candidates)], of_candidates)


def judged(labels: np.ndarray, found: np.ndarray, of_candidates: np.ndarray) -> Match:
    """The labels found for queries against their own. DatasetError where a query's class has no candidate."""
    classes = np.unique(labels)
    if set(classes.tolist()) - set(np.unique(of_candidates).tolist()):
        got = f"{classes.tolist()} and {np.unique(of_candidates).tolist()}"
        raise DatasetError(must("matched.labels", "of classes that both modalities have", got))
    names = np.union1d(classes, of_candidates)
    matrix = np.zeros((len(names), len(names)), np.int64)
    np.add.at(matrix, (np.searchsorted(names, labels), np.searchsorted(names, found)), 1)
    shares = np.array([(of_candidates == c).mean() for c in labels])
    return Match(found == labels, matrix, names, float(shares.mean()))


def prototypes(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(means (C, d) of unit length, classes (C,)) of samples (N, d)."""
    classes = np.unique(labels)
    means = np.stack([values[labels == c].mean(0) for c in classes])
    return means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12), classes


def by_prototype(queries: np.ndarray, labels: np.ndarray, support: np.ndarray, of_support: np.ndarray) -> Match:
    """Queries against the class means of the other modality's labelled samples: no zero-shot, these know the classes."""
    means, classes = prototypes(support, of_support)
    return judged(labels, classes[retrieved(queries, means)], classes)
