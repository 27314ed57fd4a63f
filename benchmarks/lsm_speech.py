"""Linear probes of reservoirs on spoken digits: FSDD through the cochlea, takes 0 to 9 judged, and each speaker held out in turn.

    SPIKESIM_SHARED=FOLDER python -m benchmarks lsm_speech       FOLDER holds fsdd.npz

published   64 -> 200, 129 bins of binary events, spike counts; three seeds of weights
tuned       1000 neurons that 25 % of the inputs reach, counts of five fifths of the word
wide        either heard by `Cochlea.wide()`, counts of a bin not cut off: what takes 10 to 14 (`known_validation`) choose among
            two cochleas, cut off or not, for the published size
events      counts of events in as many fifths or, beside "published", in one window; all of them, no projection

known       trained on takes 15 to 49 of all speakers, judged on takes 0 to 9; the ridge's penalty chosen on takes 10 to 14;
            for the published size also by logistic regression, which is its readout (a linear layer trained with cross-entropy)
held out    trained on all takes of four speakers, judged on all of the fifth; the same penalty; mean of five
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

import spikesim as ss
from benchmarks.harness import resumed
from spikesim.datasets import load
from spikesim.datasets.base import TEST, TRAIN, VALIDATION
from spikesim.datasets.cochlea import Cochlea
from spikesim.lsm.extraction import Frames, event_counts, features
from spikesim.lsm.probe import LinearProbe, Moments, best_ridge, probed
from spikesim.lsm.reservoir import Reservoir
from spikesim.statistics import wilson

BINARY, COUNTS = Frames(129, polarity=1, largest=1), Frames(129, polarity=1)
PENALTIES = (0.1, 1.0, 10.0, 100.0, 1e3, 1e4)
PUBLISHED, TUNED = Reservoir.published("ntidigits"), Reservoir(64, 1000, 0.97, 5.0, 0.5, 0.1, input_share=0.25)
SETUPS: dict[str, tuple[int, Reservoir, Frames, Cochlea]] = {
    "published": (1, PUBLISHED, BINARY, Cochlea()),
    "published, counts": (1, PUBLISHED, COUNTS, Cochlea()),
    "published, wide": (1, PUBLISHED, COUNTS, Cochlea.wide()),
    "published, wide, binary": (1, PUBLISHED, BINARY, Cochlea.wide()),
    "tuned": (5, TUNED, BINARY, Cochlea()),
    "tuned, wide": (5, TUNED, COUNTS, Cochlea.wide()),
}
CASES = [
    *({"setup": name, "features": "reservoir", "seed": seed} for name in SETUPS for seed in range(3)),
    *({"setup": name, "features": "events", "seed": 0} for name in SETUPS),
]
Row = dict[str, Any]


def measure() -> list[Row]:
    """A row for every case."""
    audio = Path(os.environ["SPIKESIM_SHARED"]) / "fsdd.npz"
    heard = {cochlea: load(audio, cochlea=cochlea) for cochlea in (Cochlea(), Cochlea.wide())}
    return resumed("lsm_speech", CASES, lambda case: measured(case, heard[SETUPS[case["setup"]][3]]))


def measured(case: Row, data: Any) -> Row:
    """Accuracies of one case on recordings with a split and groups."""
    windows, reservoir, frames, _ = SETUPS[case["setup"]]
    rate = 0.0
    if case["features"] == "reservoir":
        made = features(reservoir.network(ss.Seeds(case["seed"])), data, frames, windows=windows)
        x, rate = made.values, made.rate
    else:
        x = event_counts(data, frames, windows=windows)
    labels, split, groups = np.asarray(data.labels), np.asarray(data.split), np.asarray(data.groups)
    train, valid, test = (np.flatnonzero(split == part) for part in (TRAIN, VALIDATION, TEST))
    kept = Moments.of(x[train], labels[train], 10)
    penalty = best_ridge(kept, x[valid], labels[valid], PENALTIES)
    known = float((kept.ridge(penalty)(x[test]) == labels[test]).mean())
    more = {}
    if case["setup"].startswith("published"):
        answer = probed(x[train], labels[train], x[np.r_[test, valid]], LinearProbe("logistic"))
        right = answer == labels[np.r_[test, valid]]
        more["known_cross_entropy"] = float(right[: len(test)].mean())
        more["known_validation"] = float(right[len(test) :].mean())
    by_group = {}
    for name in sorted(set(groups.tolist())):
        out = groups == name
        answer = Moments.of(x[~out], labels[~out], 10).ridge(penalty)
        by_group[name] = float((answer(x[out]) == labels[out]).mean())
    return {
        "known": known, "known_ci95": wilson(known, len(test)), "held_out": float(np.mean(list(by_group.values()))),
        "by_speaker": by_group, "size": x.shape[1], "rate": rate, "chance": 0.1, "samples": len(test), "penalty": penalty, **more,
    }  # fmt: skip
