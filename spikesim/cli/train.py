"""`spikesim train FILE.toml`: train a model that a TOML file describes; stopped runs go on where they were."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .common import Json, Out, Root, Seed, finish, note


def train(
    file: Annotated[Path, typer.Argument(help="TOML with [model] build, [data] name and [training].")],
    out: Out = Path("train-out"),
    data: Root = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Train a model from a TOML file into a folder; run again to resume."""
    from ..core.files import folder, write_json, written
    from ..core.seeds import Seeds
    from ..datasets import load
    from ..evaluation import evaluate_ann
    from ..training import CrossEntropy, TensorBatches, Training, fit
    from ..training.experiment import read_experiment
    from .models import read_ann

    experiment = read_experiment(file)
    training = Training.from_toml(file)
    folder(out, "--out")
    part, test = (load(experiment.data, root=data).part(name) for name in ("train", "test"))
    import torch

    seeds = Seeds(seed)
    torch.manual_seed(seeds.child("weights").key & 0x7FFF_FFFF)
    model, _ = read_ann(experiment.model, None)
    batches = TensorBatches(part.frames(), torch.tensor(part.labels), experiment.batch_size)
    with written(out / "experiment.toml") as temporary:
        temporary.write_text(file.read_text())
    history = fit(
        model, batches, CrossEntropy(experiment.smoothing), training, seeds=seeds, checkpoint=out / "checkpoint.safetensors",
        watch=lambda e: note(f"epoch {e.number}/{training.epochs}  loss {e.loss:.4f}  accuracy {e.accuracy:.3f}"),
    )  # fmt: skip
    result = {
        "test_accuracy": evaluate_ann(model, test).accuracy, "test_samples": len(test),
        "history": [asdict(e) for e in history],
    }  # fmt: skip
    write_json(out / "train.json", result)
    finish(
        result, [f"test accuracy {result['test_accuracy']:.4f} on {len(test)} samples; checkpoint in {out}"], as_json
    )
