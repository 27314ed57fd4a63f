"""`spikesim train FILE.toml`: train a model that a TOML file describes; stopped runs go on where they were.

OUT/experiment.toml        the file                   OUT/log.csv, training.png   loss and accuracy by epoch
OUT/train.json             what the run gave          OUT/checkpoint.safetensors  to go on from
OUT/network                a spiking network, for every other verb;    OUT/weights.safetensors   an ANN's weights
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from .common import Json, Out, Root, Seed, finish, note, progress


def train(
    file: Annotated[Path, typer.Argument(help="TOML with [training], and [experiment] or [diffusion].")],
    out: Out = Path("train-out"),
    data: Root = None,
    seed: Seed = 0,
    resume: Annotated[
        bool, typer.Option("--resume/--restart", help="Go on from the folder's checkpoint, or start over.")
    ] = True,
    tensorboard: Annotated[
        bool,
        typer.Option("--tensorboard", help="Also write epochs to OUT/tensorboard (needs the tensorboard package)."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Train an ANN, a spiking network or a diffusion model from a TOML file into a folder.

    Run again to resume, to the same bits. Under `torchrun --nproc-per-node N -m spikesim train FILE` every process takes its
    share of each batch.
    """
    from ..core.files import folder
    from ..core.seeds import Seeds
    from ..datasets import load
    from ..training import Training, accuracy_on, fit
    from ..training.experiment import read_experiment
    from ..training.processes import joined
    from ..training.tables import read_tables

    if "diffusion" in read_tables(file):
        from .train_diffusion import train_diffusion

        train_diffusion(file, out, data, seed, resume, tensorboard, as_json)
        return
    experiment, training = read_experiment(file), Training.from_toml(file)
    folder(out, "--out")
    checkpoint, seeds, found = out / "checkpoint.safetensors", Seeds(seed), load(experiment.data, root=data)
    train_part, test = (found if found.split is None else found.part(name) for name in ("train", "test"))
    kept, held = experiment.parted(train_part, seed)
    model, loss = _model(experiment, seeds), experiment.asked(found)
    with joined() as processes:
        if processes.first:
            begin(file, out, checkpoint, resume)
        batches = experiment.batches(kept, training=True)
        with watched(training.epochs, loss.scored, out if tensorboard and processes.first else None) as (
            watch,
            watch_steps,
        ):
            history = fit(
                model, batches, loss, training, seeds=seeds, checkpoint=checkpoint, watch=watch, watch_steps=watch_steps,
                validation=None if held is None else experiment.batches(held, training=False),
            )  # fmt: skip
        score = accuracy_on(model, loss, experiment.batches(test, training=False))
        if processes.first:
            result = {
                "test_accuracy": score, "test_samples": len(test), "processes": processes.size,
                "history": [asdict(e) for e in history],
            }  # fmt: skip
            _write(out, result, model)
            text = f"test accuracy {score:.4f} on {len(test)} samples; written: {out}"
            finish(result, [text], as_json)


def _model(experiment: Any, seeds: Any) -> Any:
    """The model, with weights drawn from the seeds: a Network where there are steps, else an ANN."""
    import torch

    from ..errors import ParameterError, must
    from ..network import Network
    from .models import read_ann

    torch.manual_seed(seeds.child("weights").key & 0x7FFF_FFFF)
    model, _ = read_ann(experiment.model, None)
    if isinstance(model, Network) != bool(experiment.steps):
        rule = "a spiking network, for steps above 0" if experiment.steps else "an ANN, for steps = 0"
        raise ParameterError(
            must("[experiment] model", rule, type(model).__name__, "give [experiment] steps to fit it")
        )
    return model


def begin(file: Path, out: Path, checkpoint: Path, resume: bool) -> None:
    """Leave the file in the folder, and no checkpoint where training starts over."""
    from ..core.files import written

    with written(out / "experiment.toml") as temporary:
        temporary.write_text(file.read_text())
    if not resume:
        checkpoint.unlink(missing_ok=True)


@contextmanager
def watched(epochs: int, scored: str, board: Path | None = None) -> Iterator[tuple[Any, Any]]:
    """What is called after epochs and steps: a line per epoch, and a bar with loss, score and the time that is left.

    board   a folder: epochs also go to its "tensorboard"
    """
    writer = None if board is None else _writer(board / "tensorboard")
    with progress(epochs, "training") as advance:

        def step(s: Any) -> None:
            done = s.epoch - 1 + s.done / s.of
            advance(f"epoch {s.epoch}/{epochs}  loss {s.loss:.4f}  {scored} {s.accuracy:.3f}", done)

        def epoch(e: Any) -> None:
            parts = [f"epoch {e.number}/{epochs}", f"loss {e.loss:.4f}", f"{scored} {e.accuracy:.3f}"]
            parts += [f"validation {e.validation:.3f}" for _ in [0] if e.validation is not None]
            parts += [f"spikes per neuron {e.spikes:.3f}" for _ in [0] if e.spikes is not None]
            note("  ".join([*parts, f"{e.seconds:.1f} s"]))
            if writer is not None:
                values = {"loss": e.loss, scored: e.accuracy, "learning rate": e.learning_rate}
                values |= {
                    k: v for k, v in (("validation", e.validation), ("spikes per neuron", e.spikes)) if v is not None
                }
                for name, value in values.items():
                    writer.add_scalar(name, value, e.number)
                writer.flush()

        yield epoch, step


def _writer(where: Path) -> Any:
    """TensorBoard's writer, an optional package. ParameterError where it is not installed."""
    from ..errors import ParameterError, must

    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        rule = "left out where the tensorboard package is not installed"
        raise ParameterError(must("--tensorboard", rule, "given", "pip install tensorboard")) from None
    return SummaryWriter(str(where))  # type: ignore[no-untyped-call]


def write_log(out: Path, rows: list[dict[str, Any]], test: float | None, scored: str) -> None:
    """The epochs as a table and a figure."""
    import csv
    import io

    from ..core.files import written
    from ..report.figures import training_curves

    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    with written(out / "log.csv") as temporary:
        temporary.write_text(text.getvalue())
    with written(out / "training.png") as temporary:
        training_curves(rows, test, scored).savefig(temporary, format="png", dpi=150)


def _write(out: Path, result: dict[str, Any], model: Any) -> None:
    from safetensors.torch import save_file

    from .. import checkpoint
    from ..core.files import write_json, written
    from ..network import Network

    write_log(out, result["history"], result["test_accuracy"], "accuracy")
    if isinstance(model, Network):
        checkpoint.save(model, out / "network")
    else:
        with written(out / "weights.safetensors") as temporary:
            save_file({k: v.detach().clone().contiguous() for k, v in model.state_dict().items()}, temporary)
    write_json(out / "train.json", result)
