"""A design with one number changed, by the number's name in the macro's TOML or by what it stands for.

    varied(macro, "device.read_noise", 0.04)      any key of the file, with its unit: "array.v_read", "0.1 V"
    varied(macro, "read_noise", 0.04)             what the device at hand calls its read noise

    name                 what changes                                                        hardest
    read_noise           sd of a read, a share of the conductance                            largest
    adc_bits             bits of a conversion, and its price along a survey's bound           least
    on_off               g_max / g_min; g_max stays                                           least
    wire_resistance      ohm of every segment of word and bit lines (0: ideal wires)          largest
    faults               share of cells stuck, half at g_min, half at g_max; or a preset      largest
    array                rows and columns of an array                                         largest
    forming_voltage      V at which cells were formed: those that did not form stay at g_min  least
    age                  seconds between programming and running                              largest

`age` belongs to the run, not to the design (`Point`). Constants that are changed have the status "assumed" and the source
"varied"; those that follow from them (area and seconds of a converter, for one) stay as they are, and are not adjusted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from spikesim.core import registry
from spikesim.core.ledger import Action
from spikesim.core.params import number
from spikesim.errors import ParameterError, must, nearest
from spikesim.units import quantity, si

from . import faults as fault_presets
from .constant import Constant, units
from .cost.converters import with_bits
from .cost.table import Part
from .macro import Macro
from .wires import Driven, Ideal, Wires

Setting = float | str
"""A value as given: a number in SI units, a text with its unit, or a preset's name."""
AGE = "age"
LEAST, LARGEST = "least", "largest"
ARRAY_UNITS = {"rows": "", "columns": "", "v_read": "V", "t_read": "s", "i_max": "A"}
OF_THE_MACRO = {
    **{f"array.{name}": (name, unit) for name, unit in ARRAY_UNITS.items()},
    "adc.t_convert": ("t_convert", "s"), "adc.columns_per_converter": ("columns_per_converter", ""),
    "mapping.by_pixel": ("by_pixel", ""),
}  # fmt: skip
"""Key -> field of `Macro`, unit."""
FAMILIES = ("device", "adc", "faults", "mapping")
COSTS = {"time": ("times", Action, "s"), "area": ("areas", Part, "m2"), "leakage": ("leakages", Part, "W")}
"""Table -> field of `CostTable`, what its keys are, unit."""
HIERARCHY = ("arrays_per_core", "cores_per_tile", "tiles_per_chip", "membrane_bits")
READ_NOISE = ("read_noise", "read_share")
"""What devices call the share of the conductance that one read fluctuates by."""


@dataclass(frozen=True)
class Point:
    """One cell of a sweep: a design, what was set to get it (key -> value as given), and its age in seconds."""

    macro: Macro
    settings: Mapping[str, Setting]
    age: float = 0.0

    @property
    def label(self) -> str:
        """ "adc_bits=6, age=3600", or "as given" for the macro as it is."""
        return ", ".join(f"{k}={shown(v)}" for k, v in self.settings.items()) or "as given"


def shown(value: Setting) -> str:
    """A setting as a short text."""
    return value if isinstance(value, str) else f"{value:g}"


def point(macro: Macro, settings: Mapping[str, Setting]) -> Point:
    """The macro with several settings. ParameterError, with the nearest names, for a key that is not known."""
    age = 0.0
    for key, value in settings.items():
        if key == AGE:
            age = quantity(value, "s", field=AGE)
            number(AGE, age, at_least=0, unit="s")
        else:
            macro = varied(macro, key, value)
    return Point(macro, dict(settings), age)


def varied(macro: Macro, key: str, value: Setting) -> Macro:
    """The macro with `key` set to a value (SI number, or text with unit). ParameterError for unknown keys and bad values."""
    if key in FRIENDLY:
        return FRIENDLY[key][0](macro, value)
    known = keys(macro)
    if key not in known:
        raise ParameterError(
            must("vary", "a key of the macro's file, or a known name", key, nearest(key, names(macro)))
        )
    found = quantity(value, known[key], field=key)
    return _set(macro, key, found, value if isinstance(value, str) else _text(found, known[key]))


