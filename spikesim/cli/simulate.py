"""`spikesim simulate MODEL DATA --steps N`: a spiking network over recordings."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from .common import (
    DATA_HELP,
    Dt,
    Json,
    Out,
    Root,
    Seed,
    Steps,
    Threads,
    finish,
    limited,
    read_part,
)
from .models import MODEL_HELP, read_network


def simulate(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    dataset: Annotated[str, typer.Argument(metavar="DATA", help=DATA_HELP)] = "digits",
    steps: Steps = 32,
    record: Annotated[list[str] | None, typer.Option(help="Node whose output to keep (repeatable).")] = None,
    out: Out = Path("simulated"),
    dt: Dt = None,
    data: Root = None,
    seed: Seed = 0,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Simulate a spiking network on a data set: accuracy, spikes and synaptic operations per inference."""
    import spikesim as ss

    from ..core.files import folder, write_json
    from ..core.params import number
    from ..evaluation import evaluate

    number("--steps", steps, at_least=1, integer=True, remedy="the number of time steps to simulate")
    started, network = time.perf_counter(), read_network(model, dt)
    held_out, ledger = read_part(dataset, "test", data), ss.Ledger()
    folder(out, "--out")
    with limited(threads):
        found = evaluate(network, held_out, steps=steps, seeds=ss.Seeds(seed), ledger=ledger)
        kept = _recorded(network, held_out, steps, tuple(record or ()), ss.Seeds(seed))
    per_sample = {a: ledger.count(a) / ledger.samples for a in (ss.Action.spike_hop, ss.Action.digital_add)}
    result = {
        "accuracy": found.accuracy, "samples": len(held_out), "steps": steps,
        "spikes_per_inference": per_sample[ss.Action.spike_hop],
        "synaptic_additions_per_inference": per_sample[ss.Action.digital_add],
        "counts": list(ledger.rows()), "recorded": _written(out, kept), "seconds": time.perf_counter() - started,
    }  # fmt: skip
    write_json(out / "simulate.json", result)
    lines = [
        f"accuracy {100 * found.accuracy:.2f} % on {len(held_out)} samples at T = {steps}",
        f"{result['spikes_per_inference']:.0f} spikes, {result['synaptic_additions_per_inference']:.0f} synaptic additions"
        " per inference",
        f"written to {out}",
    ]
    finish(result, lines, as_json)


def _recorded(network, data, steps, names, seeds):  # type: ignore[no-untyped-def]
    """Outputs of the named nodes for the first samples, {node: (T, B, ...)}."""
    import torch

    import spikesim as ss

    if not names:
        return {}
    rows = list(range(min(8, len(data))))
    events = hasattr(data, "raster")
    x = data.raster(steps, rows) if events else data.frames()[rows]
    with torch.inference_mode():
        return ss.run(network, x, steps=None if events else steps, record=names, seeds=seeds).recording


def _written(out: Path, recording) -> dict[str, str]:  # type: ignore[no-untyped-def]
    """Each recording as a .npy file of the first samples; {node: file name}."""
    from ..core.files import write_array

    files = {name: f"{name.replace('.', '_')}.npy" for name in recording}
    for name, file in files.items():
        found = recording[name]
        write_array(out / file, (found.dense() if hasattr(found, "dense") else found).numpy())
    return files
