"""Linear probes of reservoirs on N-MNIST: five fixed folds of the 990 real recordings, every one judged once.

    SPIKESIM_SHARED=FOLDER EMULATED=DIR python -m benchmarks lsm_vision

FOLDER holds nmnist_small.npz; DIR is what `spikesim data emulate mnist --limit 60000 --cache --out DIR` writes.

published   16 x 16 in the middle, ON, 50 bins, 256 -> 200, spike counts; three seeds of weights
tuned       all pixels, both polarities, 1000 neurons that 10 % of the inputs reach, counts of three thirds of the recording
events      counts of events, as many features by a random projection, no reservoir

real        trained on the real training folds      emulated  on emulated recordings alone      both  on both
emulated -> emulated: trained on nine tenths of them, judged on the rest. An emulated recording whose image a recording of the
test fold shows is left out. The ridge's penalty, and how often real
ones count, are chosen within the training samples. Of the published set-up also by logistic regression, which is its
readout (a linear layer trained with cross-entropy); there real ones count ten times and the penalty is fixed.
"""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

import spikesim as ss
from benchmarks.harness import resumed
from spikesim.datasets import load
from spikesim.lsm.extraction import Frames, event_counts, features
from spikesim.lsm.probe import Moments, Standard, best_ridge
from spikesim.lsm.reservoir import Reservoir
from spikesim.statistics import wilson

FOLDS, THREADS = 5, 2
TIMES = (2.0, 10.0, 40.0)
"""How often a real recording may count beside emulated ones."""
TEN, STRENGTH, ITERATIONS = 10.0, 0.01, 200
PENALTIES = (10.0, 100.0, 1e3, 1e4)
Row = dict[str, Any]
SETUPS: dict[str, tuple[Frames, int, Reservoir]] = {
    "published": (Frames(50, 16, 1), 1, Reservoir.published("nmnist")),
    "tuned": (Frames(50), 3, Reservoir(2312, 1000, 0.9, 5.0, 0.5, 0.05, input_share=0.1)),
}
CASES = [
    *({"setup": "published", "features": "reservoir", "seed": seed} for seed in range(3)),
    {"setup": "published", "features": "events", "seed": 0},
    {"setup": "tuned", "features": "reservoir", "seed": 0},
    {"setup": "tuned", "features": "events", "seed": 0},
]


def measure() -> list[Row]:
    """A row for every case."""
    real = load(Path(os.environ["SPIKESIM_SHARED"]) / "nmnist_small.npz")
    made = load(os.environ["EMULATED"])
    return resumed("lsm_vision", CASES, lambda case: measured(case, real, made))


def measured(case: Row, real: Any, made: Any) -> Row:
    """Accuracies of one case; `made` are Shards, or an event data set."""
    frames, windows, reservoir = SETUPS[case["setup"]]
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        if case["features"] == "reservoir":
            network = reservoir.network(ss.Seeds(case["seed"]))
            first = features(network, real, frames, windows=windows)
            second = features(network, made, frames, windows=windows)
            own, emulated, rate = first.values, second.values, first.rate
        else:
            options = {"windows": windows, "size": windows * reservoir.neurons, "seeds": ss.Seeds(case["seed"])}
            own, emulated, rate = (*(event_counts(data, frames, **options) for data in (real, made)), 0.0)
        found = judged(own, real, emulated, made)
        if case["setup"] == "published":
            found |= by_cross_entropy(own, real, emulated, made)
    finally:
        torch.set_num_threads(before)
    return {
        **found, "neurons": reservoir.neurons, "size": own.shape[1], "rate": rate, "chance": 0.1, "samples": len(real),
        "emulated_recordings": len(emulated), "threads": THREADS,
    }  # fmt: skip


def judged(own: np.ndarray, real: Any, emulated: np.ndarray, made: Any) -> Row:
    """The four ways of training on features of real and emulated recordings."""
    labels, ids = np.asarray(made.labels), np.asarray(made.sample_ids)
    whole, right = (
        Moments.of(emulated, labels, 10),
        {name: np.zeros(len(real), bool) for name in ("real", "emulated", "both")},
    )
    held = np.arange(len(labels)) % 10 == 0
    most = whole - Moments.of(emulated[held], labels[held], 10)
    by_emulated = best_ridge(most, emulated[held], labels[held], PENALTIES)
    leaked = 0
    for train, test in real.folds(FOLDS):
        out = np.isin(ids, real.sample_ids[test])
        leaked += int(np.isin(real.sample_ids[test], ids[~out]).sum())
        rest, mine = whole - Moments.of(emulated[out], labels[out], 10), Moments.of(own[train], real.labels[train], 10)
        part = train[::5]
        kept = Moments.of(own[np.setdiff1d(train, part)], real.labels[np.setdiff1d(train, part)], 10)
        shown, wanted = own[part], real.labels[part]
        by_real = best_ridge(kept, shown, wanted, PENALTIES)
        times, by_both = max(
            product(TIMES, PENALTIES), key=lambda c: _right(rest.plus(kept, c[0]), c[1], shown, wanted)
        )
        for name, answer in (
            ("real", mine.ridge(by_real)), ("emulated", rest.ridge(by_emulated)), ("both", rest.plus(mine, times).ridge(by_both))
        ):  # fmt: skip
            right[name][test] = answer(own[test]) == real.labels[test]
    assert not leaked, "an emulated recording of a test image was trained on"
    found: Row = {name: float(values.mean()) for name, values in right.items()}
    found |= {f"{name}_ci95": wilson(found[name], len(real)) for name in right}
    return {**found, "emulated_to_emulated": float((most.ridge(by_emulated)(emulated[held]) == labels[held]).mean())}


def _right(made_of: Moments, penalty: float, shown: np.ndarray, labels: np.ndarray) -> float:
    return float((made_of.ridge(penalty)(shown) == labels).mean())


def by_cross_entropy(own: np.ndarray, real: Any, emulated: np.ndarray, made: Any) -> Row:
    """`both`, by multinomial logistic regression."""
    labels, ids, right = np.asarray(made.labels), np.asarray(made.sample_ids), np.zeros(len(real), bool)
    for train, test in real.folds(FOLDS):
        kept = ~np.isin(ids, real.sample_ids[test])
        standard = Standard.of(emulated[kept])
        x = np.concatenate([standard(emulated[kept]), standard(own[train])])
        weight = np.concatenate([np.ones(int(kept.sum())), np.full(len(train), TEN)])
        fitted = LogisticRegression(C=STRENGTH, max_iter=ITERATIONS).fit(
            x, np.concatenate([labels[kept], real.labels[train]]), sample_weight=weight
        )
        right[test] = fitted.predict(standard(own[test])) == real.labels[test]
    return {
        "both_cross_entropy": float(right.mean()),
        "both_cross_entropy_ci95": wilson(float(right.mean()), len(real)),
    }
