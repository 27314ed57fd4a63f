"""`spikesim sweep MODEL DATA --macro M --vary KEY=V1,V2`: what a design's numbers do to accuracy, joules, seconds and area."""

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
    finish,
    progress,
    read_part,
    read_parts,
)
from .models import MODEL_HELP, read_network

VARY_HELP = (
    "KEY=V1,V2: a key of the macro's file (`spikesim macros show M`), or read_noise, adc_bits, on_off, "
    "wire_resistance, faults, array, forming_voltage, age. May be given several times."
)


def sweep(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    dataset: Annotated[str, typer.Argument(metavar="DATA", help=DATA_HELP)] = "digits",
    macro: Annotated[str, typer.Option(help="Macro name or TOML file (`spikesim macros`).")] = "taox40-projected",
    vary: Annotated[list[str], typer.Option(help=VARY_HELP)] = [],  # noqa: B006
    chips: Annotated[int, typer.Option(help="Emulated chips of each design; the same seeds in all of them.")] = 4,
    steps: Steps = 16,
    grid: Annotated[bool, typer.Option("--grid", help="All combinations, instead of one key at a time.")] = False,
    within: Annotated[
        float | None,
        typer.Option(
            help="Search: points of accuracy that a design may lose against the ideal network. Designs are chosen on "
            "training samples (without a split: on half of the samples), and tested on the others."
        ),
    ] = None,
    out: Out = Path("sweep"),
    dt: Dt = None,
    data: Root = None,
    seed: Seed = 0,
    threads: Workers = 1,
    cluster: Cluster = None,
    as_json: Json = False,
) -> None:
    """Vary the numbers of a macro, one at a time or all combinations; or search them for the cheapest design.

    Finished chips stay in OUT/jobs: the same command goes on after an interruption, and more values reuse them.
    """
    from spikesim import hardware

    from ..core.files import folder, write_json, written
    from ..core.seeds import Seeds
    from ..hardware.design import search
    from ..hardware.sensitivity import points
    from ..report.html import png

    started, wanted = time.perf_counter(), varied(vary)
    network, design = read_network(model, dt), hardware.load_macro(macro)
    count = len(points(design, wanted, grid or within is not None))
    folder(out, "--out")
    options: dict[str, Any] = {
        "vary": wanted, "chips": chips, "steps": steps, "seeds": Seeds(seed), "workers": threads, "cluster": cluster,
        "keep": out / "jobs",
    }  # fmt: skip
    found: Any
    with progress(count * chips + 1, "chips") as advance:
        if within is None:
            held_out = read_part(dataset, "test", data)
            found = hardware.sweep(network, held_out, design, grid=grid, advance=advance, **options)
        else:
            choose, test = _chooses_and_tests(dataset, data, seed)
            found = search(network, choose, test, design, within=within / 100, advance=advance, **options)
    designs = found if within is None else found.designs
    result = {**found.to_json(), "seconds": time.perf_counter() - started}
    write_json(out / "sweep.json", result)
    designs.to_csv(out / "sweep.csv")
    with written(out / "sweep.png") as temporary:
        temporary.write_bytes(png(found.figure()))
    files = ", ".join(str(out / name) for name in ("sweep.png", "sweep.csv", "sweep.json"))
    finish(result, [str(found), f"written: {files}"], as_json)


def varied(texts: list[str]) -> dict[str, list[Any]]:
    """["KEY=V1,V2", ...] as {KEY: [V1, V2]}; values are numbers where they look like it, texts otherwise."""
    found: dict[str, list[Any]] = {}
    for text in texts:
        key, _, values = text.partition("=")
        parts = [part.strip() for part in values.split(",") if part.strip()]
        if not key.strip() or not parts:
            raise ParameterError(must("--vary", "KEY=V1,V2", text, "like --vary adc_bits=4,6,8"))
        found.setdefault(key.strip(), []).extend(map(_value, parts))
    if not found:
        raise ParameterError(must("--vary", "given at least once", "nothing", "like --vary adc_bits=4,6,8"))
    return found


def _value(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _chooses_and_tests(name: str, root: Path | None, seed: int) -> tuple[Any, Any]:
    """The samples that choose and those that test: as many training samples as there are of the other at most, or halves."""
    from ..hardware.design import halves

    train, test = read_parts(name, name, root)
    if test.split is None:
        return halves(test, seed)
    return _part_of(train, len(test), seed), test


def _part_of(data: Any, size: int, seed: int) -> Any:
    """About `size` samples with equal shares of each class; all where there are no more."""
    return data if len(data) < 2 * size else data.subset(data.folds(len(data) // size, seed)[0][1])
