"""`spikesim macros [show NAME]`: the emulated macros, and every number of one with its source and status."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import ParameterError, must
from .common import Json, finish


def macros(
    verb: Annotated[str, typer.Argument(help='"list", or "show" with a name.')] = "list",
    name: Annotated[str, typer.Argument(help="Macro name or TOML file.")] = "",
    as_json: Json = False,
) -> None:
    """List the emulated macros, or show every number of one."""
    from spikesim import hardware

    if verb not in ("list", "show") or (verb == "show") != bool(name):
        raise ParameterError(must("macros", '"list" or "show NAME"', f"{verb} {name}".strip()))
    if verb == "list":
        found = {n: hardware.load_macro(n).description for n in hardware.macro_names()}
        finish(found, [f"{n:<18} {text}" for n, text in found.items()], as_json)
        return
    macro = hardware.load_macro(name)
    rows = [{"key": c.key, "value": c.text, "status": c.status, "source": c.source} for c in macro.constants]
    lines = [f"{macro.name}: {macro.description}", ""]
    lines += [f"{r['key']:<28} {r['value']:<14} {r['status']:<9} {r['source']}" for r in rows]
    finish({"name": macro.name, "constants": rows}, lines, as_json)
