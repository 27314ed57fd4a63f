"""Recipes by T on the networks of `cifar_nets`, beside SpikingJelly 2.0's converter on the same weights and images.

    .venv-peers/bin/python -m benchmarks.cifar_recipes resnet20 [RECIPE ...]    # some cells; -qcfs: fine-tuned copies
    .venv-peers/bin/python -m benchmarks cifar_recipes                          # what is missing, and the results
    python -m benchmarks.cifar_recipes --record                                 # the cells there are, as results
    python -m benchmarks.cifar_table                                            # tables and figure of the results

Every contender is calibrated with the same 512 training images, unlabelled, and shown test images in an order drawn with
seed 0, the first IMAGES of them or all, at every step; the answer is the mean of the outputs. A cell (network, contender,
T) is a line of $SPIKESIM_WORK/cifar/cells.jsonl as soon as it is known, with which images were right, so that any two can
be paired.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import spikesim as ss
from benchmarks.cifar_nets import CALIBRATION, NETS, SUFFIX, folder, images, trained
from benchmarks.harness import record

STEPS = (1, 2, 4, 8, 16, 32, 64)
IMAGES, ALL, BATCH = 1000, 8000, 100
"""Test images of most cells, of those that decide something, and of one batch."""

UPDATES, UPDATE_BATCH = 300, 32
"""Batches that SpikingJelly's local threshold balancing is shown, and images in each."""

TOGETHER = 800
"""Images times steps that a run of ours holds at once: it keeps whole layers over all steps."""

PEER = "SpikingJelly 2.0"
THEIRS = ("LTB", "99.9 %", "max", "99.9 %, channels, half")
"""SpikingJelly's recipes: the three of its documentation, and its rate coding with per-channel thresholds, membranes at
half a threshold and pools before the neurons."""

Cell = dict[str, Any]
Answers = Iterator[tuple[int, Tensor]]
"""(T, scores (B, classes)) of the images of one batch, in order for each T."""


@dataclass(frozen=True)
class Plan:
    """What is run of a recipe of ours: T up to `longest`; all from one run where the recipe is the same for every T.

    whole  T whose runs are shown all test images
    """

    recipe: str
    steady: bool = False
    longest: int = 64
    whole: tuple[int, ...] = ()

    def steps(self) -> tuple[int, ...]:
        """T of every run."""
        least = 2 if self.recipe == "cos" else 1
        return (self.longest,) if self.steady else tuple(t for t in STEPS if least <= t <= self.longest)

    def images(self, steps: int) -> int:
        """Test images of the run of T = steps."""
        return ALL if steps in self.whole else IMAGES


OURS = (
    Plan("auto"), Plan("ltb", True), Plan("max", True), Plan("binary", longest=32), Plan("levels", longest=8),
    Plan("cos", longest=16), Plan("signed", longest=32), Plan("advanced", longest=16), Plan("burst", longest=16),
)  # fmt: skip
"""Our recipes; "levels" has 4 event lines and "burst" up to 3 spikes a step, all others one."""

TUNED = (
    Plan("max", True, 16, (16,)), Plan("signed", True, 16, (16,)), Plan("cos", longest=16), Plan("binary", longest=16, whole=(8,)),
)  # fmt: skip
"""For quantised networks, whose thresholds are trained: "max" is binary spikes as they are, "binary" has its biases
calibrated too."""


