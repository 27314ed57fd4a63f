"""What stands on a chip: arrays by layer, the parts around them, their area, leakage and rated power.

Arrays are whole: a layer that fills a corner of one pays for all of it. A core and a tile serve one layer, so that a layer
pays for whole tiles. Links between chips belong to no layer; rated power counts them, a network's area does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from ..macro import Macro
from .table import PARTS, Part, Per
from .tree import Share

SHARED = "shared"
"""The tile name of what the arrays of a layer share: cores' and tiles' parts, membranes."""


def areas(macro: Macro, arrays: Mapping[str, Iterable[str]], neurons: Mapping[str, int]) -> dict[Share, float]:
    """m2 by layer, tile and component.

    arrays    layer -> names of its arrays;   neurons   layer -> neurons whose state it keeps
    """
    return _laid_out(macro, macro.costs.areas, arrays, neurons)


def leaking(macro: Macro, arrays: Mapping[str, Iterable[str]], neurons: Mapping[str, int]) -> dict[Share, float]:
    """W that leak, by layer, tile and component "leakage"."""
    found: dict[Share, float] = {}
    for (layer, tile, _), watts in _laid_out(macro, macro.costs.leakages, arrays, neurons).items():
        found[layer, tile, "leakage"] = found.get((layer, tile, "leakage"), 0.0) + watts
    return found


def rated(macro: Macro, table: Mapping[Part, float], level: Per) -> float:
    """The sum over the parts of one array, core, tile or chip (with its links) of what a table says of each.

    `rated(macro, macro.costs.powers, Per.tile)`: W of a tile at work;  with `macro.costs.areas`: m2.
    """
    costs = macro.costs
    arrays = {Per.array: 1, Per.core: costs.arrays_per_core, Per.tile: costs.arrays_per_core * costs.cores_per_tile}
    held = arrays.get(level, arrays[Per.tile] * max(costs.tiles_per_chip, 1))
    counted = {Per.core: held // costs.arrays_per_core, Per.tile: held // arrays[Per.tile], Per.chip: 0}
    if level is Per.chip:
        counted[Per.chip] = 1
    return math.fsum(value * (counted[p] if (p := PARTS[part][0]) in counted else held * _in_array(macro, p))
                     for part, value in table.items())  # fmt: skip


def _in_array(macro: Macro, per: Per) -> float:
    """How many of what a part stands for are in one array."""
    counts = {
        Per.cell: macro.rows * macro.columns, Per.row: macro.rows, Per.column: macro.columns,
        Per.converter: -(-macro.columns // macro.columns_per_converter), Per.array: 1,
    }  # fmt: skip
    return counts.get(per, 0)


def _laid_out(
    macro: Macro, table: Mapping[Part, float], arrays: Mapping[str, Iterable[str]], neurons: Mapping[str, int]
) -> dict[Share, float]:
    found: dict[Share, float] = {}
    for part, value in table.items():
        per, component = PARTS[part]
        for layer, tile, count in _places(macro, per, arrays, neurons):
            if count and value:
                key = layer, tile, component
                found[key] = found.get(key, 0.0) + count * value
    return found


def _places(
    macro: Macro, per: Per, arrays: Mapping[str, Iterable[str]], neurons: Mapping[str, int]
) -> Iterator[tuple[str, str, float]]:
    """Layer, tile and number of everything that a part stands once for."""
    if per is Per.membrane_bit:
        yield from ((layer, "", count * macro.costs.membrane_bits) for layer, count in neurons.items())
        return
    for layer, tiles in arrays.items():
        names = list(tiles)
        cores = -(-len(names) // macro.costs.arrays_per_core)
        whole = {Per.core: cores, Per.tile: -(-cores // macro.costs.cores_per_tile)}
        if per in whole:
            yield layer, SHARED, whole[per]
        yield from ((layer, name, _in_array(macro, per)) for name in names)
