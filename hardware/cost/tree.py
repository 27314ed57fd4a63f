"""A report as a tree: network / layer / tile / component. Joules and areas of a branch are the sums of its children's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

LEVELS = ("network", "layer", "tile", "component")
Share = tuple[str, str, str]
"""Layer, tile ("row.column" of an array, or a name for what stands outside arrays), component."""


@dataclass(frozen=True)
class Branch:
    """One node of the tree.

    name, level   what it is, and one of LEVELS
    joules, area  per inference, and m2: of all below it
    seconds       per inference that it is busy; layers one after the other, the tiles of a layer at once
    """

    name: str
    level: str
    joules: float
    area: float
    seconds: float = 0.0
    children: tuple[Branch, ...] = ()

    def walk(self, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Branch]]:
        """(names from the root down, branch) of this branch and all below it."""
        here = (*path, self.name)
        yield here, self
        for child in self.children:
            yield from child.walk(here)

    def to_json(self) -> dict[str, Any]:
        """Plain nested values."""
        own: dict[str, Any] = {
            "name": self.name, "joules": self.joules, "area_mm2": 1e6 * self.area, "seconds": self.seconds,
        }  # fmt: skip
        return {**own, "children": [c.to_json() for c in self.children]} if self.children else own


def grown(
    joules: Mapping[Share, float], areas: Mapping[Share, float], layers: Iterable[str],
    seconds: Mapping[tuple[str, str], float],
) -> Branch:  # fmt: skip
    """The tree of what each component of each tile of each layer costs; layers in the order given.

    seconds   (layer, tile) -> seconds that the tile is busy; a layer takes as long as its busiest tile, and what stands
              outside its arrays (tile "") comes after them
    """
    shares = dict.fromkeys((*joules, *areas))
    found = []
    for layer in layers:
        tiles = []
        for tile in sorted({t for name, t, _ in shares if name == layer}, key=_in_order):
            parts = sorted({c for name, t, c in shares if (name, t) == (layer, tile)})
            leaves = tuple(
                Branch(c, "component", joules.get((layer, tile, c), 0.0), areas.get((layer, tile, c), 0.0))
                for c in parts
            )
            tiles.append(_joined(tile or "outside arrays", "tile", leaves, seconds.get((layer, tile), 0.0)))
        busy = [s for (name, tile), s in seconds.items() if name == layer and tile]
        after = seconds.get((layer, ""), 0.0)
        found.append(_joined(layer, "layer", tuple(tiles), max(busy, default=0.0) + after))
    return _joined("network", "network", tuple(found), math.fsum(b.seconds for b in found))


def _joined(name: str, level: str, children: tuple[Branch, ...], seconds: float) -> Branch:
    joules, area = (math.fsum(getattr(c, what) for c in children) for what in ("joules", "area"))
    return Branch(name, level, joules, area, seconds, children)


def _in_order(tile: str) -> tuple[int, ...]:
    """Arrays by row and column tile, then what stands outside them."""
    parts = tile.split(".")
    return tuple(int(p) for p in parts) if all(p.isdigit() for p in parts) else (2**31,)
