"""Pretraining as a bridge: epochs and seconds to the best accuracy of a run from scratch, pretraining counted and not.

    SPIKESIM_SHARED=DIR python -m benchmarks pretraining          # goes on where it stopped, also within a training
    PRETRAINING=pipe-S:fashion:0,nmnist:emulated:0 ...            # some cases: TASK:DATA:SEED
    python -m benchmarks.pretraining --record                     # the cases that are finished, as results

pipe-S    Fashion-MNIST: sharpened ANN at T = 1 -> LIF at T = 6, beside LIF at T = 6 from scratch
pipe-D    ODG events of Fashion-MNIST: ANN on their shifted sums -> LIAF -> LIF, beside LIF from scratch
nmnist    real N-MNIST recordings, one of five folds held out: ANN, LIAF and LIF on emulated recordings of other MNIST images,
          then LIF on the real training folds, beside LIF on these alone

Curves are accuracies on test samples after every epoch, of the last weights; nothing is chosen by them. The aim is the best of
the scratch run's epochs, so it is the one number that is favoured. Seconds are epochs times those of the stage's quickest epoch.
Both runs have the same network, batches and optimiser.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.harness import RESULTS, record, resumed
from spikesim.core.seeds import Seeds
from spikesim.datasets import (
    EventCamera,
    EventDataset,
    Images,
    emulate,
    load,
    load_images,
    odg_frames,
    reconstructed,
    unseen,
)
from spikesim.datasets.still_events import SMALL
from spikesim.network import Network
from spikesim.residual import FIRST, residual_network
from spikesim.training import Epoch, RasterBatches, ReadoutCrossEntropy, TensorBatches, Training, fit
from spikesim.training.pretraining import PipeD, PipeS, SharpenedReLU, Stage, cell, lif, pipe_d, pipe_s

Row = dict[str, Any]
TASKS = ("pipe-S:fashion", "pipe-D:fashion", "nmnist:emulated")
SIZES: dict[str, Row] = {
    "pipe-S:fashion": {"train": 2000, "test": 1000, "steps": 6, "scratch": 12, "pretraining": 12, "short": 4},
    "pipe-D:fashion": {"train": 2000, "test": 1000, "steps": 8, "scratch": 12, "pretraining": 12, "short": 4},
    "nmnist:emulated": {"train": 2000, "test": 198, "steps": 6, "scratch": 24, "pretraining": 12, "short": 4},
}
"""Samples, T, epochs: from scratch, of the ANN, of each later stage. nmnist: `train` counts emulated recordings; its last
stage, on real ones, is as long as from scratch."""
NETWORK: Row = {"blocks": (1, 1), "widths": (8, 16), "stem": (3, 1), "first_stride": 2}
LEARNING_RATE, BATCH = 5e-3, 64


def cases(names: list[str]) -> list[Row]:
    """One case for every TASK:DATA:SEED."""
    found = []
    for name in names:
        task, data, seed = name.split(":")
        key = f"{task}:{data}"
        found.append({"task": task, "data": data, "seed": int(seed), **SIZES[key], "widths": list(NETWORK["widths"])})
    return found


def measure() -> list[Row]:
    """A row for every case; PRETRAINING chooses some."""
    wanted = os.environ.get("PRETRAINING", ",".join(f"{task}:0" for task in TASKS))
    torch.set_num_threads(1)
    return resumed("pretraining", cases(wanted.split(",")), measured)


def measured(case: Row) -> Row:
    """Both ways of one case."""
    folder = work() / f"{case['task']}-{case['data']}-{case['seed']}"
    folder.mkdir(parents=True, exist_ok=True)
    return {"pipe-S": static, "pipe-D": dynamic, "nmnist": recordings}[case["task"]](case, folder)


def work() -> Path:
    """Where checkpoints are kept, outside the repository."""
    return Path(os.environ.get("SPIKESIM_WORK", Path.home() / ".cache" / "spikesim")) / "pretraining"


def shared(name: str) -> Path:
    return Path(os.environ.get("SPIKESIM_SHARED", "")) / name


def network(shape: tuple[int, int, int], activation: Callable[[], nn.Module], seed: int) -> Network:
    """The case's network, its weights drawn from the seed."""
    torch.manual_seed(Seeds(seed).child("weights").key & 0x7FFF_FFFF)
    return residual_network(shape, 10, activation, **NETWORK)


