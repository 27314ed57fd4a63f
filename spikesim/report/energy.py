"""Figures of what an inference costs. Each takes a report's plain values (`EnergyReport.to_json`) and returns a Figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..units import si
from .figures import ACCENT, INK, PALE, SECOND, panels

COLOURS = {
    "array": "#0b6e99", "row_drivers": "#5aa7c7", "converters": "#d9730d", "shift_add": "#f0b27a", "digital": "#9b9a97",
    "code_transport": "#0f7b6c", "spike_routing": "#6fb7ab", "input_buffers": "#6940a5", "output_buffers": "#a78bc9",
    "tile_buffer": "#6940a5", "neurons": "#7d1454", "membrane_memory": "#b3478a", "control": "#64473a", "leakage": "#e03e3e",
}  # fmt: skip
"""One colour for each component, the same in every figure."""

Rectangles = list[tuple[float, float, float, float]]
"""x, y, width, height."""


def joules_by_layer(tree: Mapping[str, Any]) -> Figure:
    """Stacked bars: mean joules per inference of every layer, by component, in the order of execution."""
    layers = [layer for layer in tree["children"] if layer["joules"] > 0]
    parts = [_by_component(layer) for layer in layers]
    names = _largest_first(parts)
    figure, axis = panels(width=8.6, height=1.7 + 0.36 * len(layers))
    scale, unit = _scale(max((layer["joules"] for layer in layers), default=1.0))
    left = [0.0] * len(layers)
    for name in names:
        widths = [part.get(name, 0.0) / scale for part in parts]
        axis.barh(range(len(layers)), widths, left=left, color=_colour(name), label=name.replace("_", " "), height=0.7)
        left = [a + b for a, b in zip(left, widths)]
    for row, layer in enumerate(layers):
        share = 100 * layer["joules"] / max(tree["joules"], 1e-300)
        axis.annotate(f" {si(layer['joules'], 'J')} ({share:.0f} %)", (left[row], row), va="center", fontsize=8)
    axis.set_yticks(range(len(layers)), [layer["name"] for layer in layers])
    axis.invert_yaxis()
    axis.set_xlim(0, 1.25 * max(left, default=1.0))
    axis.set_xlabel(f"energy per inference ({unit})")
    axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def treemap(tree: Mapping[str, Any], what: str = "joules") -> Figure:
    """The whole as a rectangle: layers as blocks, their components as tiles of an area that is their share.

    what   "joules" or "area_mm2"
    """
    figure, axis = panels(width=8.6, height=5.4)
    layers = sorted((layer for layer in tree["children"] if layer[what] > 0), key=lambda layer: -layer[what])
    width, height = 172.0, 100.0
    blocks = _squarified([layer[what] for layer in layers], 0.0, 0.0, width, height)
    for layer, block in zip(layers, blocks):
        parts = sorted(_by_component(layer, what).items(), key=lambda part: -part[1])
        for (name, value), (x, y, w, h) in zip(parts, _squarified([v for _, v in parts], *block)):
            axis.add_patch(Rectangle((x, y), w, h, facecolor=_colour(name), edgecolor="white", linewidth=0.8))
            _written(axis, f"{name.replace('_', ' ')}\n{_amount(value, what)}", x, y, w, h)
        x, y, w, h = block
        axis.add_patch(Rectangle((x, y), w, h, fill=False, edgecolor=INK, linewidth=1.8))
        label = {"facecolor": INK, "edgecolor": "none", "pad": 1.5, "alpha": 0.85}
        if w > 2.2 * len(layer["name"]) and h > 7:
            axis.text(x + 1, y + 1, layer["name"], color="white", fontsize=7.5, va="bottom", bbox=label)
    names = _largest_first([_by_component(layer, what) for layer in layers])
    keys = [Rectangle((0, 0), 1, 1, facecolor=_colour(name)) for name in names]
    figure.legend(
        keys, [n.replace("_", " ") for n in names], loc="outside lower center", ncols=6, frameon=False, fontsize=8
    )
    axis.set(xlim=(0, width), ylim=(0, height), xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    axis.set_title(f"{_amount(tree[what], what)}; dark frames are layers, named in their corner", fontsize=9)
    return figure


def assumed_ranges(assumed: Sequence[Mapping[str, Any]], total: float) -> Figure:
    """What each assumed constant does to the total when it alone moves between its ends, widest first."""
    rows = sorted((a for a in assumed if "total_J" in a), key=lambda a: a["total_J"][1] - a["total_J"][0])
    figure, axis = panels(width=8.6, height=1.4 + 0.36 * max(len(rows), 1))
    scale, unit = _scale(max([total, *(a["total_J"][1] for a in rows)]))
    for row, constant in enumerate(rows):
        low, high = (value / scale for value in constant["total_J"])
        axis.barh(row, high - low, left=low, color=PALE if low == high else ACCENT, height=0.6)
        text = f" {si(constant['total_J'][0], 'J')} to {si(constant['total_J'][1], 'J')}"
        axis.annotate(text, (high, row), va="center", fontsize=8)
    axis.axvline(total / scale, color=SECOND, linewidth=1.2)
    axis.set_yticks(range(len(rows)), [f"{a['key']} = {a['value']}" for a in rows])
    axis.set_xlim(0, 1.35 * max([total / scale, *(a["total_J"][1] / scale for a in rows)]))
    axis.set_xlabel(f"total energy per inference ({unit}); the line is the total reported")
    return figure


def _by_component(layer: Mapping[str, Any], what: str = "joules") -> dict[str, float]:
    """A layer's parts added up over its tiles."""
    found: dict[str, float] = {}
    for tile in layer.get("children", ()):
        for part in tile.get("children", ()):
            if part[what] > 0:
                found[part["name"]] = found.get(part["name"], 0.0) + part[what]
    return found


