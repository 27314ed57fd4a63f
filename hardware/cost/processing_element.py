"""The closed formulas of the 2022 SpikeSim (Moitra et al., another project than this one), as its public code has them.

A processing element holds k^2 crossbars of B x B on common columns; one cycle of it makes B columns of one output position:

    E_cycle = H-tree + fetch + neuron + tile buffer + (B/c) (k^2 E_crossbar + (B/c) (E_converter + E_mux))
              + (B/c) (s E_subtraction + E_temporary)                        c: columns per converter
    E  = T sum over layers of ceil(in / B) ceil(out / B) H W E_cycle
    t  = T sum over layers of out H W cycles / clock                         H, W: of the output

Neither looks at activity, and fully connected layers are left out. With activity: a cycle in which no input of an
element's patch is 1 is not made, crossbars are paid by the rows that are driven, and neurons by the positions that any
event reaches. Constants: `[published]` of the macro yale-spikesim65.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikesim.core.params import check
from spikesim.errors import ParameterError, ShapeError, must

from ..macro import Macro


@dataclass(frozen=True)
class ConvolutionShape:
    """A convolution as the formulas see it: channels, input and output pixels per side, kernel. Raises ParameterError."""

    inputs: int
    outputs: int
    input_side: int
    output_side: int
    kernel: int = 3

    def __post_init__(self) -> None:
        for name in ("inputs", "outputs", "input_side", "output_side", "kernel"):
            check(self, name, at_least=1, integer=True)


VGG9 = tuple(
    ConvolutionShape(*row)
    for row in (
        (3, 64, 32, 32), (64, 64, 32, 16), (64, 128, 16, 16), (128, 128, 16, 8), (128, 256, 8, 8), (256, 256, 8, 8),
        (256, 256, 8, 4),
    )
)  # fmt: skip
"""The convolutions of the network that the project's code evaluates, for 32 x 32 images."""


@dataclass(frozen=True)
class Cost:
    """joules by layer, seconds, area (m2), and the elements and tiles that hold the layers."""

    joules: tuple[float, ...]
    seconds: float
    area: float
    elements: int
    tiles: int

    @property
    def total(self) -> float:
        """Joules of all layers."""
        return math.fsum(self.joules)


@dataclass(frozen=True)
class Activity:
    """Of one convolution over all steps: patch tiles with an event, rows driven, output positions that an event reaches."""

    tiles: int
    rows: int
    sites: int


def processing_element_cost(layers: Sequence[ConvolutionShape], macro: Macro, steps: int) -> Cost:
    """What the published formulas say of convolutions run for T steps. ParameterError for a macro without constants."""
    c, size = _constants(macro), int(_constants(macro)["crossbar_size"])
    held = [-(-s.inputs // size) * -(-s.outputs // size) for s in layers]
    joules = [
        n * s.output_side**2 * steps * cycle_joules(macro, s.kernel) for n, s in zip(held, layers)
    ]  # fmt: skip
    positions = sum(s.outputs * s.output_side**2 for s in layers)
    seconds = positions * steps * c["cycles"] / c["clock"]
    elements = sum(held)
    tiles = -(-elements // macro.costs.cores_per_tile)
    return Cost(tuple(joules), seconds, _area(layers, macro, tiles), elements, tiles)


def cycle_joules(macro: Macro, kernel: int) -> float:
    """Joules of one cycle of a processing element."""
    c = _constants(macro)
    return _control(c) + c["neuron"] + kernel**2 * c["crossbar_size"] * _row(c)


def active_joules(activity: Activity, shape: ConvolutionShape, macro: Macro) -> float:
    """Joules of a convolution whose cycles, rows and neurons are paid only where events are."""
    c = _constants(macro)
    size = int(c["crossbar_size"])
    across, deep = -(-shape.outputs // size), -(-shape.inputs // size)
    return (
        across * (activity.tiles * _control(c) + activity.rows * _row(c)) + deep * across * activity.sites * c["neuron"]
    )


def activity(
    spikes: np.ndarray, shape: ConvolutionShape, crossbar_size: int, *, stride: int = 1, padding: int = 0
) -> Activity:
    """Count what the events of spikes (T, C, H, W) do in a convolution; a patch tile is B channels of one patch."""
    spikes = np.asarray(spikes) != 0
    if spikes.ndim != 4 or spikes.shape[1] != shape.inputs:
        raise ShapeError(must("activity.spikes", f"(T, {shape.inputs}, H, W)", spikes.shape))
    padded = np.pad(spikes, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (shape.kernel, shape.kernel), axis=(2, 3))
    rows = patches[:, :, ::stride, ::stride].sum((-2, -1))  # (T, C, high, wide)
    edges = np.arange(0, shape.inputs, crossbar_size)
    tiles = np.add.reduceat(rows, edges, axis=1)
    return Activity(int((tiles > 0).sum()), int(rows.sum()), int((rows.sum(1) > 0).sum()))


def _constants(macro: Macro) -> dict[str, float]:
    found: dict[str, Any] = dict(macro.costs.published)
    if "crossbar_size" not in found or "htree" not in found:
        raise ParameterError(
            must("processing_element_cost.macro", "yale-spikesim65, or one with its constants", macro.name)
        )
    return found


def _control(c: dict[str, float]) -> float:
    """Joules of a cycle but for crossbars and neurons."""
    groups = c["crossbar_size"] / c["columns_per_converter"]
    converted = groups * groups * (c["converter"] + c["multiplexer"])
    buffered = groups * (c["subtractions"] * c["subtraction"] + c["temporary_buffer"])
    return c["htree"] + c["memory_fetch"] + c["tile_buffer"] + converted + buffered


def _row(c: dict[str, float]) -> float:
    """Joules of one driven row of one crossbar."""
    return c["crossbar"] / c["columns_per_converter"]


def _area(layers: Iterable[ConvolutionShape], macro: Macro, tiles: int) -> float:
    """m2: tiles, the memory of every layer's inputs, and that of the first five layers' neurons, as the code has it."""
    from .floorplan import rated
    from .table import Per

    c, layers = _constants(macro), list(layers)
    memory = sum(s.inputs * s.input_side**2 for s in layers) + sum(s.outputs * s.output_side**2 for s in layers[:5])
    return tiles * rated(macro, macro.costs.areas, Per.tile) + memory * c["memory_bits"] * c["memory_bit"]