def hardest(key: str) -> str:
    """Which end of a key's values asks most of a design: "least", "largest", or "" where that is not known."""
    ends = {AGE: LARGEST, "adc.bits": LEAST, "array.rows": LARGEST, "array.columns": LARGEST}
    return FRIENDLY[key][1] if key in FRIENDLY else ends.get(key, "")


def names(macro: Macro) -> list[str]:
    """Everything that can be varied on a macro."""
    return [*FRIENDLY, AGE, *keys(macro)]


def keys(macro: Macro) -> dict[str, str]:
    """Key of the macro's file -> SI unit, of every single number that this macro computes with."""
    found = {key: unit for key, (_, unit) in OF_THE_MACRO.items()}
    for table in FAMILIES:
        member: Any = getattr(macro, table)
        given = units(member)
        single = [f.name for f in fields(member) if isinstance(getattr(member, f.name), (int, float))]
        found |= {f"{table}.{name}": given[name] for name in single}
    found |= {f"wires.{f.name}": "ohm" for f in fields(Wires) if f.name != "tolerance"}
    found |= {f"price.{a.value}": "J" for a in Action if a is not Action.conductance_read}
    found |= {"price.conductance_read": "J/S", "price.column_current": "J/S"}
    for table, (_, kind, unit) in COSTS.items():
        found |= {f"{table}.{member.value}": unit for member in kind if member is not Action.conductance_read}
    return found | {f"hierarchy.{name}": "" for name in HIERARCHY}


def _text(value: float, unit: str) -> str:
    return si(value, unit, 6) if unit else f"{value:g}"


def _whole(key: str, value: float) -> int:
    if not float(value).is_integer():
        raise ParameterError(must(key, "a whole number", value))
    return int(value)


def _set(macro: Macro, key: str, value: float, text: str) -> Macro:
    """One key of the file set, in the part of the macro that it belongs to, and its constant with it."""
    table, name = key.split(".", 1)
    constant = Constant(key, text, value, "assumed", "varied")
    others = tuple(c for c in macro.constants if c.key != key)
    macro = replace(macro, constants=(*others, constant))
    if key in OF_THE_MACRO:
        field = OF_THE_MACRO[key][0]
        return macro.varied(**{field: _like(macro, field, key, value)})
    if table in FAMILIES:
        member: Any = getattr(macro, table)
        changed: dict[str, Any] = {table: replace(member, **{name: _like(member, name, key, value)})}
        if key == "device.g_max":  # what was assumed about the scale moves along
            changed["g_max_range"] = tuple(end * value / member.g_max for end in macro.g_max_range)
        return macro.varied(**changed)
    if table == "wires":
        return _wired(macro, {name: value})
    if table == "price":
        return _priced(macro, name, value)
    if table == "hierarchy":
        return _costing(macro, **{name: _whole(key, value)})
    part, kind, _ = COSTS[table]
    return _costing(macro, **{part: {**getattr(macro.costs, part), kind(name): value}})


def _costing(macro: Macro, **changes: Any) -> Macro:
    return replace(macro, costs=replace(macro.costs, **changes))


def _like(owner: Any, name: str, key: str, value: float) -> float | int:
    """The value as the type that a field has."""
    declared = next(str(f.type) for f in fields(owner) if f.name == name)
    return _whole(key, value) if declared == "int" else value


def _wired(macro: Macro, resistances: Mapping[str, float]) -> Macro:
    """Ideal wires become driven ones where they are given a resistance; none at all is ideal."""
    drive: Any = macro.wires
    wires = Wires(0.0, 0.0) if isinstance(drive, Ideal) else drive.wires
    wires = replace(wires, **resistances)
    if wires.ideal:
        return replace(macro, wires=Ideal())
    return replace(macro, wires=Driven(wires) if isinstance(drive, Ideal) else replace(drive, wires=wires))


