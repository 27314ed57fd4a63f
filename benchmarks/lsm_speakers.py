"""A speaker who is not in training: linear probes with and without warped copies of what the others said.

    SPIKESIM_SHARED=FOLDER python -m benchmarks lsm_speakers       FOLDER holds fsdd.npz

Set-ups as in `lsm_speech`. For each speaker in turn: trained on all takes of the other four, judged once on all of theirs. How far
copies are warped (`datasets.warping`) and the ridge's penalty are chosen without that speaker: each of the four is left out of
training in turn and judged, and what is best in the mean is taken. Copies are never judged.

none     the best penalty without copies
warped   the best warp and penalty with them, two copies of each recording
chosen   whichever of the two was better in that choice
"""

from __future__ import annotations

import os
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import spikesim as ss
from benchmarks.harness import resumed
from benchmarks.lsm_speech import PENALTIES, SETUPS
from spikesim.datasets import EventDataset, Warp, load, warped
from spikesim.lsm.extraction import event_counts, features
from spikesim.lsm.probe import Moments, Ridge
from spikesim.statistics import wilson

COPIES = 2
WARPS = tuple(Warp(COPIES, channels, tempo) for channels, tempo in ((2, 0), (4, 0), (0, 0.2), (2, 0.2), (4, 0.2)))
LARGE = ((Warp(COPIES, 2, 0.2),), (1e3, 1e4))
"""What is chosen among for 5000 features, where a choice takes minutes: one warp, among those chosen most often for seed 0 of the
small set-ups, and two penalties."""
CASES = [
    *({"setup": "published", "features": "reservoir", "seed": seed} for seed in range(3)),
    {"setup": "tuned", "features": "events", "seed": 0},
    {"setup": "tuned", "features": "reservoir", "seed": 0},
]
Row = dict[str, Any]
Choice = tuple[Any, float]
"""A way to make features or training recordings (here how far copies are warped), and the ridge's penalty."""


class LeftOut:
    """Ridges trained on some groups of recordings and judged on another.

    moments  way -> group -> of what is trained on (`Moments`, or `Samples`)
    x        way -> (N, F) features of the recordings, with labels and groups
    """

    def __init__(
        self, moments: dict[Any, dict[str, Any]], x: dict[Any, np.ndarray], labels: np.ndarray, groups: np.ndarray
    ) -> None:
        self.moments, self.x, self.labels = moments, x, labels
        self.rows = {name: np.flatnonzero(groups == name) for name in sorted(set(groups.tolist()))}
        self._sum = lru_cache(1)(self._summed)
        self._answer = cache(self._trained)
        self._right = cache(self._judged)

    def _summed(self, way: Any, without: frozenset[str]) -> Any:
        parts = [part for name, part in self.moments[way].items() if name not in without]
        return sum(parts[1:], parts[0])

    def _trained(self, choice: Choice, without: frozenset[str]) -> Ridge:
        way, penalty = choice
        ridge: Ridge = self._sum(way, without).ridge(penalty)
        return ridge

    def _judged(self, choice: Choice, without: frozenset[str], judged: str) -> float:
        rows = self.rows[judged]
        return float((self._answer(choice, without)(self.x[choice[0]][rows]) == self.labels[rows]).mean())

    def right(self, choice: Choice, without: set[str], judged: str) -> float:
        """Share of the group `judged` that is right, by what was trained without these groups."""
        return self._right(choice, frozenset(without), judged)

    def without(self, name: str, choices: list[Choice]) -> dict[Choice, float]:
        """Of each choice, the mean over the other groups, each judged by what was trained without it and without `name`."""
        others = [other for other in self.rows if other != name]
        # All choices of one `o` together: penalties of one way then share its sum.
        right = [[self.right(c, {name, o}, o) for c in choices] for o in others]
        return dict(zip(choices, np.mean(right, 0).tolist()))


def measure() -> list[Row]:
    """A row for every case."""
    data = load(Path(os.environ["SPIKESIM_SHARED"]) / "fsdd.npz")
    return resumed("lsm_speakers", CASES, lambda case: measured(case, data))


def measured(case: Row, data: Any) -> Row:
    """Accuracies of one case on recordings with groups, by speaker and in the mean."""
    large = (case["setup"], case["features"]) == ("tuned", "reservoir")
    warps, penalties = LARGE if large else (WARPS, PENALTIES)
    own, x = _moments(case, data), _features(case, data)
    moments: dict[Any, dict[str, Moments]] = {None: own}
    for warp in warps:
        moments[warp] = {name: own[name] + more for name, more in _moments(case, _copies(data, warp)).items()}
    labels, groups = np.asarray(data.labels), np.asarray(data.groups)
    judge = LeftOut(moments, dict.fromkeys(moments, x), labels, groups)
    choices: list[Choice] = [(warp, penalty) for warp in (None, *warps) for penalty in penalties]
    found: Row = {"by_speaker": {}}
    for name in sorted(own):
        mean = judge.without(name, choices)
        none = max((c for c in choices if c[0] is None), key=lambda c: mean[c])
        best = max((c for c in choices if c[0] is not None), key=lambda c: mean[c])
        got = {"none": judge.right(none, {name}, name), "warped": judge.right(best, {name}, name)}
        kept = "warped" if mean[best] > mean[none] else "none"
        found["by_speaker"][name] = {
            **got, "chosen": got[kept], "warp": repr(best[0]), "penalties": [none[1], best[1]],
            "in_choice": {"none": mean[none], "warped": mean[best]},
        }  # fmt: skip
    for way in ("none", "warped", "chosen"):
        found[way] = float(np.mean([row[way] for row in found["by_speaker"].values()]))
        found[f"{way}_ci95"] = wilson(found[way], len(labels))
    return {**found, "size": x.shape[1], "chance": 0.1, "samples": len(labels)}


def _copies(data: EventDataset, warp: Warp) -> EventDataset:
    both = warped(data, warp, ss.Seeds(0))
    return both.subset(np.arange(len(data), len(both)))


def _features(case: Row, data: EventDataset) -> np.ndarray:
    windows, reservoir, frames, _ = SETUPS[case["setup"]]
    if case["features"] == "events":
        return event_counts(data, frames, windows=windows)
    return features(reservoir.network(ss.Seeds(case["seed"])), data, frames, windows=windows).values


def _moments(case: Row, data: EventDataset) -> dict[str, Moments]:
    """Of the recordings of each speaker."""
    x, labels, groups = _features(case, data), np.asarray(data.labels), np.asarray(data.groups)
    return {n: Moments.of(x[groups == n], labels[groups == n], 10) for n in sorted(set(groups.tolist()))}
