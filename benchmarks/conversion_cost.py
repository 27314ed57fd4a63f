"""What a conversion and a run of its network cost, on a stranger's ResNet-14 (CIFAR-10 as JPEG files).

    convert   seconds and peak memory of the whole process, 512 calibration images, each recipe, two threads
    run       1000 images at T = 8 against passes of the ANN over the same images, in turn, same threads
    memory    peak memory of a run of 64 and of 1024 steps
    exit      1000 images with early exit from T = 32: mean steps, and seconds against those of the whole run

Every row is measured in a process of its own, so that its memory is its own: it is handed the network and its inputs
as files. Memory includes the imports, about 350 MiB. `python -m benchmarks conversion_cost` needs $SPIKESIM_SHARED,
the folder of the shared data, and goes on where it was interrupted.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import spikesim as ss
from benchmarks.harness import median_ratio, resumed, spent
from benchmarks.strangers import ResNet14, stranger
from spikesim.conversion import RECIPES
from spikesim.datasets.base import ArrayDataset
from spikesim.early_exit import chosen_lead, evaluate_early
from spikesim.evaluation import evaluate

NAME, IMAGES, BATCH = "cifar10_resnet14", 1000, 100
Given = tuple[nn.Module, Tensor, ArrayDataset]
"""The ANN, its calibration inputs, its test inputs."""


def convert(given: Given, recipe: str, steps: int) -> dict[str, Any]:
    """One conversion, its report included; compiled kernels are on disk."""
    ann, learn, _ = given
    started = time.perf_counter()
    ss.convert(ann, calibration=learn, steps=steps, recipe=recipe)
    return {"calibrated": len(learn), "seconds": time.perf_counter() - started}


def run(given: Given, recipe: str, steps: int) -> dict[str, Any]:
    """A run of all images beside passes of the ANN."""
    ann, learn, held_out = given
    network, _ = ss.convert(ann, calibration=learn, steps=steps, recipe=recipe)
    parts = held_out.x.split(BATCH)
    with torch.inference_mode():
        times = spent(
            {
                "snn": lambda: [ss.run(network, x, steps=steps) for x in parts],
                "ann": lambda: [ann(x) for x in parts],
            },
            rounds=3,
        )
    return {
        "images": len(held_out), "snn_s": float(np.median(times["snn"])), "ann_pass_s": float(np.median(times["ann"])),
        "ann_passes_per_step": median_ratio(times["snn"], times["ann"]) / steps,
    }  # fmt: skip


def memory(given: Given, recipe: str, steps: int) -> dict[str, Any]:
    """A run of one batch over many steps."""
    ann, learn, held_out = given
    network, _ = ss.convert(ann, calibration=learn, recipe=recipe)
    before = _peak()
    with torch.inference_mode():
        ss.run(network, held_out.x[:BATCH], steps=steps)
    return {"images": BATCH, "peak_before_mib": before}


def leave(given: Given, recipe: str, steps: int) -> dict[str, Any]:
    """Early exit by leads that 256 calibration inputs choose, and the whole run."""
    ann, learn, held_out = given
    network, _ = ss.convert(ann, calibration=learn, steps=steps, recipe=recipe)
    shown = ArrayDataset(learn[:256], np.zeros(len(learn[:256]), np.int64))
    rule = chosen_lead(network, shown, steps=steps)
    started = time.perf_counter()
    early = evaluate_early(network, held_out, rule, steps=steps, batch=BATCH)
    middle = time.perf_counter()
    full = evaluate(network, held_out, steps=steps, batch=BATCH)
    seconds = {"early_s": middle - started, "whole_s": time.perf_counter() - middle}
    return {
        "images": len(held_out), "accuracy": full.accuracy,
        "early_accuracy": early.accuracy, "mean_steps": early.mean_steps, **seconds,
    }  # fmt: skip


MEASURES = {"convert": convert, "run": run, "memory": memory, "exit": leave}


def cases() -> list[dict[str, Any]]:
    """Everything that is measured."""
    converted = [("convert", recipe, steps, 2) for steps in (8, 32) for recipe in ("auto", *RECIPES)]
    runs = [("run", recipe, 8, threads) for recipe in ("signed", "levels", "binary") for threads in (1, 2)]
    rest = [("memory", "signed", 64, 1), ("memory", "signed", 1024, 1), ("exit", "signed", 32, 1)]
    return [dict(zip(("name", "recipe", "steps", "threads"), case)) for case in (*converted, *runs, *rest)]


def measure() -> list[dict[str, Any]]:
    """Rows {name, recipe, steps, threads, peak_mib ...}."""
    ann, learn, held_out = stranger(NAME, Path(os.environ.get("SPIKESIM_SHARED", "")).resolve())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.save(ann.state_dict(), folder / "weights.pt")
        shown = held_out.subset(range(IMAGES))
        np.savez(folder / "inputs.npz", learn=learn.x.numpy(), x=shown.x.numpy(), labels=shown.labels)
        del learn, held_out
        _apart(dict(name="convert", recipe="auto", steps=2, threads=2), folder)  # kernels are compiled, then on disk
        return resumed("conversion_cost", cases(), lambda case: _apart(case, folder))


def _apart(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A case in a process of its own."""
    threads = str(case["threads"])
    told = {**os.environ, "OMP_NUM_THREADS": threads, "NUMBA_NUM_THREADS": threads}
    command = [sys.executable, "-m", "benchmarks.conversion_cost", json.dumps(case), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1], env=told)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def alone(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A case in this process."""
    torch.set_num_threads(case["threads"])
    ann = ResNet14()
    nn.Module.load_state_dict(ann, torch.load(folder / "weights.pt", weights_only=True))
    with np.load(folder / "inputs.npz") as file:
        learn, held_out = torch.from_numpy(file["learn"]), ArrayDataset(torch.from_numpy(file["x"]), file["labels"])
    found = MEASURES[case["name"]]((ann.eval(), learn, held_out), case["recipe"], case["steps"])
    return {**found, "peak_mib": _peak()}


def _peak() -> int:
    """Largest resident set so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    sys.stdout.write(json.dumps(alone(json.loads(sys.argv[1]), Path(sys.argv[2]))) + "\n")