def _priced(macro: Macro, name: str, value: float) -> Macro:
    special = {"conductance_read": "array_price", "column_current": "current_price"}
    if name in special:
        return _costing(macro, **{special[name]: value})
    return replace(macro, prices={**macro.prices, Action(name): value})


def _number(name: str, value: Setting, unit: str = "", **bounds: Any) -> float:
    found = quantity(value, unit, field=name)
    number(name, found, unit=unit, **bounds)
    return found


def _read_noise(macro: Macro, value: Setting) -> Macro:
    known = [name for name in READ_NOISE if isinstance(getattr(macro.device, name, None), float)]
    if not known:
        rule = "of a device that has it as one share"
        raise ParameterError(must("read_noise", rule, macro.device.kind, f"vary {_of_table(macro, 'device', 'read')}"))
    return varied(macro, f"device.{known[0]}", _number("read_noise", value, at_least=0))


def _of_table(macro: Macro, table: str, word: str) -> str:
    return ", ".join(k for k in keys(macro) if k.startswith(f"{table}.") and word in k) or f"[{table}] of another macro"


def _adc_bits(macro: Macro, value: Setting) -> Macro:
    bits = _whole("adc_bits", _number("adc_bits", value, at_least=1))
    if not macro.adc.bits:
        raise ParameterError(must("adc_bits", "of a macro that converts", macro.name, "choose another macro"))
    return with_bits(macro, bits) if bits != macro.adc.bits else macro


def _on_off(macro: Macro, value: Setting) -> Macro:
    ratio = _number("on_off", value, above=1)
    return varied(macro, "device.g_min", macro.device.g_max / ratio)


def _wire_resistance(macro: Macro, value: Setting) -> Macro:
    ohm = _number("wire_resistance", value, "ohm", at_least=0)
    macro = varied(macro, "wires.r_word", ohm)
    return varied(macro, "wires.r_bit", ohm)


def _faults(macro: Macro, value: Setting) -> Macro:
    try:
        share = quantity(value, "", field="faults")
    except ParameterError:
        preset = registry.get(fault_presets, str(value), field="faults").Faults()
        kept = tuple(c for c in macro.constants if not c.key.startswith("faults."))
        return replace(macro, faults=preset, constants=kept)
    number("faults", share, at_least=0, at_most=1)
    macro = _plain_faults(macro)
    return varied(varied(macro, "faults.low", share / 2), "faults.high", share / 2)


def _plain_faults(macro: Macro) -> Macro:
    """The macro with faults that say nothing but their numbers."""
    from .faults.base import Faults

    given: Any = macro.faults
    return replace(macro, faults=Faults(**{f.name: getattr(given, f.name) for f in fields(given)}))


def _array(macro: Macro, value: Setting) -> Macro:
    side = _number("array", value, at_least=2)
    return varied(varied(macro, "array.rows", side), "array.columns", side)


def _forming_voltage(macro: Macro, value: Setting) -> Macro:
    """Cells that did not form cannot be programmed: they are stuck at g_min, beside the faults that the macro has."""
    volts = _number("forming_voltage", value, "V", above=0)
    unformed = 1 - macro.device.formed_share(volts)
    macro = _plain_faults(macro)
    struck: Any = macro.faults
    well = 1 - struck.low - struck.high - struck.open
    return varied(macro, "faults.low", struck.low + well * unformed)


FRIENDLY: dict[str, tuple[Callable[[Macro, Setting], Macro], str]] = {
    "read_noise": (_read_noise, LARGEST), "adc_bits": (_adc_bits, LEAST), "on_off": (_on_off, LEAST),
    "wire_resistance": (_wire_resistance, LARGEST), "faults": (_faults, LARGEST), "array": (_array, LARGEST),
    "forming_voltage": (_forming_voltage, LEAST),
}  # fmt: skip
"""Name -> what it does to a macro, and which end of its values is the hardest."""
