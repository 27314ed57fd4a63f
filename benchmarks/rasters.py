"""Recipes on recordings: how far each is from its ANN, by T. Embedded recordings, the demo's network, seed 0.

Unsigned spikes have a floor that does not fall with T; signed ones without headroom fall behind bursts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import spikesim as ss
from spikesim.cli.demo_study import small_cnn
from spikesim.conversion import Headroom, Recipe
from spikesim.conversion.recipe import at_maxima
from spikesim.datasets import load
from spikesim.evaluation import evaluate, evaluate_ann, paired_gap
from spikesim.training import CrossEntropy, TensorBatches, Training, fit
from spikesim.training.augment import RandomAffine


def measure(epochs: int = 20, samples: int = 360, steps: tuple[int, ...] = (8, 16, 32, 64)) -> list[dict[str, Any]]:
    """Rows {name, steps, accuracy, gap, gap_standard_error, output_error, ann_accuracy, samples, chance}."""
    digits = load("digits")
    train, test = digits.part("train"), digits.part("test").subset(np.arange(samples))
    torch.manual_seed(0)
    ann = small_cnn()
    batches = TensorBatches(train.frames(), torch.tensor(train.labels), 64, RandomAffine())
    training = Training(epochs=epochs, learning_rate=5e-3, weight_decay=0.05)
    fit(ann, batches, CrossEntropy(0.1), training, seeds=ss.Seeds(0))
    reference = evaluate_ann(ann, test)
    recipes: dict[str, str | Recipe] = {"max (unsigned)": "max", "signed": "signed", "auto": "auto"}
    recipes |= {f"signed, headroom {f}": Recipe(f"h{f}", (*at_maxima(), Headroom(f))) for f in (2.0, 4.0)}
    rows = []
    for name, recipe in recipes.items():
        network, report = ss.convert(ann, calibration=train, recipe=recipe, steps=32)
        for t in steps:
            found = evaluate(network, test, steps=t)
            gap, error = paired_gap(reference.right, found.right)
            off = float(np.linalg.norm(found.scores - reference.scores) / np.linalg.norm(reference.scores))
            rows.append(
                {
                    "name": report.recipe if recipe == "auto" else name, "auto": recipe == "auto", "steps": t,
                    "accuracy": found.accuracy, "gap": gap, "gap_standard_error": error, "output_error": off,
                    "ann_accuracy": reference.accuracy, "samples": samples, "chance": 0.1, "seed": 0,
                }
            )  # fmt: skip
    return rows
