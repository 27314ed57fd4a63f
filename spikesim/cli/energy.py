"""`spikesim energy MODEL DATA --macro M --chips N`: accuracy and joules on emulated chips."""

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
    progress,
    read_part,
    steps_list,
)
from .models import MODEL_HELP, read_network


def energy(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    dataset: Annotated[str, typer.Argument(metavar="DATA", help=DATA_HELP)] = "digits",
    macro: Annotated[str, typer.Option(help="Macro name or TOML file (`spikesim macros`).")] = "taox40-projected",
    chips: Annotated[int, typer.Option(help="Emulated chips to sample.")] = 4,
    steps: Steps = 16,
    compare: Annotated[
        str, typer.Option(help='Also compare these numbers of steps, like "1,4,16", with the ANN on the first chip.')
    ] = "",
    out: Out = Path("energy"),
    dt: Dt = None,
    data: Root = None,
    seed: Seed = 0,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Deploy a spiking network on emulated chips; price what the run counted."""
    from spikesim import hardware

    from ..core.files import folder, write_json
    from ..core.params import number
    from ..core.seeds import Seeds
    from ..hardware.energy import write_rows
    from ..jobs import parallel_map
    from .chips import averaged, chip_accuracy, compared, one_chip
    from .energy_report import write_report

    number("--steps", steps, at_least=1, integer=True, remedy="the number of time steps to simulate")
    number("--chips", chips, at_least=1, integer=True, remedy="the number of chips to sample")
    started, network = time.perf_counter(), read_network(model, dt)
    hardware.load_macro(macro)
    several = steps_list(compare) if compare else []
    held_out = read_part(dataset, "test", data)
    folder(out, "--out")
    jobs = [(network, held_out, macro, k, steps, Seeds(seed)) for k in range(chips)]
    found = []
    with progress(chips, "chips") as advance:
        for result in parallel_map(one_chip, jobs, workers=threads):
            found.append(result)
            advance()
    result = {
        "macro": macro, "steps": steps, "samples": len(held_out),
        "chip_accuracy": chip_accuracy([f["accuracy"] for f in found]), **averaged(found),
        "seconds": time.perf_counter() - started,
    }  # fmt: skip
    if several:
        result["comparison"] = compared(network, held_out, macro, several, Seeds(seed))
    write_json(out / "energy.json", result)
    write_rows(out / "energy.csv", found[0]["rows"])
    write_report(result, out)
    files = ", ".join(str(out / name) for name in ("report.html", "energy.csv", "energy.json"))
    beside = [result["comparison"]["text"]] if several else []
    finish(result, [found[0]["text"], *_summary(result), *beside, f"written: {files}"], as_json)


def _summary(result: dict) -> list[str]:  # type: ignore[type-arg]
    spread = result["chip_accuracy"]
    low, high = (100 * v for v in spread["ci95"])
    return [
        f"{spread['n']} chips: accuracy {100 * spread['mean']:.2f} % (95 % interval over chips {low:.2f} to {high:.2f}), "
        f"worst {100 * spread['worst']:.2f} %, {result['samples']} samples, T = {result['steps']}"
    ]