def _largest_first(parts: Sequence[Mapping[str, float]]) -> list[str]:
    sums = {name: math.fsum(part.get(name, 0.0) for part in parts) for part in parts for name in part}
    return sorted(sums, key=lambda name: -sums[name])


def _colour(name: str) -> str:
    return COLOURS.get(name, PALE)


def _scale(largest: float) -> tuple[float, str]:
    """A unit that gives the largest value one to four digits before the point."""
    units = ((1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ"), (1e-9, "nJ"))
    return next(((s, u) for s, u in units if largest >= s), (1e-12, "pJ"))


def _amount(value: float, what: str) -> str:
    return si(value, "J") if what == "joules" else f"{value:.3g} mm²"


def _written(axis: Any, text: str, x: float, y: float, w: float, h: float) -> None:
    """Text in a rectangle, where it fits."""
    longest = max(len(line) for line in text.split("\n"))
    if w > 1.75 * longest and h > 9:
        axis.text(x + w / 2, y + h / 2, text, color="white", fontsize=7.5, ha="center", va="center")


def _squarified(values: Sequence[float], x: float, y: float, w: float, h: float) -> Rectangles:
    """Rectangles of areas proportional to `values` (falling) that fill x, y, w, h and are as square as they can be."""
    if not values:
        return []
    scale = w * h / math.fsum(values)
    areas, found = [scale * v for v in values], Rectangles()
    while areas:
        side, count = min(w, h), 1
        while count < len(areas) and _worst(areas[: count + 1], side) <= _worst(areas[:count], side):
            count += 1
        strip = math.fsum(areas[:count]) / side
        along = 0.0
        for area in areas[:count]:
            length = area / strip
            found.append((x, y + along, strip, length) if w >= h else (x + along, y, length, strip))
            along += length
        x, y, w, h = (x + strip, y, w - strip, h) if w >= h else (x, y + strip, w, h - strip)
        areas = areas[count:]
    return found


def _worst(areas: Sequence[float], side: float) -> float:
    """The most elongated of rectangles that share a strip along `side`: its length over its width."""
    strip = math.fsum(areas) / side
    return max(max(strip / (a / strip), (a / strip) / strip) for a in areas)
