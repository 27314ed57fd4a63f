"""Recipes by T on the networks of `cifar_nets`, beside SpikingJelly 2.0's converter on the same weights and images.

    .venv-peers/bin/python -m benchmarks.cifar_recipes resnet20 [CONTENDER ...]     # some cells
    .venv-peers/bin/python -m benchmarks cifar_recipes                              # what is missing, and the results
    .venv-peers/bin/python -m benchmarks.cifar_recipes --tables                     # tables and figure of the results

Every contender is calibrated with the same 512 training images, unlabelled, and shown the same IMAGES test images, drawn
with seed 0, at every step; the answer is the mean of the outputs. A cell (network, contender, T) is a line of
$SPIKESIM_WORK/cifar/cells.jsonl as soon as it is known, with which images were right, so that any two can be paired.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import spikesim as ss
from benchmarks.cifar_nets import NETS, folder, images, trained
from spikesim.conversion.recipe import STEADY

STEPS = (1, 2, 4, 8, 16, 32, 64)
IMAGES, CALIBRATION, BATCH = 1000, 512, 100
UPDATES, UPDATE_BATCH = 1000, 32
"""Batches that SpikingJelly's local threshold balancing is shown, and images in each."""

OURS = ("auto", "signed", "binary", "advanced", "cos", "levels", "burst", "max", "percentile", "ltb")
"""Our recipes; "levels" has 4 event lines and "burst" up to 3 spikes a step, all others one."""

THEIRS = ("99.9 %", "max", "LTB", "99.9 %, channels, half")
"""SpikingJelly's recipes: the three of its documentation, and its rate coding with per-channel thresholds, membranes at
half a threshold and pools before the neurons."""

Cell = dict[str, Any]
Answers = Iterator[tuple[int, Tensor]]
"""(T, scores (B, classes)) of one batch."""


def ours(ann: nn.Module, calibration: Tensor, recipe: str, steps: int) -> Callable[[Tensor], Answers]:
    """Our network for T = steps; where the recipe is the same for every T, all T up to `steps` from one run."""
    network, report = ss.convert(ann, calibration=calibration, steps=steps, recipe=recipe)
    print(report, flush=True)

    def answers(x: Tensor) -> Answers:
        run = ss.run(network, x, steps=steps)
        if recipe not in STEADY:
            yield steps, run.readout
            return
        sums = run.output.cumsum(0)
        yield from ((t, sums[t - 1] / t) for t in STEPS if t <= steps)

    return answers


def theirs(ann: nn.Module, calibration: Tensor, recipe: str, steps: int) -> Callable[[Tensor], Answers]:
    """SpikingJelly's network, all T up to `steps` from one run."""
    from spikingjelly.activation_based import functional
    from spikingjelly.activation_based.ann2snn import (  # type: ignore[import-not-found]
        Converter,
        LocalThresholdBalancingRecipe,
        RateCodingRecipe,
    )

    batches = list(calibration.split(64))
    draw = torch.Generator().manual_seed(0)
    rows = (torch.randint(len(calibration), (UPDATE_BATCH,), generator=draw) for _ in range(UPDATES))
    made = {
        "99.9 %": lambda: RateCodingRecipe(batches, mode="99.9%"),
        "max": lambda: RateCodingRecipe(batches, mode="max"),
        "LTB": lambda: LocalThresholdBalancingRecipe([calibration[r] for r in rows]),
        "99.9 %, channels, half": lambda: RateCodingRecipe(
            batches, mode="99.9%", channel_wise=True, half_threshold=True, pre_spike_maxpool=True
        ),
    }
    network = Converter(made[recipe]()).convert(ann).eval()

    def answers(x: Tensor) -> Answers:
        functional.reset_net(network)
        total: Any = 0.0
        for t in range(1, steps + 1):
            total = total + network(x)
            if t in STEPS:
                yield t, total / t

    return answers


