"""Whether the figures of picture quality see damage that is known: real training digits, each set damaged in one way.

    SPIKESIM_SHARED=FOLDER python -m benchmarks picture_quality

FOLDER holds mnist.npz and checkpoints/mnist-8.onnx. Sets of 2000, 32 by 32 pixels, against test digits; neighbours are sought
among the other training digits.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

import spikesim as ss
from benchmarks.harness import resumed
from spikesim import diffusion

SAMPLES, SIDE = 2000, 32


def measure() -> list[dict[str, Any]]:
    """One row per damage {damage, quality, seconds}, and one per comparison with the whole set {damage, compared, seconds}."""
    root = Path(os.environ["SPIKESIM_SHARED"])
    looks = diffusion.classifier_of_file(root / "checkpoints" / "mnist-8.onnx", name="MNIST-8")
    with np.load(root / "mnist.npz") as file:
        training, real = (_shown(file[name]) for name in ("train_x", "test_x"))
        labels = torch.as_tensor(file["train_y"])
    order = torch.as_tensor(ss.Seeds(0).child("order").generator().permutation(len(training)))
    training, labels = training[order], labels[order]
    sets, rest = _damaged(training, labels), training[2 * SAMPLES :]

    def measured(case: dict[str, Any]) -> dict[str, Any]:
        made, started = sets[case["damage"]], time.perf_counter()
        if case["what"] == "quality":
            found: Any = diffusion.quality(made, real, looks, training=rest, seeds=ss.Seeds(1))
        else:
            found = diffusion.compared(sets["none"], made, real, looks, seeds=ss.Seeds(1))
        return {case["what"]: found.as_dict(), "seconds": time.perf_counter() - started}

    cases = [{"what": "quality", "damage": name} for name in sets]
    return resumed(
        "picture_quality", cases + [{"what": "compared", "damage": f"noise {s}"} for s in (0.02, 0.2)], measured
    )


def _shown(pixels: np.ndarray) -> Tensor:
    x = torch.as_tensor(pixels)[:, None].float() / 127.5 - 1
    return functional.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True).clamp(-1, 1)


def _damaged(training: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Sets of as many pictures, of the first 2 SAMPLES of those."""
    whole, other = training[:SAMPLES], training[SAMPLES : 2 * SAMPLES]
    noise = torch.randn(whole.shape, generator=ss.Seeds(2).torch())
    mixed = whole.clone()
    mixed[::10] = noise[::10].clamp(-1, 1)
    both = torch.cat([whole, other])[torch.cat([labels[:SAMPLES], labels[SAMPLES : 2 * SAMPLES]]) != 7]
    return {
        "none": whole,
        "noise 0.02": (whole + 0.02 * noise).clamp(-1, 1),
        "noise 0.2": (whole + 0.2 * noise).clamp(-1, 1),
        "blurred 3x3": functional.avg_pool2d(whole, 3, 1, 1),
        "a tenth noise": mixed,
        "no 7": both[:SAMPLES],
        "100 pictures, 20 times": whole[:100].repeat(20, 1, 1, 1),
        "blends": (whole + other) / 2,
        "copies": training[2 * SAMPLES : 3 * SAMPLES],
    }
