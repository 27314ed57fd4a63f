"""`spikesim train FILE.toml` with a `[diffusion]` table: a denoiser, for `spikesim sample OUT`.

OUT/experiment.toml   the file              OUT/log.csv, training.png   loss and explained noise by epoch
OUT/model             the result            OUT/checkpoint.safetensors  to go on from          OUT/train.json
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from .common import finish
from .train import begin, watched, write_log


def train_diffusion(
    file: Path, out: Path, data: Path | None, seed: int, resume: bool, tensorboard: bool, as_json: bool
) -> None:
    """Train from a TOML file into a folder; run again to resume."""
    from ..core.files import folder, write_json
    from ..core.seeds import Seeds
    from ..diffusion.experiment import DiffusionExperiment
    from ..training import Training
    from ..training.processes import joined

    experiment, training = DiffusionExperiment.from_toml(file), Training.from_toml(file)
    folder(out, "--out")
    checkpoint = out / "checkpoint.safetensors"
    with joined() as processes:
        if processes.first:
            begin(file, out, checkpoint, resume)
        with watched(training.epochs, "explained", out if tensorboard and processes.first else None) as (
            watch,
            watch_steps,
        ):
            model, history = experiment.run(
                training, seeds=Seeds(seed), root=data, checkpoint=checkpoint, watch=watch, watch_steps=watch_steps
            )
        if not processes.first:
            return
        model.save(out / "model")
        rows = [asdict(e) for e in history]
        write_log(out, rows, None, f"explained {model.about.answer}")
        parameters = sum(p.numel() for p in model.network.parameters())
        result = {**asdict(model.about), "parameters": parameters, "processes": processes.size, "history": rows}
        write_json(out / "train.json", result)
        last = history[-1]
        text = (
            f"{parameters} parameters, mean squared error of the {model.about.answer} {last.loss:.4f}; written: {out}"
        )
        finish(result, [text, f"next: spikesim sample {out}"], as_json)
