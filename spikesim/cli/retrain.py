"""`spikesim retrain FILE.toml`: single-timestep retraining (IIR-SNN), the whole schedule unattended; stopped runs go on.

OUT/retrain.json, retrain.png    the table and its figure        OUT/T<k>   the network of every stage
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .common import Json, Out, Root, Seed, Threads, finish, limited, note


def retrain(
    file: Annotated[Path, typer.Argument(help="TOML with [retrain] (model, data, stages ...), [ann] and [snn].")],
    out: Out = Path("retrain-out"),
    data: Root = None,
    seed: Seed = 0,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Train an ANN, retrain it as a spiking network at T = 5, 4, 3, 2, 1, and compare. Run again to resume."""
    from ..core.files import folder, write_json, written
    from ..core.seeds import Seeds
    from ..report.figures import retraining
    from ..training.retraining import Study, read_retraining
    from .common import read_parts
    from .models import read_ann

    settings, ann, snn = read_retraining(file)
    parts = read_parts(settings.data, settings.data, data)
    folder(out, "--out")
    with written(out / "experiment.toml") as temporary:
        temporary.write_text(file.read_text())

    def tell(what: str, epoch: Any) -> None:
        found = [what, f"epoch {epoch.number}", f"loss {epoch.loss:.4f}", f"accuracy {epoch.accuracy:.3f}"]
        found += [f"validation {epoch.validation:.3f}" for _ in [0] if epoch.validation is not None]
        found += [f"spikes per neuron {epoch.spikes:.3f}" for _ in [0] if epoch.spikes is not None]
        note("  ".join([*found, f"{epoch.seconds:.1f} s"]))

    with limited(threads):
        study = Study(settings, ann, snn, parts, Seeds(seed), out, lambda name: read_ann(name, None)[0], tell)
        result = study.run()
    with written(out / "retrain.png") as temporary:
        retraining(result).savefig(temporary, format="png", dpi=150)
    write_json(out / "retrain.json", result)
    finish(result, [*table(result), f"written: {out}"], as_json)


def table(result: dict[str, Any]) -> list[str]:
    """The study on one screen."""
    lines = [
        f"ANN {100 * result['ann_accuracy']:.2f} % on {result['test_samples']} test samples "
        f"(chance {100 * result['chance']:.0f} %), {result['parameters']} parameters",
        "  T  accuracy  drop from before   spikes/neuron  energy ratio: paper's, counted   converted  ms/sample",
    ]
    for row in result["stages"]:
        drop, error = row["drop_from_before"]
        spikes = sum(row["spikes"].values()) / len(row["spikes"])
        beside = f"{100 * row['converted']['accuracy']:6.2f} %" if "converted" in row else "-"
        took = result["milliseconds_per_sample"][str(row["steps"])]
        lines.append(
            f"{row['steps']:3d}  {100 * row['accuracy']:6.2f} %  {drop:+6.2f} +- {error:4.2f}     {spikes:10.3f}  "
            f"{row['paper_ratio']:18.1f} {row['counted_ratio']:8.1f}   {beside:>13}  {took:9.3f}"
        )
    last = result["stages"][-1]
    if "direct" in last:
        ahead, error = last["ahead_of_direct"]
        lines.append(
            f"trained at T = {last['steps']} from random weights for {last['direct']['epochs']} epochs: "
            f"{100 * last['direct']['accuracy']:.2f} % (retraining is {ahead:+.2f} +- {error:.2f} points ahead)"
        )
    return lines
