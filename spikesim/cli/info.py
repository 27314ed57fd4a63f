"""`spikesim info FILE`: what a file or folder is and holds."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import ArtefactError, must
from .common import Json, finish

READABLE = 20
"""Nodes that are listed by name; --json lists all."""


def info(
    path: Annotated[
        Path,
        typer.Argument(
            help="Network or diffusion model, folder of a run, .nir file, recording, data set, macro TOML or results JSON."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Say what a file or folder holds."""
    if not path.exists():
        raise ArtefactError(must("info.FILE", "there", str(path), "check the path"))
    result = _described(path)
    shown = {key: _counted(value) if key == "nodes" else value for key, value in result.items()}
    finish(result, [f"{key:<14} {value}" for key, value in shown.items()], as_json)


def _counted(nodes: Any) -> Any:
    """How many nodes of each kind, where {name: kind} is too long to read."""
    if not isinstance(nodes, dict) or len(nodes) <= READABLE:
        return nodes
    return ", ".join(f"{count} {kind}" for kind, count in Counter(nodes.values()).most_common())


def _described(path: Path) -> dict[str, Any]:
    if (path / "network.json").is_file():
        return _network(path)
    inner = sorted(found.parent for found in path.glob("*/network.json"))
    if inner:  # what `train`, `retrain` or `convert` left
        one = _network(inner[0]) if len(inner) == 1 else {"kind": "networks"}
        return {**one, "folders": [str(folder) for folder in inner]}
    if path.suffix == ".toml":
        from spikesim import hardware

        macro = hardware.load_macro(str(path))
        return {"kind": "macro", "name": macro.name, "constants": len(macro.constants)}
    if path.suffix == ".nir":
        from ..interop.nir import describe as describe_nir

        return describe_nir(path)
    if path.suffix == ".json":
        from ..core.files import read_json

        found = read_json(path)
        return {"kind": "results", **(found if isinstance(found, dict) else {"value": found})}
    from ..datasets import describe

    return describe(path)


def _network(path: Path) -> dict[str, Any]:
    from ..checkpoint import load

    network, about = load(path), {"kind": "network"}
    if (path / "diffusion.json").is_file():
        from ..diffusion import DiffusionModel

        about = {"kind": "diffusion model", **asdict(DiffusionModel.load(path).about)}
    return {
        **about,
        "nodes": {name: type(node).__name__ for name, node in network.nodes.items()},
        "parameters": sum(p.numel() for p in network.parameters()),
        "input_shape": network.input_shape,
        "readout": network.readout.kind,
        "recipe": network.conversion.recipe if network.conversion else None,
        "bound_steps": network.conversion.steps if network.conversion else None,
    }
