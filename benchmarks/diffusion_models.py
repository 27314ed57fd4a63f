"""The models of the diffusion study, trained one after the other into a folder; a stopped run goes on.

    SPIKESIM_SHARED=DIR [DIFFUSION_SEED=1] [DIFFUSION_PRECISION=bfloat16] python -m benchmarks.diffusion_models OUT [NAME ...]

MNIST as 16 x 16 pixels, U-Net of width 32, multipliers 1-2-2, two blocks, T = 4. Some minutes of one core for each (`seconds`).

All answer the velocity (`spikesim/diffusion/denoiser.py`), but for those named "-noise", which answer the noise as published.

relu        the spiking net's layers with ReLU and batch normalisation: what it starts from
snn         spiking, from relu's weights
taught      snn trained on, on what ann answers
taught-on   taught, by twice as much again
classes     taught, trained on to be asked for a digit
tsm         taught with temporal scales, trained on a little: the second stage
longer      taught, trained on by as much without them: what tsm and eight are compared with
eight       taught at T = 8, trained on by as much
ann         SiLU and group normalisation, from nothing, as many pictures as relu and snn together saw
quantised   relu with a quantised activation of 3 levels, trained on: what is converted at T = 3
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

import spikesim as ss
from benchmarks.harness import machine
from spikesim.core.files import write_json
from spikesim.diffusion.experiment import DiffusionExperiment
from spikesim.training import Training

PICTURES = 3200
"""Of an epoch: another choice of the 60,000 each time, less 512 that are held back."""
COMMON: dict[str, Any] = {
    "data": "mnist", "size": 16, "batch_size": 32, "per_epoch": PICTURES, "validation": 512
}  # fmt: skip
TRAINING: dict[str, Any] = {"learning_rate": 2e-3, "weight_decay": 0.0, "ema": 0.99, "clip": 1.0}


@dataclass(frozen=True)
class Model:
    """How one is made: settings beside the common ones, epochs, what it starts from, and whose answers it learns."""

    epochs: int
    settings: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    start: str = ""
    teacher: str = ""


VELOCITY: dict[str, Any] = {"answer": "velocity"}
BATCH_ANN: dict[str, Any] = {"activation": "relu", "steps": 1}
GROUP_ANN: dict[str, Any] = {"activation": "swish", "steps": 1, "norm": "group"}
SLOWER: dict[str, Any] = {"learning_rate": 1e-3}
AGAIN: dict[str, Any] = {"learning_rate": 5e-4}
MODELS = {
    "relu": Model(30, {**BATCH_ANN, **VELOCITY}),
    "snn": Model(24, VELOCITY, SLOWER, "relu"),
    "taught": Model(12, VELOCITY, SLOWER, "snn", "ann"),
    "taught-on": Model(24, VELOCITY, SLOWER, "taught", "ann"),
    "classes": Model(9, {**VELOCITY, "conditional": True}, SLOWER, "taught"),
    "tsm": Model(3, {**VELOCITY, "temporal": True}, AGAIN, "taught", "ann"),
    "longer": Model(3, VELOCITY, AGAIN, "taught", "ann"),
    "eight": Model(3, {**VELOCITY, "steps": 8}, AGAIN, "taught", "ann"),
    "ann": Model(54, {**GROUP_ANN, **VELOCITY}),
    "quantised": Model(10, {**BATCH_ANN, **VELOCITY, "activation": "quantised"}, SLOWER, "relu"),
    "relu-noise": Model(30, BATCH_ANN),
    "snn-noise": Model(24, {}, SLOWER, "relu-noise"),
    "ann-noise": Model(54, GROUP_ANN),
    "classes-noise": Model(9, {"conditional": True}, SLOWER, "snn-noise"),
}


def experiment_of(name: str, out: Path) -> tuple[DiffusionExperiment, Training]:
    """Its settings."""
    model = MODELS[name]
    others = {name: str(out / found) for name in ("start", "teacher") if (found := getattr(model, name))}
    settings = DiffusionExperiment.of(**COMMON, **model.settings, **others)
    precision = os.environ.get("DIFFUSION_PRECISION", "float32")
    return settings, Training(epochs=model.epochs, precision=precision, **{**TRAINING, **model.training})


def train(name: str, out: Path, seed: int = 0) -> None:
    """One model into OUT/NAME, unless it is there."""
    where = out / name
    if (where / "model" / "diffusion.json").exists():
        return
    for other in (MODELS[name].start, MODELS[name].teacher):
        if other:
            train(other, out, seed)
    settings, training = experiment_of(name, out)
    where.mkdir(parents=True, exist_ok=True)
    model, history = settings.run(
        training, seeds=ss.Seeds(seed), root=Path(os.environ.get("SPIKESIM_SHARED", ".")).resolve(),
        checkpoint=where / "checkpoint.safetensors",
        watch=lambda e: print(f"{name} {e.number}/{training.epochs} {e.loss:.4f} {e.validation} {e.seconds:.0f} s", flush=True),
    )  # fmt: skip
    model.save(where / "model")
    rows = [asdict(e) for e in history]
    write_json(where / "train.json", {**machine(), "seconds": sum(e.seconds for e in history), "history": rows})


if __name__ == "__main__":
    torch.set_num_threads(1)
    for wanted in sys.argv[2:] or MODELS:
        train(wanted, Path(sys.argv[1]), int(os.environ.get("DIFFUSION_SEED", "0")))
