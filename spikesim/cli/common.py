"""What every verb shares: options, threads, printing of results, reading MODEL and DATA."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    pass

Seed = Annotated[int, typer.Option(help="Root seed of everything drawn.")]
Threads = Annotated[int, typer.Option(help="Processes or threads to use; results do not depend on it.")]
Workers = Annotated[int, typer.Option("--threads", "--workers", help="Processes to use; results do not depend on it.")]
Cluster = Annotated[
    str | None,
    typer.Option(
        help="Address of a Dask scheduler whose workers (one thread each) are used instead of processes here."
    ),
]
YieldAt = Annotated[str, typer.Option(help='Accuracies (shares, like "0.9,0.95") to give the yield of chips at.')]
Out = Annotated[Path, typer.Option(help="Folder for the results.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Root = Annotated[Path | None, typer.Option(help="Folder to look for data sets in, before $SPIKESIM_DATA.")]
Steps = Annotated[int, typer.Option(help="Time steps: bins of a recording, or repeats of an image.")]
Dt = Annotated[str | None, typer.Option(help='Time step of a .nir file that does not state it, like "0.1 ms".')]
DATA_HELP = "Data set name, N-MNIST folder, or .npz with x and y."


def show(text: str) -> None:
    """Print for people."""
    sys.stdout.write(text + "\n")


def finish(result: dict[str, Any], lines: Iterable[str], as_json: bool) -> None:
    """Print one JSON object, or one screen of text."""
    show(json.dumps(result, allow_nan=False) if as_json else "\n".join(lines))


def note(text: str) -> None:
    """Say something on the side, on stderr."""
    sys.stderr.write(text + "\n")


@contextmanager
def progress(total: int, what: str) -> Iterator[Any]:
    """A progress bar on stderr (silent when stderr is no terminal); call the yielded function after each part,
    or with what is done of `total`."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)

        def advance(description: str = what, done: float | None = None) -> None:
            step = {"advance": 1} if done is None else {"completed": done}
            bar.update(task, description=description, **step)  # type: ignore[arg-type]

        yield advance


@contextmanager
def limited(count: int) -> Iterator[None]:
    """Torch, and kernels with it, limited to `count` threads within the block."""
    import torch

    from ..core.params import number

    number("threads", count, at_least=1, integer=True)
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def steps_list(text: str) -> list[int]:
    """ "1,8,32" as [1, 8, 32]: whole numbers at least 1, in rising order."""
    from ..core.params import number

    found = []
    for part in text.split(","):
        value = int(part) if part.strip().lstrip("-").isdigit() else part
        number("steps", value, at_least=1, integer=True, remedy="like --steps 1,8,32")
        found.append(int(value))
    return sorted(set(found))


def shares(text: str, option: str) -> list[float]:
    """ "0.9,0.95" as [0.9, 0.95]: shares from 0 to 1."""
    from ..core.params import number
    from ..units import quantity

    found = [quantity(part, "", field=option) for part in text.split(",") if part.strip()]
    for value in found:
        number(option, value, at_least=0, at_most=1, remedy="shares of 0 to 1, like 0.95")
    return found


def read_part(name: str, part: str, root: Path | None) -> Any:
    """The "train" or "test" rows of a data set; all of it where it has no fixed split."""
    from ..datasets import load

    return _part(load(name, root=root), part)


def read_parts(train: str, test: str, root: Path | None) -> tuple[Any, Any]:
    """The "train" rows of one data set and the "test" rows of another, which is read once where it is the same."""
    from ..datasets import load

    data = load(train, root=root)
    return _part(data, "train"), _part(data if test == train else load(test, root=root), "test")


def _part(data: Any, part: str) -> Any:
    return data if data.split is None else data.part(part)
