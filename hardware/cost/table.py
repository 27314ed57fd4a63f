"""The cost table of a macro: what one action takes, what one part occupies and leaks, how parts make arrays and tiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from spikesim.core.ledger import Action
from spikesim.core.params import check, number

COMPONENTS: Mapping[Action, str] = {
    Action.conductance_read: "array", Action.cell_read: "array", Action.row_drive: "row_drivers",
    Action.column_convert: "converters", Action.dac_convert: "converters", Action.shift_add: "shift_add",
    Action.digital_add: "digital", Action.digital_mac: "digital", Action.neuron_update: "neurons",
    Action.membrane_access: "membrane_memory", Action.spike_hop: "spike_routing",
    Action.bits_sram: "input_buffers", Action.bits_bus: "code_transport",
}  # fmt: skip
"""The component that an action's energy is shown under."""


class Per(StrEnum):
    """What a part stands once for."""

    cell = "cell"
    row = "row"
    column = "column"
    converter = "converter"
    array = "array"
    core = "core"
    tile = "tile"
    chip = "chip"
    membrane_bit = "membrane bit"


class Part(StrEnum):
    """What takes area, leaks, and has a rated power."""

    cell = "cell"
    array_cells = "array_cells"  # all cells of one array, where a source says no more
    row_driver = "row_driver"
    sample_hold = "sample_hold"
    converter = "converter"
    accumulator = "accumulator"  # shift and add behind one converter
    neuron = "neuron"  # the datapath of neuron updates behind one converter
    array_control = "array_control"
    core_accumulator = "core_accumulator"
    core_input_buffer = "core_input_buffer"
    core_output_buffer = "core_output_buffer"
    tile_buffer = "tile_buffer"
    tile_bus = "tile_bus"
    tile_router = "tile_router"
    tile_activation = "tile_activation"
    tile_accumulator = "tile_accumulator"
    tile_pool = "tile_pool"
    tile_output_buffer = "tile_output_buffer"
    chip_links = "chip_links"
    membrane_bit = "membrane_bit"


PARTS: Mapping[Part, tuple[Per, str]] = {
    Part.cell: (Per.cell, "array"), Part.array_cells: (Per.array, "array"),
    Part.row_driver: (Per.row, "row_drivers"), Part.sample_hold: (Per.column, "converters"),
    Part.converter: (Per.converter, "converters"), Part.accumulator: (Per.converter, "shift_add"),
    Part.neuron: (Per.converter, "neurons"), Part.array_control: (Per.array, "control"),
    Part.core_accumulator: (Per.core, "shift_add"), Part.core_input_buffer: (Per.core, "input_buffers"),
    Part.core_output_buffer: (Per.core, "output_buffers"), Part.tile_buffer: (Per.tile, "tile_buffer"),
    Part.tile_bus: (Per.tile, "code_transport"), Part.tile_router: (Per.tile, "spike_routing"),
    Part.tile_activation: (Per.tile, "digital"), Part.tile_accumulator: (Per.tile, "shift_add"),
    Part.tile_pool: (Per.tile, "digital"), Part.tile_output_buffer: (Per.tile, "output_buffers"),
    Part.chip_links: (Per.chip, "links"), Part.membrane_bit: (Per.membrane_bit, "membrane_memory"),
}  # fmt: skip
"""What each part stands once for, and the component that it is shown under."""


@dataclass(frozen=True)
class CostTable:
    """What a macro costs beside its joules per action (`Macro.prices`). All may be left out. Raises ParameterError.

    array_price      joules per siemens under read voltage in one read, by the array; None: V^2 t
    current_price    joules per siemens, by the converter: one that takes the column's current while it converts
    times            seconds per action outside the arrays, one after the other in each of the units of a layer
    areas            m2 of each part         leakages   W of each part, idle or not
    powers           W of each part at work, as rated: reproduces published totals, prices nothing
    arrays_per_core, cores_per_tile, tiles_per_chip   how arrays are grouped (tiles_per_chip 0: any number)
    membrane_bits    of one neuron's state
    published        figures that the sources state, by name: tests reproduce them, nothing is priced from them
    """

    array_price: float | None = None
    current_price: float = 0.0
    times: Mapping[Action, float] = field(default_factory=dict)
    areas: Mapping[Part, float] = field(default_factory=dict)
    leakages: Mapping[Part, float] = field(default_factory=dict)
    powers: Mapping[Part, float] = field(default_factory=dict)
    arrays_per_core: int = 1
    cores_per_tile: int = 1
    tiles_per_chip: int = 0
    membrane_bits: int = 16
    published: Mapping[str, float | tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in (("arrays_per_core", 1), ("cores_per_tile", 1), ("tiles_per_chip", 0), ("membrane_bits", 1)):
            check(self, name, at_least=least, at_most=2**20, integer=True)
        if self.array_price is not None:
            check(self, "array_price", at_least=0, unit="J/S")
        check(self, "current_price", at_least=0, unit="J/S")
        units = {"times": "s", "areas": "m2", "leakages": "W", "powers": "W"}
        for table, unit in units.items():
            for key, value in getattr(self, table).items():
                number(f"CostTable.{table}.{key}", value, at_least=0, unit=unit)
