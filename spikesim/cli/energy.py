"""`spikesim energy MODEL DATA --macro M --chips N`: accuracy and joules on emulated chips."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import ParameterError, must
from .common import (
    DATA_HELP,
    Cluster,
    Dt,
    Json,
    Out,
    Root,
    Seed,
    Steps,
    Workers,
    YieldAt,
    finish,
    progress,
    read_part,
    shares,
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
    yield_at: YieldAt = "",
    out: Out = Path("energy"),
    dt: Dt = None,
    data: Root = None,
    seed: Seed = 0,
    threads: Workers = 1,
    cluster: Cluster = None,
    as_json: Json = False,
) -> None:
    """Deploy a spiking network on emulated chips; price what the run counted.

    Finished chips stay in OUT/jobs: the same command goes on after an interruption, and more --chips reuse them.
    """
    from spikesim import hardware

    from ..core.files import folder, write_json
    from ..core.params import number
    from ..core.seeds import Seeds
    from ..fingerprint import fingerprint
    from ..hardware.ann import has_ann
    from ..hardware.energy import write_rows
    from ..hardware.study import OverChips, compared, one_chip
    from ..jobs import Kept, parallel_map
    from .energy_report import write_report

    number("--steps", steps, at_least=1, integer=True, remedy="the number of time steps to simulate")
    number("--chips", chips, at_least=1, integer=True, remedy="the number of chips to sample")
    at = shares(yield_at, "--yield-at")
    started, network = time.perf_counter(), read_network(model, dt)
    design, seeds = hardware.load_macro(macro), Seeds(seed)
    several = steps_list(compare) if compare else []
    if several and (network.calibration is None or not has_ann(network)):
        remedy = "convert the ANN with `spikesim convert`"
        raise ParameterError(must("--compare", "absent for a network whose ANN is not known", compare, remedy))
    held_out = read_part(dataset, "test", data)
    folder(out, "--out")
    found, first = OverChips(), dict[str, Any]()
    kept = Kept(out / "jobs", fingerprint(network=network, data=held_out, macro=design, steps=steps, seeds=seeds))
    with progress(chips, "chips") as advance:
        for result in parallel_map(
            one_chip, ((design, k, steps, seeds) for k in range(chips)), shared=(network, held_out), workers=threads,
            cluster=cluster, kept=kept, names=(f"chip-{k}" for k in range(chips)),
        ):  # fmt: skip
            found.add(result["report"])
            first = first or result
            advance()
    result = {
        "macro": macro, "steps": steps, "samples": len(held_out), **found.report(), **found.statistics(at),
        "seconds": time.perf_counter() - started,
    }  # fmt: skip
    if several:
        result["comparison"] = compared(network, held_out, design, several, seeds)
    write_json(out / "energy.json", result)
    write_rows(out / "energy.csv", first["rows"])
    write_report(result, out)
    files = ", ".join(str(out / name) for name in ("report.html", "energy.csv", "energy.json"))
    beside = [result["comparison"]["text"]] if several else []
    finish(result, [first["text"], *_summary(result), *beside, f"written: {files}"], as_json)


def _summary(result: dict[str, Any]) -> list[str]:
    from ..units import si

    chips, joules, sampling = result["chip_accuracy"], result["chip_energy_J"], result["test_sampling"]
    low, high = (100 * v for v in chips["ci95"])
    over = "one chip says nothing of others" if chips["n"] == 1 else f"95 % interval over chips {low:.2f} to {high:.2f}"
    ends = [100 * v for v in sampling["ci95"]]
    lines = [
        f"{chips['n']} chips: accuracy {100 * chips['mean']:.2f} % ({over}), worst {100 * chips['worst']:.2f} % "
        f"(chip {result['worst_chip']}), {result['samples']} samples, T = {result['steps']}",
        f"  other test samples of that number would give {ends[0]:.2f} to {ends[1]:.2f} % (95 %, apart from chips)",
    ]
    if joules["ci95"] is not None:
        between = " to ".join(si(v, "J", 4) for v in joules["ci95"])
        lines.append(
            f"  energy {si(joules['mean'], 'J', 4)} ({between} over chips), most {si(joules['worst'], 'J', 4)}"
        )
    for row in result["yield"]:
        low, high = (100 * v for v in row["ci95"])
        reached = f"{row['chips']} of {chips['n']} chips reach {100 * row['accuracy']:.2f} %"
        lines.append(f"  {reached}: yield {100 * row['share']:.0f} % ({low:.0f} to {high:.0f} %)")
    return lines