def training(epochs: int, learning_rate: float = LEARNING_RATE) -> Training:
    return Training(epochs=epochs, learning_rate=learning_rate)


def parts(images: Images, case: Row) -> tuple[Images, Images]:
    """The first training and test images."""
    assert images.split is not None
    train, test = (np.flatnonzero(images.split == part) for part in (0, 1))
    return images.subset(train[: case["train"]]), images.subset(test[: case["test"]])


def static(case: Row, folder: Path) -> Row:
    """pipe-S."""
    batches, test = (
        TensorBatches(a.x, torch.tensor(a.labels), BATCH)
        for a in (part.arrays() for part in parts(load_images(str(shared("fashion_mnist.npz"))), case))
    )
    seeds, shape = Seeds(case["seed"]), (1, 28, 28)
    plan = PipeS(training(case["pretraining"]), training(case["short"]), case["steps"])
    stages = list(
        pipe_s(network(shape, SharpenedReLU, case["seed"]), batches, plan, seeds=seeds, validation=test, folder=folder)
    )
    asked = ReadoutCrossEntropy(steps=case["steps"])
    return compared(case, folder, stages, lambda: network(shape, lif, case["seed"]), batches, test, asked)


def dynamic(case: Row, folder: Path) -> Row:
    """pipe-D on ODG events."""
    seeds, moving, still = Seeds(case["seed"]), [], []
    for part in parts(load_images(str(shared("fashion_mnist.npz"))), case):
        frames, kept = odg_frames(part, SMALL)
        labels = torch.tensor(kept.labels)
        planes = torch.from_numpy(np.stack([reconstructed(sample) for sample in frames]))[:, None]
        moving.append(TensorBatches(torch.from_numpy(frames).float(), labels, BATCH))
        still.append(TensorBatches(planes, labels, BATCH))
    short, side = training(case["short"]), 32
    # The planes show the same ten classes, so the last layer is taken over.
    plan = PipeD(training(case["pretraining"]), short, short, leave=(FIRST,))
    ann = network((1, side, side), nn.ReLU, case["seed"])
    liaf = network((2, side, side), lambda: cell(analog=True), case["seed"])
    stages = list(
        pipe_d(
            ann, liaf, still[0], moving[0], plan, seeds=seeds, still_validation=still[1], validation=moving[1],
            folder=folder,
        )
    )  # fmt: skip
    asked = ReadoutCrossEntropy()
    return compared(
        case, folder, stages, lambda: network((2, side, side), cell, case["seed"]), moving[0], moving[1], asked
    )


def emulated_without(held: EventDataset, count: int, seeds: Seeds) -> EventDataset:
    """Recordings of `count` MNIST training images, of which none is shown in `held` (an image's id is its recording's)."""
    images = unseen(load_images(str(shared("mnist.npz"))), held)
    assert images.split is not None
    rows = np.flatnonzero(images.split == 0)
    drawn = np.sort(seeds.child("images").generator().permutation(rows)[:count])
    return emulate(images.subset(drawn), EventCamera(), seeds)


def recordings(case: Row, folder: Path) -> Row:
    """Emulated MNIST, then real N-MNIST."""
    seeds = Seeds(case["seed"])
    data = load(shared("nmnist_small.npz"))
    assert isinstance(data, EventDataset)
    train, test = (data.subset(rows) for rows in data.folds(5, seed=case["seed"])[0])
    made = emulated_without(test, case["train"], seeds)
    real, held, moving = (RasterBatches(part, case["steps"], BATCH) for part in (train, test, made))
    # What the ANN sees is the mean over the steps that its twins see one by one.
    still = TensorBatches(made.frames() / case["steps"], torch.tensor(made.labels), BATCH)
    short, shape = training(case["short"]), (2, *data.sensor)
    plan = PipeD(training(case["pretraining"]), short, short, leave=(), mean_over=None)
    stages = list(
        pipe_d(
            network(shape, nn.ReLU, case["seed"]), network(shape, lambda: cell(analog=True), case["seed"]), still, moving,
            plan, seeds=seeds, validation=held, folder=folder,
        )
    )  # fmt: skip
    last, asked = stages[-1].network.train(), ReadoutCrossEntropy()
    history = fit(
        last, real, asked, training(case["scratch"], LEARNING_RATE / 2), seeds=seeds.child("real"), validation=held,
        checkpoint=folder / "real.safetensors",
    )  # fmt: skip
    stages.append(Stage("real", last, history))
    about = {"real_train": len(train), "real_test": len(test)}
    return about | compared(case, folder, stages, lambda: network(shape, cell, case["seed"]), real, held, asked)


