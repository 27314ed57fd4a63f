"""`spikesim convert MODEL --calibrate DATA --test DATA --steps 1,8,32`: an ANN into a spiking network, and its cost."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from .common import DATA_HELP, Json, Out, Root, Seed, Threads, finish, limited, read_part, steps_list
from .models import ANN_HELP, read_ann


def convert(
    model: Annotated[str, typer.Argument(help=ANN_HELP)],
    calibrate: Annotated[str, typer.Option(help=f"Calibration data. {DATA_HELP}")] = "digits",
    test: Annotated[str, typer.Option(help=f"Test data. {DATA_HELP}")] = "digits",
    weights: Annotated[Path | None, typer.Option(help=".safetensors, or a torch file of tensors.")] = None,
    steps: Annotated[str, typer.Option(help="Time steps to report, like 1,8,32.")] = "1,8,32",
    recipe: Annotated[str, typer.Option(help="Conversion recipe.")] = "auto",
    out: Out = Path("converted"),
    data: Root = None,
    seed: Seed = 0,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Convert a trained ANN, report what it lost at each T, and save the network."""
    import spikesim as ss

    from ..core.files import folder, write_json
    from ..evaluation import evaluate, evaluate_ann, paired_gap

    started, wanted = time.perf_counter(), steps_list(steps)
    ann, transform = read_ann(model, weights)
    folder(out, "--out")
    learn, held_out = (transform(read_part(d, p, data)) for d, p in ((calibrate, "train"), (test, "test")))
    with limited(threads):
        network, report = ss.convert(ann, calibration=learn, recipe=recipe)
        reference = evaluate_ann(ann, held_out)
        runs = {t: evaluate(network, held_out, steps=t, seeds=ss.Seeds(seed)) for t in wanted}
    gaps = {t: paired_gap(reference.right, run.right) for t, run in runs.items()}
    result = {
        "ann_accuracy": reference.accuracy,
        "snn_accuracy": {str(t): run.accuracy for t, run in runs.items()},
        "gap": {str(t): {"mean": mean, "standard_error": error} for t, (mean, error) in gaps.items()},
        "samples": len(held_out), "recipe": report.recipe, "layers": report.to_json()["layers"],
        "seconds": time.perf_counter() - started,
    }  # fmt: skip
    ss.save(network, out)
    write_json(out / "convert.json", result)
    lines = [str(report), "", f"ANN {100 * reference.accuracy:.2f} % on {len(held_out)} test samples"]
    lines += [
        f"SNN T = {t:<4} {100 * runs[t].accuracy:6.2f} %   {100 * mean:+.2f} ± {100 * error:.2f} points against the ANN"
        for t, (mean, error) in gaps.items()
    ]
    finish(result, [*lines, f"saved in {out}"], as_json)
