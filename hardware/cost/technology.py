"""Digital energy and area from one process node and supply voltage to another.

    E(to) / E(from) = P_to(V_to) / P_from(V_from),   P(V) = a V^2 + b V + c
    A(to) / A(from) = share of the to node / share of the from node

Coefficients: `nodes.toml`. Nodes between those of the table are refused, not interpolated. Analog circuits (converters,
arrays, drivers of bit lines) do not follow these curves and are never scaled.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from spikesim.core.params import number
from spikesim.errors import ParameterError, must

SOURCE = "Accelergy's table, after Stillmaker and Baas 2017"


def energy_ratio(from_node: float, from_supply: float, to_node: float, to_supply: float) -> float:
    """Digital energy at one node (m) and supply (V) over that at another. ParameterError outside the table."""
    return _switching(to_node, to_supply) / _switching(from_node, from_supply)


def area_ratio(from_node: float, to_node: float) -> float:
    """Digital area at one node (m) over that at another. ParameterError outside the table."""
    table = _table()["area"]
    return float(_row(table, to_node, "area")) / float(_row(table, from_node, "area"))


def nodes() -> tuple[float, ...]:
    """The nodes (m) whose energy is known, largest first."""
    return tuple(sorted((int(nm) * 1e-9 for nm in _table()["energy"]), reverse=True))


@cache
def _table() -> Mapping[str, Any]:
    return tomllib.loads((Path(__file__).parent / "nodes.toml").read_text())


def _switching(node: float, supply: float) -> float:
    number("technology.supply", supply, above=0, at_most=5, unit="V")
    a, b, c = _row(_table()["energy"], node, "energy")
    return float(a * supply**2 + b * supply + c)


def _row(table: Mapping[str, Any], node: float, what: str) -> Any:
    number("technology.node", node, above=0, unit="m")
    for nm, row in table.items():
        if abs(node * 1e9 / int(nm) - 1) < 1e-6:
            return row
    rule = f"one whose {what} is tabulated ({', '.join(table)} nm)"
    raise ParameterError(must("technology.node", rule, f"{node * 1e9:g} nm", "it is not interpolated"))
