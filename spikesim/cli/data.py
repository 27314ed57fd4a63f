"""`spikesim data list | info | emulate`: data sets that can be named, what one holds, images made into recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import DATA_HELP, Json, Out, Root, Seed, finish

app = typer.Typer(help="List, describe and emulate data sets.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_(data: Root = None, as_json: Json = False) -> None:
    """List the data sets that can be named, and where each is found."""
    from ..datasets import available

    found = available(data)
    finish(found, [f"{name:<16} {where}" for name, where in found.items()], as_json)


@app.command("info")
def info(
    name: Annotated[str, typer.Argument(help=DATA_HELP)] = "digits", data: Root = None, as_json: Json = False
) -> None:
    """Describe a data set: samples, classes, events, durations."""
    from ..datasets import load

    result = load(name, root=data).summary()
    finish(result, [f"{key:<22} {value}" for key, value in result.items()], as_json)


@app.command("emulate")
def emulate(
    images: Annotated[str, typer.Argument(help='"digits", "mnist", or an .npz with x (N, H, W) and y (N,).')],
    out: Out = Path("emulated"),
    limit: Annotated[int, typer.Option(help="Images to take from the start; 0 takes all.")] = 0,
    data: Root = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Turn images into event-camera recordings, written as official N-MNIST files."""
    from ..core.files import folder
    from ..core.seeds import Seeds
    from ..datasets import emulated, write_folder

    folder(out, "--out")
    recordings = emulated(images, Seeds(seed), limit=limit, root=data)
    write_folder(recordings, out)
    result = {"out": str(out), **recordings.summary()}
    finish(result, [f"{key:<22} {value}" for key, value in result.items()], as_json)
