"""The demo's study: train, convert, simulate each fold; deploy and price chips on the first. Jobs return JSON values.

Accuracies on recordings that come without enough test samples are out-of-fold: every recording is tested once, by a
network that has not seen it; ANN and SNN are compared on the same recordings. Nothing is chosen on test data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import spikesim as ss
from spikesim import hardware

from ..core.seeds import Seeds
from ..evaluation import evaluate, evaluate_ann
from ..hardware.study import one_chip
from ..neurons import Neuron
from ..training import CrossEntropy, TensorBatches, Training, fit
from ..training.augment import RandomAffine

STEPS = (1, 2, 4, 8, 16, 32)
"""Numbers of time steps at which the spiking network is tested."""

REPEATS = 8
"""Steps at which the baseline that shows the whole frame at every step is run."""

CHIP_STEPS = 8
"""Time steps at which chips are run."""


def small_cnn(width: int = 16) -> nn.Sequential:
    """The demo's ReLU network for two-channel 34x34 frames of event counts; (B, 2, 34, 34) -> (B, 10)."""
    return nn.Sequential(
        nn.Conv2d(2, width, 9, stride=2, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        nn.Conv2d(width, 2 * width, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(2 * width), nn.ReLU(),
        nn.Conv2d(2 * width, 2 * width, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(2 * width), nn.ReLU(),
        nn.Dropout(0.5), nn.Flatten(), nn.Linear(32 * width, 10),
    )  # fmt: skip


def run_fold(
    data: Any, rows: tuple[np.ndarray, np.ndarray], fold: int, epochs: int, seeds: Seeds, out: Path
) -> dict[str, Any]:
    """Train on the fold's training rows, convert, test ANN and SNN on its test rows; the network goes to `out`."""
    train, test = (data.subset(r) for r in rows)
    here = seeds.child("fold", fold)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(here.child("weights").key & 0x7FFF_FFFF)
        ann = small_cnn().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    frames = train.frames()
    batches = TensorBatches(frames, torch.tensor(train.labels), 64, RandomAffine())
    training = Training(epochs=epochs, learning_rate=5e-3, weight_decay=0.05)
    history = fit(ann, batches, CrossEntropy(0.1), training, seeds=here.child("training"))
    network, report = ss.convert(ann, calibration=train, steps=STEPS[-1])
    ss.save(network, out / f"network-{fold}")
    reference = evaluate_ann(ann, test)
    right = {str(t): evaluate(network, test, steps=t, seeds=here).right.tolist() for t in STEPS}
    repeated = _shown_at_every_step(network, test)
    return {
        "fold": fold, "samples": len(test), "ann_right": reference.right.tolist(), "snn_right": right,
        "repeated_right": repeated, "training_accuracy": history[-1].accuracy, "layers": report.to_json()["layers"],
        "recipe": report.recipe, "reason": report.reason,
    }  # fmt: skip


def chip_of_fold(
    data: Any, rows: np.ndarray, out: Path, macro: str, index: int, seeds: Seeds, board: str
) -> dict[str, Any]:
    """Chip number `index` with the first fold's network, on that fold's test rows; priced on `board` too."""
    network, design = ss.load(out / "network-0"), hardware.load_macro(macro)
    return one_chip(network, data.subset(rows), design, index, CHIP_STEPS, seeds, hardware.load_macro(board))


def _shown_at_every_step(network: ss.Network, test: Any) -> list[bool]:
    """The named baseline: the whole frame shown at every step, which is not a simulation of the recording."""
    with torch.inference_mode():
        scores = ss.run(network, test.frames(), steps=REPEATS).readout
    return (scores.argmax(1).numpy() == np.asarray(test.labels)).tolist()


def sample_run(network: ss.Network, test: Any, seeds: Seeds) -> dict[str, np.ndarray]:
    """One recording through the network for the pictures: spikes per layer, membranes of four neurons."""
    neurons = [name for name, node in network.nodes.items() if isinstance(node, Neuron)]
    steps = STEPS[-1]
    with torch.inference_mode():
        raster = test.raster(steps, np.array([0]))
        run = ss.run(network, raster, record=[*neurons, f"{neurons[0]}.v"], seeds=seeds)
    spikes = {name: run.recording[name][:, 0].flatten(1).numpy() for name in neurons}
    rate = np.abs(spikes[neurons[0]]).mean(0)
    busy = np.argsort(np.abs(rate - 0.25), kind="stable")[:4]  # neither silent nor firing at every step
    thresholds = network.bound(steps).node(neurons[0]).threshold  # type: ignore[union-attr]
    shape = run.recording[neurons[0]].shape[2:]
    return {
        **{f"spikes:{name}": layer for name, layer in spikes.items()},
        "traces": run.recording[f"{neurons[0]}.v"][:, 0].flatten(1).numpy()[:, busy],
        "trace_spikes": spikes[neurons[0]][:, busy],
        "trace_thresholds": thresholds.expand(shape).flatten().numpy()[busy],  # type: ignore[operator]
    }