def cells(
    ann: nn.Module, made: Callable[[Tensor], Answers], x: Tensor, labels: np.ndarray, wanted: np.ndarray, about: Cell
) -> Iterator[Cell]:
    """One cell per T: which of the images x were right, beside what the ANN answers (`wanted`, classes)."""
    started, answers = time.perf_counter(), dict[int, list[Tensor]]()
    with torch.inference_mode():
        for part in x.split(BATCH):
            for steps, scores in made(part):
                answers.setdefault(steps, []).append(scores.argmax(1))
    for steps, parts in answers.items():
        said = torch.cat(parts).numpy()
        yield about | {
            "steps": steps, "accuracy": float((said == labels).mean()), "agreement": float((said == wanted).mean()),
            "samples": len(labels), "right": packed(said == labels), "run_s": round(time.perf_counter() - started, 1),
        }  # fmt: skip


def packed(right: np.ndarray) -> str:
    """(N,) bool as hexadecimal digits."""
    return np.packbits(right).tobytes().hex()


def unpacked(cell: Cell) -> np.ndarray:
    """(N,) bool of a cell."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(cell["right"]), np.uint8))[: cell["samples"]].astype(bool)


def plan(contenders: tuple[str, ...] = ()) -> list[tuple[str, str, int]]:
    """(source, recipe, T) of every run: a recipe that is the same for every T is run once, at the largest."""
    found = [("SpikingJelly 2.0", recipe, STEPS[-1]) for recipe in THEIRS]
    for recipe in OURS:
        several = (STEPS[-1],) if recipe in STEADY else tuple(t for t in STEPS if recipe != "cos" or t > 1)
        found += [("spikesim", recipe, t) for t in several]
    return [run for run in found if not contenders or run[1] in contenders or f"{run[0]}:{run[1]}" in contenders]


@cache
def subset() -> tuple[Tensor, Tensor, np.ndarray]:
    """Calibration images, test images and their labels."""
    train, _, test = images()
    rows = np.sort(np.random.default_rng(0).permutation(len(test.x))[:IMAGES])
    calibration = train.x[np.random.default_rng(0).permutation(len(train.x))[:CALIBRATION]]
    return calibration, test.x[rows], np.asarray(test.labels)[rows]


def known(path: Path) -> list[Cell]:
    """The cells of a file, or none."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def fill(net: str, contenders: tuple[str, ...] = (), build: Callable[[str], nn.Module] = trained) -> None:
    """Measure the runs of a network that are not in the file yet."""
    path, (calibration, x, labels) = folder() / "cells.jsonl", subset()
    there = {(c["net"], c["source"], c["recipe"], c["steps"]) for c in known(path)}
    runs = [run for run in plan(contenders) if (net, *run) not in there]
    if not runs:
        return
    with torch.inference_mode():
        wanted = torch.cat([build(net)(part).argmax(1) for part in x.split(BATCH)]).numpy()
    if (net, "ANN", "", 0) not in there:
        ann_cell = {"net": net, "source": "ANN", "recipe": "", "steps": 0, "accuracy": float((wanted == labels).mean())}
        _append(path, [ann_cell | {"samples": len(labels), "right": packed(wanted == labels)}])
    for source, recipe, steps in runs:
        started = time.perf_counter()
        made = (ours if source == "spikesim" else theirs)(build(net), calibration, recipe, steps)
        about = {"net": net, "source": source, "recipe": recipe, "convert_s": round(time.perf_counter() - started, 1)}
        _append(path, cells(build(net), made, x, labels, wanted, about))


def _append(path: Path, found: Any) -> None:
    with path.open("a") as file:
        for cell in found:
            file.write(json.dumps(cell) + "\n")
            print({k: v for k, v in cell.items() if k != "right"}, flush=True)


def measure() -> list[Cell]:
    """Every cell of every network, after measuring what is missing."""
    torch.set_num_threads(1)
    for net in NETS:
        fill(net)
    return known(folder() / "cells.jsonl")


if __name__ == "__main__":
    torch.set_num_threads(1)
    fill(sys.argv[1], tuple(sys.argv[2:]))
