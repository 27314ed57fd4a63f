"""What a cochlea with a wider dynamic range gives for spoken digits, above all those of a speaker who was never heard.

    SPIKESIM_SHARED=FOLDER python -m benchmarks lsm_cochleas       FOLDER holds fsdd.npz

Recordings as counts of events in 129 bins; features are square roots of counts by fifths of the word, of events or of a reservoir's
spikes; a ridge reads them. For each speaker in turn: trained on all takes of the other four, judged once on all of theirs. Cochlea
and penalty are chosen without that speaker: each of the four is left out of training in turn and judged, and what is best in the
mean is taken. "fit" is the cochlea that imitates N-TIDIGITS, beside it with its penalty chosen likewise. `COCHLEAS` are those that
were tried, in one round, on all five speakers: that round is what the choice within four cannot undo.

known   trained on takes 15 to 49 of all speakers, penalty chosen on takes 10 to 14, judged on takes 0 to 9
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import spikesim as ss
from benchmarks.harness import resumed
from benchmarks.lsm_speakers import Choice, LeftOut, Row
from benchmarks.lsm_speech import SETUPS
from spikesim.datasets.audio import read_fsdd
from spikesim.datasets.base import TEST, TRAIN, VALIDATION, EventDataset
from spikesim.datasets.cochlea import Cochlea, listen
from spikesim.lsm.extraction import Frames, event_counts, features
from spikesim.lsm.probe import Moments, best_ridge
from spikesim.statistics import wilson

COCHLEAS = {
    "fit": Cochlea(),
    "sharp": Cochlea(bandwidth=1.5),
    "soft": Cochlea(half=0.1, top_hz=1000.0),
    "softer": Cochlea(half=0.01, top_hz=600.0),
    "wide": Cochlea.wide(),
    "wider": replace(Cochlea.wide(), half=0.001),
}
FRAMES, WINDOWS, PENALTIES = Frames(129, polarity=1), 5, (10.0, 100.0, 1e3, 1e4)
CASES = [
    {"neurons": 0, "seed": 0},
    *({"neurons": 200, "seed": seed} for seed in range(3)),
    *({"neurons": 1000, "seed": seed} for seed in range(3)),
]
"""No neurons: the events themselves, of every cochlea; reservoirs hear "fit" and "wide"."""


def measure() -> list[Row]:
    """A row for every case."""
    audio = read_fsdd(Path(os.environ["SPIKESIM_SHARED"]) / "fsdd.npz")
    heard = {name: listen(audio, cochlea, ss.Seeds(0)) for name, cochlea in COCHLEAS.items()}
    return resumed("lsm_cochleas", CASES, lambda case: measured(case, heard))


def measured(case: Row, heard: dict[str, EventDataset]) -> Row:
    """Accuracies of one case on recordings with a split and groups, as each cochlea heard them."""
    ways = list(heard) if not case["neurons"] else [way for way in heard if way in ("fit", "wide")]
    x = {way: np.sqrt(_counts(case, heard[way])) for way in ways}
    data = heard["fit"]
    labels, groups, split = (np.asarray(part) for part in (data.labels, data.groups, data.split))
    moments = {
        way: {n: Moments.of(x[way][groups == n], labels[groups == n], 10) for n in sorted(set(groups.tolist()))}
        for way in ways
    }
    judge = LeftOut(moments, x, labels, groups)
    choices: list[Choice] = [(way, penalty) for way in ways for penalty in PENALTIES]
    by_speaker = {}
    for name in judge.rows:
        mean = judge.without(name, choices)
        best = max(choices, key=lambda c: mean[c])
        fit = max((c for c in choices if c[0] == "fit"), key=lambda c: mean[c])
        by_speaker[name] = {
            "fit": judge.right(fit, {name}, name), "chosen": judge.right(best, {name}, name), "cochlea": best[0],
            "penalty": best[1],
        }  # fmt: skip
    found: Row = {"by_speaker": by_speaker, "known": {way: _known(x[way], labels, split) for way in ways}}
    for way in ("fit", "chosen"):
        found[way] = float(np.mean([row[way] for row in by_speaker.values()]))
        found[f"{way}_ci95"] = wilson(found[way], len(labels))
    events = {way: len(heard[way].t) / len(labels) for way in ways}
    return {**found, "events": events, "size": x["fit"].shape[1], "chance": 0.1, "samples": len(labels)}


def _counts(case: Row, data: Any) -> np.ndarray:
    if not case["neurons"]:
        return event_counts(data, FRAMES, windows=WINDOWS)
    reservoir = replace(SETUPS["tuned"][1], neurons=case["neurons"])
    return features(reservoir.network(ss.Seeds(case["seed"])), data, FRAMES, windows=WINDOWS).values


def _known(x: np.ndarray, labels: np.ndarray, split: np.ndarray) -> float:
    train, valid, test = (np.flatnonzero(split == part) for part in (TRAIN, VALIDATION, TEST))
    kept = Moments.of(x[train], labels[train], 10)
    penalty = best_ridge(kept, x[valid], labels[valid], PENALTIES)
    return float((kept.ridge(penalty)(x[test]) == labels[test]).mean())