def compared(
    case: Row, folder: Path, stages: list[Stage], build: Callable[[], Network], batches: Any, test: Any,
    asked: ReadoutCrossEntropy,
) -> Row:  # fmt: skip
    """The stages beside a run from scratch, and beside one as short as the last stage where that is shorter."""
    epochs = {"scratch": case["scratch"], "scratch, short": len(stages[-1].history)}
    if epochs["scratch, short"] == case["scratch"]:
        del epochs["scratch, short"]
    seeds = Seeds(case["seed"])
    runs = {
        name: fit(
            build(), batches, asked, training(count), seeds=seeds.child(name), validation=test,
            checkpoint=folder / f"{name.replace(', ', '-')}.safetensors",
        )
        for name, count in epochs.items()
    }  # fmt: skip
    return summary(stages, runs)


def summary(stages: list[Stage], runs: dict[str, list[Epoch]]) -> Row:
    """Curves, and when the last stage reaches the best of the scratch run."""
    aim = max(curve(runs["scratch"]))
    row: Row = {"aim": aim, "curves": {name: curve(history) for name, history in runs.items()}}
    row["curves"] |= {stage.name: curve(stage.history) for stage in stages}
    row["epoch_s"] = {name: quietest(history) for name, history in runs.items()}
    row["epoch_s"] |= {stage.name: quietest(stage.history) for stage in stages}
    row["last"] = {"scratch": curve(runs["scratch"])[-1], "pretrained": curve(stages[-1].history)[-1]}
    reached = first_at(runs["scratch"], aim), first_at(stages[-1].history, aim)
    before = sum(len(stage.history) for stage in stages[:-1])
    spent = sum(seconds_to(stage.history, len(stage.history)) or 0 for stage in stages[:-1])
    row["epochs"] = {"scratch": reached[0], "last stage": reached[1], "before": before}
    row["seconds"] = {
        "scratch": seconds_to(runs["scratch"], reached[0]), "last stage": seconds_to(stages[-1].history, reached[1]),
        "before": spent,
    }  # fmt: skip
    if reached[1] is not None and reached[0] is not None:
        row["epochs_ratio"] = reached[1] / reached[0]
        row["epochs_ratio_counted"] = (reached[1] + before) / reached[0]
        row["seconds_ratio"] = row["seconds"]["last stage"] / row["seconds"]["scratch"]
        row["seconds_ratio_counted"] = (row["seconds"]["last stage"] + spent) / row["seconds"]["scratch"]
    return row


def curve(history: list[Epoch]) -> list[float]:
    """Accuracy on test samples after every epoch; nothing where none was measured."""
    return [epoch.validation for epoch in history if epoch.validation is not None]


def quietest(history: list[Epoch]) -> float:
    """Seconds of the quickest epoch: all epochs of a stage are the same work, and the machine is shared."""
    return min(epoch.seconds for epoch in history)


def first_at(history: list[Epoch], aim: float) -> int | None:
    """The first epoch whose accuracy is at least `aim`."""
    return next((epoch.number for epoch in history if epoch.validation is not None and epoch.validation >= aim), None)


def seconds_to(history: list[Epoch], epoch: int | None) -> float | None:
    return None if epoch is None else epoch * quietest(history)


if __name__ == "__main__":
    if sys.argv[1:] == ["--record"]:
        lines = (RESULTS / "pretraining.part").read_text().splitlines()
        print(record("pretraining", [json.loads(line)[1] for line in lines]), time.strftime("%F"))