def ours(ann: nn.Module, calibration: Tensor, plan: Plan, steps: int) -> Callable[[Tensor], Answers]:
    """Our network for T = steps."""
    network, report = ss.convert(ann, calibration=calibration, steps=steps, recipe=plan.recipe)
    print(report, flush=True)

    def answers(x: Tensor) -> Answers:
        for part in x.split(max(1, TOGETHER // steps)):
            run = ss.run(network, part, steps=steps)
            if not plan.steady:
                yield steps, run.readout
                continue
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
    rows = torch.randint(len(calibration), (UPDATES, UPDATE_BATCH), generator=draw)
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
    made: Callable[[Tensor], Answers], x: Tensor, labels: np.ndarray, wanted: np.ndarray, about: Cell
) -> Iterator[Cell]:
    """One cell per T: which of the images x were right, beside what the ANN answers (`wanted`, classes)."""
    started, answers = time.perf_counter(), dict[int, list[Tensor]]()
    with torch.inference_mode():
        for part in x.split(BATCH):
            for steps, scores in made(part):
                answers.setdefault(steps, []).append(scores.argmax(1))
    for steps, parts in answers.items():
        said = torch.cat(parts).numpy()
        agreement = float((said == wanted).mean())
        yield about | scored(said, labels) | {
            "steps": steps, "agreement": agreement, "run_s": round(time.perf_counter() - started, 1),
        }  # fmt: skip


def scored(said: np.ndarray, labels: np.ndarray) -> Cell:
    """Accuracy, and which were right as hexadecimal digits."""
    right = said == labels
    return {"accuracy": float(right.mean()), "samples": len(labels), "right": np.packbits(right).tobytes().hex()}


def rights(cell: Cell) -> np.ndarray:
    """(N,) bool of a cell: which images were right."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(cell["right"]), np.uint8))[: cell["samples"]].astype(bool)


def subset() -> tuple[Tensor, Tensor, np.ndarray]:
    """Calibration images, test images and their labels; kept in a file, because decoding all JPEGs takes a while."""
    path = folder() / "subset.safetensors"
    if not path.exists():
        train, _, test = images()
        rows = np.random.default_rng(0).permutation(len(test.x))[:ALL]
        calibration = train.x[np.random.default_rng(0).permutation(len(train.x))[:CALIBRATION]]
        labels = torch.tensor(np.asarray(test.labels)[rows])
        save_file({"calibration": calibration, "x": test.x[rows], "labels": labels}, path)
    found = load_file(path)
    return found["calibration"], found["x"], found["labels"].numpy()


def known(path: Path) -> list[Cell]:
    """The cells of a file, or none."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def fill(
    net: str, recipes: tuple[str, ...] = (), *, path: Path, data: tuple[Tensor, Tensor, np.ndarray],
    build: Callable[[str], nn.Module] = trained, plans: tuple[Plan, ...] = (), peers: tuple[str, ...] | None = None,
) -> None:  # fmt: skip
    """Measure the runs of a network that are not in the file yet; recipes: only these ("theirs" for all of the peer's)."""
    tuned = net.endswith(SUFFIX)
    plans = plans or (TUNED if tuned else OURS)
    peers = (() if tuned else THEIRS) if peers is None else peers
    there, (calibration, x, labels) = {(c["net"], c["source"], c["recipe"], c["steps"]) for c in known(path)}, data
    with torch.inference_mode():
        wanted = torch.cat([build(net)(part.clone()).argmax(1) for part in x.split(BATCH)]).numpy()
    if (net, "ANN", "", 0) not in there:
        _append(path, [{"net": net, "source": "ANN", "recipe": "", "steps": 0, **scored(wanted, labels)}])
    for source, recipe, steps, n, make in [
        *((PEER, r, STEPS[-1], IMAGES, lambda r=r, t=STEPS[-1]: theirs(build(net), calibration, r, t)) for r in peers),
        *(
            ("spikesim", p.recipe, t, p.images(t), lambda p=p, t=t: ours(build(net), calibration, p, t))
            for p in plans for t in p.steps()
        ),
    ]:  # fmt: skip
        unasked = recipes and recipe not in recipes and not (source == PEER and "theirs" in recipes)
        if unasked or (net, source, recipe, steps) in there:
            continue
        started = time.perf_counter()
        made = make()  # type: ignore[no-untyped-call]
        about = {"net": net, "source": source, "recipe": recipe, "convert_s": round(time.perf_counter() - started, 1)}
        _append(path, cells(made, x[:n], labels[:n], wanted[:n], about))


def _append(path: Path, found: Iterable[Cell]) -> None:
    for cell in found:
        with path.open("a") as file:
            file.write(json.dumps(cell) + "\n")
        print({k: v for k, v in cell.items() if k != "right"}, flush=True)


def measure() -> list[Cell]:
    """Every cell of every network, after measuring what is missing."""
    path = folder() / "cells.jsonl"
    torch.set_num_threads(1)
    for net in NETS:
        for name in (net, net + SUFFIX):
            fill(name, path=path, data=subset())
    return known(path)


if __name__ == "__main__":
    torch.set_num_threads(1)
    cells_file = folder() / "cells.jsonl"
    if sys.argv[1] == "--record":
        print(record("cifar_recipes", known(cells_file)))
    else:
        fill(sys.argv[1], tuple(sys.argv[2:]), path=cells_file, data=subset())
