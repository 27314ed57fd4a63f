"""`spikesim data list | info | emulate`: data sets that can be named, what one holds, images made into recordings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import DATA_HELP, Json, Out, Root, Seed, Threads, finish, note, progress

if TYPE_CHECKING:
    from ..core.seeds import Seeds
    from ..datasets import Images, Size

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
    from ..datasets import summary

    result = summary(name, root=data)
    finish(result, [f"{key:<22} {value}" for key, value in result.items()], as_json)


@app.command("emulate")
def emulate(
    images: Annotated[str, typer.Argument(help='"digits", "mnist", or an .npz with x (N, H, W) and y (N,).')],
    out: Out = Path("emulated"),
    limit: Annotated[int, typer.Option(help="Images to take from the start; 0 takes all.")] = 0,
    cache: Annotated[
        bool,
        typer.Option(help="Write parts of packed events: for thousands of images; goes on after an interruption."),
    ] = False,
    data: Root = None,
    seed: Seed = 0,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Turn images into event-camera recordings: official N-MNIST files, or with --cache a folder of parts.

    Parts take 4 bytes an event. The size is said before the first is written; the same command goes on where it ended.
    """
    from ..core.files import folder
    from ..core.seeds import Seeds
    from ..datasets import emulated, load_images, write_folder

    folder(out, "--out")
    if cache:
        chosen = load_images(images, root=data).first(limit)
        summary = _written(chosen, out, Seeds(seed), threads)
    else:
        recordings = emulated(images, Seeds(seed), limit=limit, root=data)
        write_folder(recordings, out)
        summary = recordings.summary()
    result = {"out": str(out), **summary}
    finish(result, [f"{key:<22} {value}" for key, value in result.items()], as_json)


def _written(images: Images, out: Path, seeds: Seeds, threads: int) -> dict[str, Any]:
    """The images as a folder of parts -> its summary."""
    from ..datasets import EventCamera, emulate_to
    from ..datasets.shards import PART_SAMPLES

    def announced(size: Size) -> None:
        events, bytes_ = size.events / 1e6, size.bytes / 1e6
        note(f"{out}: {size.left} of {size.parts} parts to write, about {events:.2f} million events, {bytes_:.2f} MB")

    with progress(-(-len(images) // PART_SAMPLES), "emulating") as advance:
        return emulate_to(
            out, images, EventCamera(), seeds, threads=threads, announce=announced, progress=advance
        ).summary()
