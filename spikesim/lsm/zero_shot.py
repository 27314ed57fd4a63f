"""The zero-shot protocol: projections trained on some classes, matches judged on others; told as a distribution over pairs.

    seen       queries and candidates of the classes that were trained on
    unseen     those of two classes that were not: 2 candidates' classes, chance 50 %
    pairs      every pair of classes held out in turn, trained on the rest
    null       the names of one modality's classes permuted, training and judging alike: what no shared structure gives
    few shots  k labelled samples of each unseen class and modality: a sample's answer is softmax(gain z . p_c) over that
               modality's own class means p_c, and answers are matched across modalities

A figure that was chosen on test samples (an epoch, a seed, a pair) is another figure; `chosen_on_test` shows by how much.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ..core.params import number
from ..core.seeds import Seeds
from ..errors import DatasetError, must
from .alignment import Way
from .contrastive import Contrastive, Side, classes_of, trained
from .probe import Standard
from .retrieval import Match, by_prototype, matched, prototypes

NAMES = ("a", "b")
"""The modalities."""
DIRECTIONS = (("a", "b"), ("b", "a"))
GAIN = 10.0
"""Sharpness of the answers that few shots are matched by."""
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Sets:
    """Samples of both modalities: to train on, and to judge (validation or test; never both at once)."""

    train_a: Side
    train_b: Side
    test_a: Side
    test_b: Side

    @property
    def classes(self) -> list[int]:
        """Classes that both modalities have in training."""
        return classes_of(self.train_a, self.train_b)

    def training(self, classes: Any) -> tuple[Side, Side]:
        """The training samples of these classes."""
        return self.train_a.of(classes), self.train_b.of(classes)

    def judged(self, classes: Any) -> dict[str, Side]:
        """The samples of these classes that are judged, by modality."""
        return {"a": self.test_a.of(classes), "b": self.test_b.of(classes)}

    def renamed(self, names: np.ndarray) -> Sets:
        """The same with class c of modality b called names[c]."""
        b, test = (Side(s.features, names[s.labels]) for s in (self.train_b, self.test_b))
        return Sets(self.train_a, b, self.test_a, test)


def matches(aligned: Any, sides: dict[str, Side]) -> dict[str, Match]:
    """{"a to b": ..., "b to a": ...}"""
    z = {name: aligned.of(name, side.features) for name, side in sides.items()}
    return {f"{q} to {c}": matched(z[q], sides[q].labels, z[c], sides[c].labels) for q, c in DIRECTIONS}


def prototype_matches(aligned: Any, sides: dict[str, Side], support: dict[str, Side]) -> dict[str, Match]:
    """The same against the class means of labelled samples of the other modality."""
    z = {name: aligned.of(name, side.features) for name, side in sides.items()}
    shown = {name: aligned.of(name, side.features) for name, side in support.items()}
    return {
        f"{q} to {c}": by_prototype(z[q], sides[q].labels, shown[c], support[c].labels) for q, c in DIRECTIONS
    }  # fmt: skip


def held_out(way: Way, sets: Sets, unseen: tuple[int, ...], seeds: Seeds) -> dict[str, Match]:
    """Trained on all other classes, judged on `unseen`."""
    seen = [c for c in sets.classes if c not in unseen]
    if len(seen) < 2 or set(unseen) - set(sets.classes):
        raise DatasetError(must("held_out.unseen", f"of {sets.classes}, two or more of them left", list(unseen)))
    return matches(way(*sets.training(seen), seeds), sets.judged(unseen))


def over_pairs(way: Way, sets: Sets, seeds: Seeds, pairs: list[tuple[int, int]] | None = None) -> list[Row]:
    """A row for every pair of classes: {pair, "a to b", "b to a", mean}, accuracies as shares; chance 0.5."""
    rows = []
    for pair in pairs if pairs is not None else combinations(sets.classes, 2):
        found = held_out(way, sets, pair, seeds.child("pair", *pair))
        # The mean over classes, so that the larger one does not decide.
        shares = {
            name: float(np.mean([m.right[_of(m, sets, name, c)].mean() for c in pair])) for name, m in found.items()
        }
        rows.append({"pair": list(pair), **shares, "mean": float(np.mean(list(shares.values())))})
    return rows


def _of(match: Match, sets: Sets, name: str, label: int) -> np.ndarray:
    side = (sets.test_a if name.startswith("a") else sets.test_b).of(match.classes)
    return side.labels == label


def shuffled_names(
    way: Way, sets: Sets, seeds: Seeds, times: int, pairs: list[tuple[int, int]] | None = None
) -> list[float]:
    """Means over pairs with the names of modality b permuted, `times` of them."""
    number("shuffled_names.times", times, at_least=0, integer=True)
    found, size = [], max(sets.classes) + 1
    for k in range(times):
        here = seeds.child("null", k)
        names = np.arange(size)
        names[sets.classes] = here.generator().permutation(sets.classes)
        found.append(float(np.mean([row["mean"] for row in over_pairs(way, sets.renamed(names), here, pairs)])))
    return found


def p_value(observed: float, null: list[float]) -> float:
    """(1 + null figures at or above the observed one) / (1 + null figures)."""
    return (1 + sum(n >= observed for n in null)) / (1 + len(null))


def few_shots(sets: Sets, pair: tuple[int, int], shots: int, seeds: Seeds) -> float:
    """Match of two classes of which `shots` labelled training samples of either modality are known; mean of both directions."""
    number("few_shots.shots", shots, at_least=1, integer=True)
    answers, sides = {}, sets.judged(pair)
    for name, side in (("a", sets.train_a), ("b", sets.train_b)):
        generator = seeds.child("shots", name).generator()
        rows = np.concatenate([generator.permutation(np.flatnonzero(side.labels == c))[:shots] for c in pair])
        standard = Standard.of(side.features)  # of all classes, unlabelled
        means, _ = prototypes(standard(side.features[rows]), side.labels[rows])
        z = standard(sides[name].features)
        z /= np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)
        e = np.exp(GAIN * (z @ means.T))
        p = e / e.sum(1, keepdims=True)
        answers[name] = p - 1 / len(pair)
    found = [matched(answers[q], sides[q].labels, answers[c], sides[c].labels) for q, c in DIRECTIONS]
    return float(np.mean([m.accuracy for m in found]))


def chosen_on_test(
    settings: Contrastive, sets: Sets, seen: list[int], unseen: tuple[int, ...], seeds: Seeds, runs: int
) -> Row:  # fmt: skip
    """One split by `runs` seeds and every epoch: at the last epoch, and what choosing on test samples makes of it."""
    known = sorted(set(sets.classes) & set(classes_of(sets.test_a, sets.test_b)))
    if not set(unseen) <= set(known):
        raise DatasetError(must("zeroshot.unseen", f"of {known}, which both modalities have", list(unseen)))
    curves = np.zeros((runs, settings.training.epochs))
    sides, chance = sets.judged(unseen), 1 / len(unseen)
    for k in range(runs):

        def watch(epoch: int, embedding: Any, k: int = k) -> None:
            embedding.eval()
            curves[k, epoch - 1] = np.mean([m.accuracy for m in matches(embedding, sides).values()])

        trained(*sets.training(seen), settings, seeds=seeds.child("run", k), watch=watch)
    last = curves[:, -1]
    return {
        "unseen": list(unseen), "chance": chance, "runs": runs, "last_epoch": last.tolist(),
        "best_epoch_of_each_run": curves.max(1).tolist(), "best_of_all": float(curves.max()),
    }  # fmt: skip
