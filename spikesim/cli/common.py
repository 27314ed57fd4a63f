"""What every verb shares: options, threads, printing of results, reading MODEL and DATA."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ArtefactError, ParameterError, must

if TYPE_CHECKING:
    from torch import nn

    from ..network import Network

Seed = Annotated[int, typer.Option(help="Root seed of everything drawn.")]
Threads = Annotated[int, typer.Option(help="Processes or threads to use; results do not depend on it.")]
Out = Annotated[Path, typer.Option(help="Folder for the results.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Root = Annotated[Path | None, typer.Option(help="Folder to look for data sets in, before $SPIKESIM_DATA.")]
Steps = Annotated[int, typer.Option(help="Time steps: bins of a recording, or repeats of an image.")]
MODEL_HELP = "Folder written by `convert` or ss.save, or package.module:function."
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
    """A progress bar on stderr (silent when stderr is no terminal); call the yielded function after each part."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)

        def advance(description: str = what) -> None:
            bar.update(task, advance=1, description=description)

        yield advance


@contextmanager
def limited(count: int) -> Iterator[None]:
    """Torch and numba limited to `count` threads within the block."""
    import numba
    import torch

    from ..core.params import number

    number("threads", count, at_least=1, integer=True)
    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(count)
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])


def steps_list(text: str) -> list[int]:
    """ "1,8,32" as [1, 8, 32]: whole numbers at least 1, in rising order."""
    from ..core.params import number

    found = []
    for part in text.split(","):
        value = int(part) if part.strip().lstrip("-").isdigit() else part
        number("steps", value, at_least=1, integer=True, remedy="like --steps 1,8,32")
        found.append(int(value))
    return sorted(set(found))


def built(name: str) -> Any:
    """What `package.module:function` returns. This runs the user's own code, and says so in its help."""
    module_name, _, function_name = name.partition(":")
    sys.path.insert(0, "")
    try:
        return getattr(importlib.import_module(module_name), function_name)()
    except (ImportError, AttributeError) as error:
        raise ParameterError(
            must("MODEL", "package.module:function that can be imported", f"{name} ({error})")
        ) from None
    finally:
        sys.path.remove("")


def read_part(name: str, part: str, root: Path | None) -> Any:
    """The "train" or "test" rows of a data set; all of it where it has no fixed split."""
    from ..datasets import load

    data = load(name, root=root)
    return data if data.split is None else data.part(part)


def read_ann(name: str, weights: Path | None) -> nn.Module:
    """The ANN that `package.module:function` builds, with the weights of a .safetensors or state-dict file."""
    from torch import nn

    if ":" not in name:
        raise ParameterError(must("MODEL", "package.module:function that returns an nn.Module", name))
    model = built(name)
    if not isinstance(model, nn.Module):
        raise ParameterError(must("MODEL", "a function that returns an nn.Module", type(model).__name__))
    if weights is not None:
        try:
            model.load_state_dict(read_weights(weights))
        except RuntimeError as error:
            raise ArtefactError(must("--weights", "for this model", " ".join(str(error).split()))) from None
    return model.eval()


def read_weights(path: Path) -> dict[str, Any]:
    """A state dict from .safetensors, or from a torch file that holds tensors only."""
    import pickle

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        raise ArtefactError(must("--weights", "a file that is there", str(path), "check the path")) from None
    except (OSError, RuntimeError, pickle.UnpicklingError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise ArtefactError(must("--weights", "safetensors or a state dict of tensors", f"{path} ({reason})")) from None


def read_network(name: str) -> Network:
    """A spiking network from a folder, or from `package.module:function`."""
    from ..checkpoint import load
    from ..network import Network

    network = built(name) if ":" in name and not Path(name).exists() else load(name)
    if not isinstance(network, Network):
        raise ParameterError(must("MODEL", "a spiking network", type(network).__name__, "convert it first"))
    return network.eval().requires_grad_(False)
