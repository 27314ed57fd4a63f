"""`spikesim macros [show NAME]`: the emulated macros, and every number of one with its source and status."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ParameterError, must
from .common import Json, finish

if TYPE_CHECKING:
    from ..hardware.constant import Constant
    from ..hardware.macro import Macro

NARROWEST = 80
"""Columns that a screen is taken to have at least."""
LONG = 20
"""Longest value that the column of values is made wide for."""
STATUSES = ("measured", "fit", "paper", "assumed")


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
        known = {n: hardware.load_macro(n) for n in hardware.macro_names()}
        finish({n: m.description for n, m in known.items()}, _listed(known), as_json)
        return
    macro = hardware.load_macro(name)
    rows = [_row(c) for c in macro.constants]
    about = {"name": macro.name, "description": macro.description, "source": macro.source, "note": macro.note}
    finish({**about, "constants": rows}, _shown(macro), as_json)


def _row(constant: Constant) -> dict[str, Any]:
    found = {"key": constant.key, "value": constant.text, "status": constant.status, "source": constant.source}
    ends = {k: v for k in ("low", "high", "node", "supply") if (v := getattr(constant, k)) is not None}
    return {**found, **ends}


def _listed(known: dict[str, Macro]) -> list[str]:
    """One line of facts and one of words for each macro."""
    from ..core.ledger import Action
    from ..units import si

    head = f"{'macro':<18} {'array':<11} {'converter':<10} {'conversion':<11} {'area of one':<12} constants (assumed)"
    lines = [head]
    for name, macro in known.items():
        price = macro.prices.get(Action.column_convert)
        area = _array_area(macro)
        lines.append(
            f"{name:<18} {f'{macro.rows} x {macro.columns}':<11} {f'{macro.adc.bits} bits' if macro.adc.bits else 'none':<10} "
            f"{si(price, 'J') if price else 'free':<11} {f'{1e6 * area:.3g} mm²' if area else 'not known':<12} "
            f"{len(macro.constants)} ({len(macro.assumed)})"
        )
        lines += textwrap.wrap(macro.description, _width() - 4, initial_indent="    ", subsequent_indent="    ")
    return [*lines, "", "Every number with its source: spikesim macros show NAME"]


def _array_area(macro: Macro) -> float:
    """m2 of one array with what stands around it."""
    from ..hardware.cost.floorplan import rated
    from ..hardware.cost.table import Per

    costs = macro.costs
    return rated(macro, costs.areas, Per.tile) / (costs.arrays_per_core * costs.cores_per_tile)


def _shown(macro: Macro) -> list[str]:
    """Every constant, table by table, sources wrapped beside them."""
    counts = {status: sum(c.status == status for c in macro.constants) for status in STATUSES}
    lines = [f"{macro.name}: {macro.description}", *_wrapped(f"source: {macro.source}", 2)]
    lines += _wrapped(f"note: {macro.note}", 2) if macro.note else []
    lines.append("  " + ", ".join(f"{n} {status}" for status, n in counts.items() if n))
    key = max((len(c.key) for c in macro.constants), default=0)
    value = max((len(c.text) for c in macro.constants if len(c.text) <= LONG), default=0)
    table = ""
    for constant in macro.constants:
        part = constant.key.split(".", 1)[0]
        if part != table:
            lines += ["", f"[{part}]"]
            table = part
        start = f"  {constant.key:<{key}}  {constant.text:<{value}}  {constant.status:<9}"
        lines += _beside(start, _source(constant))
    return lines


def _source(constant: Constant) -> str:
    """The source, and what the entry says about its ends and its process."""
    from ..units import si, unit_of

    unit = unit_of(constant.text)
    ends = [si(end, unit) if unit else f"{end:g}" for end in (constant.low, constant.high) if end is not None]
    said = [f"between {' and '.join(ends)}"] if ends else []
    if constant.node and constant.supply:
        said.append(f"at {si(constant.node, 'm')}, {constant.supply:g} V")
    return "; ".join([constant.source, *said])


def _beside(start: str, text: str) -> list[str]:
    """Text wrapped to the right of a line's start."""
    indent = min(len(start) + 1, _width() // 2)
    lines = textwrap.wrap(text, max(_width() - indent, 30))
    return [f"{start} {lines[0]}", *(" " * indent + line for line in lines[1:])]


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, _width(), initial_indent=" " * indent, subsequent_indent=" " * (indent + 2))


def _width() -> int:
    return max(shutil.get_terminal_size((140, 24)).columns, NARROWEST)
