"""`spikesim info FILE`: what a file or folder is and holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import ArtefactError, must
from .common import Json, finish


def info(
    path: Annotated[
        Path, typer.Argument(help="Network folder, .nir file, recording, data set, macro TOML or results JSON.")
    ],
    as_json: Json = False,
) -> None:
    """Say what a file or folder holds."""
    if not path.exists():
        raise ArtefactError(must("info.FILE", "there", str(path), "check the path"))
    result = _described(path)
    finish(result, [f"{key:<14} {value}" for key, value in result.items()], as_json)


def _described(path: Path) -> dict[str, Any]:
    if (path / "network.json").is_file():
        return _network(path)
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

    network = load(path)
    return {
        "kind": "network",
        "nodes": {name: type(node).__name__ for name, node in network.nodes.items()},
        "parameters": sum(p.numel() for p in network.parameters()),
        "input_shape": network.input_shape,
        "readout": network.readout.kind,
        "recipe": network.conversion.recipe if network.conversion else None,
        "bound_steps": network.conversion.steps if network.conversion else None,
    }
