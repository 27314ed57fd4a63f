"""Direct training on real N-MNIST: a convolutional spiking network with surrogate gradients, five fixed folds.

Every recording is tested once, by a network that has not seen it; nothing is chosen on the test folds: settings are those of
`studies/train_nmnist.toml`, which `spikesim train` takes too. 990 recordings, batch normalisation in training, chance 10 %.
The aim: 95 % over the folds in 10 minutes on 2 cores. Resumable fold by fold; seeds are the folds' numbers.

    SPIKESIM_SHARED=FOLDER python -m benchmarks direct_training       FOLDER holds nmnist_small.npz
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import spikesim as ss
from benchmarks.harness import resumed
from spikesim.datasets import load
from spikesim.training import Training, fit
from spikesim.training.experiment import read_experiment

STUDY = Path(__file__).parent / "studies" / "train_nmnist.toml"
FOLDS = 5


def build() -> ss.Network:
    """Three convolutions with batch normalisation, LIF neurons, a linear readout: (T, B, 2, 34, 34) -> (T, B, 10)."""

    def lif() -> ss.LIF:
        return ss.LIF(0.7, 1.0, surrogate=ss.ATan(), detach_reset=True)

    return ss.Network.chain(
        nn.Conv2d(2, 16, 7, stride=2, bias=False), nn.BatchNorm2d(16), lif(),
        nn.Conv2d(16, 32, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(32), lif(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(64), lif(),
        nn.Dropout(0.3), nn.Flatten(), nn.Linear(1024, 10), input_shape=(2, 34, 34),
    )  # fmt: skip


def measure(data: Any = None, epochs: int | None = None, folds: int = FOLDS) -> list[dict[str, Any]]:
    """A row per fold, and one over all."""
    data = load(Path(os.environ["SPIKESIM_SHARED"]) / "nmnist_small.npz") if data is None else data
    rows = resumed(
        "direct_training", [{"fold": k} for k in range(folds)], lambda case: fold(data, case["fold"], epochs)
    )
    right = np.concatenate([row["right"] for row in rows])
    whole = {
        "fold": "all", "accuracy": float(right.mean()), "samples": len(right), "chance": 0.1,
        "standard_error": float(right.std(ddof=1) / len(right) ** 0.5), "seconds": sum(row["seconds"] for row in rows),
    }  # fmt: skip
    return [*({k: v for k, v in row.items() if k != "right"} for row in rows), whole]


def fold(data: Any, number: int, epochs: int | None = None) -> dict[str, Any]:
    """Train on four fifths, test on the rest."""
    experiment, training = read_experiment(STUDY), Training.from_toml(STUDY)
    training = training if epochs is None else replace(training, epochs=epochs)
    train, test = (data.subset(rows) for rows in data.folds(FOLDS)[number])
    assert not set(train.sample_ids.tolist()) & set(test.sample_ids.tolist())
    torch.manual_seed(number)
    network, loss, started = build(), experiment.asked(data), time.perf_counter()
    history = fit(network, experiment.batches(train, training=True), loss, training, seeds=ss.Seeds(number))
    seconds, right = time.perf_counter() - started, []
    for batch in experiment.batches(test, training=False).epoch(ss.Seeds(0)):
        with torch.no_grad():
            _, scores = loss(network, batch.x, batch.labels)
        right += (scores.argmax(1) == batch.labels).tolist()
    return {
        "fold": number, "accuracy": float(np.mean(right)), "samples": len(right), "seconds": seconds,
        "epochs": len(history), "threads": training.threads, "spikes_per_neuron": history[-1].spikes, "right": right,
    }  # fmt: skip
