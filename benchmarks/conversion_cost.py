"""What a conversion and a run of its network cost, on a stranger's ResNet-14 (CIFAR-10 as JPEG files).

    convert   seconds and peak memory of the whole process, 512 calibration images, each named recipe at T = 8
    run       1000 images at T = 8 against 8 passes of the ANN over the same images, in turn, same threads
    memory    peak memory of a run of 64 and of 1024 steps
    exit      mean number of steps with early exit at the accuracy of T = 32

`python -m benchmarks conversion_cost`; needs $SPIKESIM_SHARED, the folder of the shared data. Every conversion and
every memory figure is a process of its own: `python -m benchmarks.conversion_cost CASE ARGUMENT` prints one JSON line.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

import spikesim as ss
from spikesim.conversion import RECIPES
from spikesim.early_exit import chosen_confidence, evaluate_early
from spikesim.evaluation import evaluate, paired_gap

from .harness import spent
from .strangers import stranger

STEPS, IMAGES, THREADS = 8, 1000, 2
NAME = "cifar10_resnet14"


def convert_case(recipe: str) -> dict[str, Any]:
    """One conversion in this process: seconds of `convert`, peak memory in MiB."""
    ann, learn, _ = stranger(NAME, _folder())
    before = _peak()
    started = time.perf_counter()
    ss.convert(ann, calibration=learn.x, steps=STEPS, recipe=recipe)
    seconds = time.perf_counter() - started
    return {"name": "convert", "recipe": recipe, "steps": STEPS, "calibrated": len(learn), "seconds": round(seconds, 2),
            "peak_mib": round(_peak()), "peak_before_mib": round(before), "threads": torch.get_num_threads()}  # fmt: skip


def memory_case(steps: str) -> dict[str, Any]:
    """One run of 16 images in this process: peak memory in MiB."""
    ann, learn, held_out = stranger(NAME, _folder())
    network, _ = ss.convert(ann, calibration=learn.x[:64])
    before = _peak()
    with torch.inference_mode():
        ss.run(network, held_out.x[:16], steps=int(steps))
    return {
        "name": "memory",
        "steps": int(steps),
        "images": 16,
        "peak_mib": round(_peak()),
        "peak_before_mib": round(before),
    }


def measure() -> list[dict[str, Any]]:
    """Rows of all four kinds."""
    torch.set_num_threads(THREADS)
    rows = [_apart("convert", recipe) for recipe in ("auto", *RECIPES)]
    rows += [_apart("memory", str(steps)) for steps in (64, 1024)]
    ann, learn, held_out = stranger(NAME, _folder())
    x = held_out.x[:IMAGES]
    for recipe in ("signed", "binary", "levels"):
        network, _ = ss.convert(ann, calibration=learn.x, steps=STEPS, recipe=recipe)
        rows.append(_run_cost(ann, network, x, recipe))
    return [*rows, _exit(ann, learn, held_out)]


def _run_cost(ann: Any, network: ss.Network, x: torch.Tensor, recipe: str) -> dict[str, Any]:
    def passes() -> None:
        for part in x.split(250):
            ann(part)

    def simulated() -> None:
        for part in x.split(250):
            ss.run(network, part, steps=STEPS)

    with torch.inference_mode():
        times = spent({"ann": passes, "snn": simulated}, rounds=3)
    ratio = statistics.median(s / (STEPS * a) for s, a in zip(times["snn"], times["ann"]))
    return {"name": "run", "recipe": recipe, "steps": STEPS, "images": len(x), "threads": torch.get_num_threads(),
            "ann_pass_s": statistics.median(times["ann"]), "snn_s": statistics.median(times["snn"]),
            "ann_passes_per_step": round(ratio, 3)}  # fmt: skip


def _exit(ann: Any, learn: Any, held_out: Any) -> dict[str, Any]:
    network, _ = ss.convert(ann, calibration=learn.x, steps=32)
    confidence = chosen_confidence(network, learn, steps=32)
    full, early = evaluate(network, held_out, steps=32), evaluate_early(network, held_out, confidence, steps=32)
    gap, error = paired_gap(full.right, early.right)
    return {"name": "exit", "recipe": "auto", "steps": 32, "confidence": confidence.threshold, "accuracy": full.accuracy,
            "early_accuracy": early.accuracy, "gap_points": 100 * gap, "standard_error_points": 100 * error,
            "mean_steps": early.mean_steps, "samples": len(full.labels)}  # fmt: skip


def _apart(case: str, argument: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.conversion_cost", case, argument]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def _folder() -> Path:
    return Path(os.environ["SPIKESIM_SHARED"]).resolve()


def _peak() -> float:
    """Largest resident set so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    torch.set_num_threads(THREADS)
    print(json.dumps({"convert": convert_case, "memory": memory_case}[sys.argv[1]](sys.argv[2])))
