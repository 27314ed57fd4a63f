"""Macros as data: a TOML in which every constant has a value with unit, a source and a status.

    [adc]
    bits = { value = 8, status = "assumed", source = "..." }

status: measured, fit, paper, assumed; a value may be a list. An assumed value may say between which ends it lies (`low`,
`high`), a price for which process it holds (`node = "32 nm", supply = "0.9 V"`). What a device or a preset of faults says
on its own (its defaults) need not be repeated. Unknown keys and wrong units are refused with file, key and nearest
spelling. `[published]` holds figures of any name that the sources state: tests reproduce them, nothing uses them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import partial
from pathlib import Path
from typing import Any

from spikesim.core import registry
from spikesim.core.ledger import Action
from spikesim.errors import ParameterError, PresetError, RangeError, must, nearest
from spikesim.units import measure, quantity

from . import converters, devices, faults, mappings
from .constant import STATUS, Constant, Value, defaults, units
from .cost.table import CostTable, Part
from .devices.base import Device
from .macro import Macro
from .wires import Drive as RowDrive
from .wires import Driven, Gated, Ideal, Wires

FOLDER = Path(__file__).parent / "macros"
TEXTS = ("name", "description", "source", "note")
FAMILIES = {
    "device": (devices, "Cell"), "adc": (converters, "ADC"), "faults": (faults, "Faults"), "mapping": (mappings, "Mapping"),
}  # fmt: skip
"""Tables whose `kind` names a member of a family, and the class it holds."""
OF_THE_MACRO = (
    "adc.t_convert",
    "adc.columns_per_converter",
    "device.g_max_low",
    "device.g_max_high",
    "mapping.by_pixel",
)
DEFAULT_KIND = {"adc": "uniform", "faults": "given", "mapping": "differential"}
WIRES = {"ideal": Ideal, "driven": Driven, "gated": Gated}
"""What `[wires] kind` may be; the rest of that table are the fields of `Wires`."""
MACRO_UNITS = {
    "array.rows": "", "array.columns": "", "array.v_read": "V", "array.t_read": "s",
    "array.i_max": "A", "mapping.by_pixel": "", "wires.r_word": "ohm", "wires.r_bit": "ohm", "wires.r_source": "ohm",
    "wires.r_sense": "ohm", "adc.t_convert": "s", "adc.columns_per_converter": "",
    "device.g_max_low": "S", "device.g_max_high": "S",
    **{f"price.{action.value}": "J" for action in Action},
    "price.conductance_read": "J/S", "price.column_current": "J/S",
    **{f"time.{action.value}": "s" for action in Action if action is not Action.conductance_read},
    **{f"{table}.{part.value}": unit for table, unit in (("area", "m2"), ("leakage", "W"), ("power", "W")) for part in Part},
    **{f"hierarchy.{key}": "" for key in ("arrays_per_core", "cores_per_tile", "tiles_per_chip", "membrane_bits")},
}  # fmt: skip
"""Keys of the macro itself, and their units; a family's other keys are the fields of its members."""
TABLES = tuple(dict.fromkeys([*(key.split(".")[0] for key in MACRO_UNITS), *FAMILIES, "published"]))
LIMITS = {"low": None, "high": None, "node": "m", "supply": "V"}
"""What an entry may say beside its value, status and source, and in which unit (None: that of the value)."""
DEVICE_TABLES = ("device", "fit")
"""Tables of a device's file: its constants, and how well they were fitted."""


def macro_names() -> list[str]:
    """The macros that come with the library."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def fault_names() -> list[str]:
    """The presets of faults."""
    return registry.names(faults)


def load_macro(name: str | Path, *, device: str | Path | None = None, faults: str | None = None) -> Macro:
    """The macro called `name`, or in the TOML file at that path. PresetError, with the nearest names, otherwise.

    device   a device's TOML file (`fit_device(...).save`) whose cells take the place of the macro's own
    faults   a preset of faults ("mature", "immature") instead of the macro's own
    """
    path = Path(name)
    if path.suffix != ".toml":
        if str(name) not in macro_names():
            raise PresetError(
                must("macro", "a known name or a .toml file", str(name), nearest(str(name), macro_names()))
            )
        path = FOLDER / f"{name}.toml"
    tables = _read(path, "macro")
    if device is not None:
        tables["device"] = _device_table(Path(device))
    if faults is not None:
        tables["faults"] = {"kind": faults}
    return _macro(tables, path)


def load_device(path: str | Path) -> Device:
    """The cells in a device's TOML file: `[device]` with a kind and its constants, as in a macro's file."""
    path = Path(path)
    tables = {"device": _device_table(path)}
    members = _members(tables, path, ("device",))
    values = {c.key: c.value for c in _constants(tables, members, path)}
    return _checked(path, lambda: _built("device", *members["device"], values))


def _device_table(path: Path) -> dict[str, Any]:
    tables = _read(path, "device")
    for key in tables:
        if key not in (*TEXTS, *DEVICE_TABLES):
            raise PresetError(must(f"{path} key", "of a device's file", key, nearest(key, (*TEXTS, *DEVICE_TABLES))))
    if not isinstance(tables.get("device"), dict):
        raise PresetError(must(f"{path} [device]", "a table of constants", tables.get("device", "nothing")))
    return tables["device"]


def _read(path: Path, what: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PresetError(must(f"{what} {path}", "a readable TOML file", str(error))) from None


def _checked(path: Path, made: Callable[[], Any]) -> Any:
    """What `made` returns; its refusals, with the file that they come from."""
    try:
        return made()
    except (ParameterError, RangeError) as error:
        raise PresetError(f"{path}: {error}") from None


def _macro(tables: dict[str, Any], path: Path) -> Macro:
    texts = {key: _text(tables.pop(key, ""), f"{path} {key}") for key in TEXTS}
    members = _members(tables, path, tuple(FAMILIES))
    kind = str(tables.get("wires", {}).pop("kind", "ideal"))
    constants = {c.key: c for c in _constants(tables, members, path)}
    values = {key: c.value for key, c in constants.items()}

    def made() -> Macro:
        device, adc, struck, mapping = (_built(table, *members[table], values) for table in FAMILIES)
        for table, (_, member) in members.items():
            for known in defaults(member, table):
                constants.setdefault(known.key, known)
        numbers: dict[str, Any] = values
        return Macro(
            name=texts["name"] or path.stem, description=texts["description"], source=texts["source"],
            rows=_whole(values, "array.rows"), columns=_whole(values, "array.columns"),
            v_read=_given(values, "array.v_read"), t_read=_given(values, "array.t_read"), device=device, adc=adc,
            t_convert=_given(values, "adc.t_convert"),
            columns_per_converter=_whole(values, "adc.columns_per_converter"),
            prices=_under("price", numbers, Action), costs=_costs(numbers),
            g_max_range=(numbers.get("device.g_max_low", device.g_max), numbers.get("device.g_max_high", device.g_max)),
            constants=tuple(constants.values()), note=texts["note"], faults=struck, mapping=mapping,
            wires=_wires(kind, numbers), i_max=numbers.get("array.i_max", 0.0),
            by_pixel=_whole(values, "mapping.by_pixel") if "mapping.by_pixel" in values else 0,
        )  # fmt: skip

    return _checked(path, made)


def _wires(kind: str, numbers: dict[str, Any]) -> RowDrive:
    """How a macro's rows are driven through which resistances."""
    if kind not in WIRES:
        raise ParameterError(must("wires.kind", f"one of {', '.join(WIRES)}", kind, nearest(kind, WIRES)))
    given = {k.removeprefix("wires."): v for k, v in numbers.items() if k.startswith("wires.")}
    if kind == "ideal":
        if given:
            rule = "left out of ideal wires"
            raise ParameterError(must(f"wires.{next(iter(given))}", rule, "a resistance", 'kind = "driven" or "gated"'))
        return Ideal()
    return WIRES[kind](Wires(**{"r_word": 0.0, "r_bit": 0.0, **given}))


def _under(table: str, numbers: dict[str, Any], kind: Any) -> dict[Any, Any]:
    """The values of a table by members of an enumeration; conductance is priced by `CostTable`."""
    keys = {member.value: member for member in kind if member is not Action.conductance_read}
    return {
        keys[name]: value for key, value in numbers.items()
        if key.startswith(f"{table}.") and (name := key.removeprefix(f"{table}.")) in keys
    }  # fmt: skip


def _costs(numbers: dict[str, Any]) -> CostTable:
    """A macro's cost table."""
    counts = {k.removeprefix("hierarchy."): _whole(numbers, k) for k in numbers if k.startswith("hierarchy.")}
    return CostTable(
        array_price=numbers.get("price.conductance_read"), current_price=numbers.get("price.column_current", 0.0),
        times=_under("time", numbers, Action), areas=_under("area", numbers, Part),
        leakages=_under("leakage", numbers, Part), powers=_under("power", numbers, Part), **counts,
        published={k.removeprefix("published."): v for k, v in numbers.items() if k.startswith("published.")},
    )  # fmt: skip


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise PresetError(must(field, "text", value))
    return value


def _members(tables: dict[str, Any], path: Path, wanted: tuple[str, ...]) -> dict[str, tuple[str, Any]]:
    """Table -> (kind, class) of the family member that it asks for; `kind` is taken out of the table."""
    for table, entries in tables.items():
        if not isinstance(entries, dict):
            rule = f"a known text or a table, {', '.join((*TEXTS, *TABLES))}"
            raise PresetError(must(f"{path} key", rule, table, nearest(table, (*TEXTS, *TABLES))))
    kinds = {table: str(tables.get(table, {}).pop("kind", DEFAULT_KIND.get(table, ""))) for table in wanted}
    return {table: (kind, _checked(path, partial(_class, table, kind))) for table, kind in kinds.items()}


def _class(table: str, kind: str) -> Any:
    family, name = FAMILIES[table]
    return getattr(registry.get(family, kind, field=f"{table}.kind"), name)


def _family_units(table: str) -> dict[str, str]:
    """Every key that some member of a table's family has, and a unit of it."""
    known: dict[str, str] = {}
    for kind in registry.names(FAMILIES[table][0]):
        known |= {f"{table}.{name}": unit for name, unit in units(_class(table, kind)).items()}
    return known


def _built(table: str, kind: str, member: Any, values: dict[str, Value]) -> Any:
    """A family's member made from the constants that are its fields."""
    given: dict[str, Any] = {}
    own = {f"{table}.{known.name}" for known in fields(member)}
    for key in values:
        if key.startswith(f"{table}.") and key not in own and key not in OF_THE_MACRO:
            raise ParameterError(must(key, f"a constant of {table}.kind {kind}", "one it does not have", "remove it"))
    for known in fields(member):
        key = f"{table}.{known.name}"
        if key in values and str(known.type).startswith("tuple"):
            value = values[key]
            given[known.name] = value if isinstance(value, tuple) else (value,)
        elif key in values or (known.default is MISSING):
            given[known.name] = _whole(values, key) if known.type == "int" else _given(values, key)
    return member(**given)


def _is_bare(value: Any) -> bool:
    """Whether a value is a number without unit."""
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _given(values: dict[str, Value], key: str) -> float:
    value = values.get(key, "nothing")
    if not isinstance(value, (int, float)):
        raise ParameterError(must(key, "given" if key not in values else "one number", value))
    return value


def _whole(values: dict[str, Value], key: str) -> int:
    value = _given(values, key)
    if not float(value).is_integer():
        raise ParameterError(must(key, "a whole number", value))
    return int(value)


def _constants(tables: dict[str, Any], members: dict[str, tuple[str, Any]], path: Path) -> list[Constant]:
    known = dict(MACRO_UNITS)
    for table, (_, member) in members.items():
        own = {f"{table}.{name}": unit for name, unit in units(member).items()}
        known |= {**_family_units(table), **own}
    found = []
    for table, entries in tables.items():
        for name, entry in entries.items():
            key = f"{table}.{name}"
            if key not in known and table != "published":
                raise PresetError(must(f"{path} key", "a known key", key, nearest(key, known)))
            found.append(_constant(entry, key, known.get(key), path))
    return found


def _constant(entry: Any, key: str, unit: str | None, path: Path) -> Constant:
    """One entry; unit None: whatever the text says."""
    field = f"{path} {key}"
    if not isinstance(entry, dict) or not {"value", "status", "source"} <= set(entry) <= {
        "value",
        "status",
        "source",
        *LIMITS,
    }:
        raise PresetError(must(field, "{ value, status, source }, low, high, node, supply where known", str(entry)))
    if entry["status"] not in STATUS:
        raise PresetError(must(f"{field}.status", f"one of {', '.join(STATUS)}", entry["status"]))
    if not _text(entry["source"], f"{field}.source").strip():
        raise PresetError(must(f"{field}.source", "a paper, a table or a reason", "nothing"))
    several = isinstance(entry["value"], list)
    parts = entry["value"] if several else [entry["value"]]
    numbers = tuple(_number(part, unit, field) for part in parts)
    text = ", ".join(map(str, parts))
    limits = {k: _number(entry[k], unit if u is None else u, f"{field}.{k}") for k, u in LIMITS.items() if k in entry}
    value = numbers if several else numbers[0]
    _check_limits(field, value, limits)
    return Constant(key, text, value, entry["status"], entry["source"], **limits)


def _number(part: Any, unit: str | None, field: str) -> float:
    if unit and _is_bare(part):
        raise PresetError(must(field, f"a number with its unit, {unit}", part, f'write it as "... {unit}"'))
    try:
        return measure(part, field=field) if unit is None else quantity(part, unit, field=field)
    except ParameterError as error:
        raise PresetError(str(error)) from None


def _check_limits(field: str, value: Value, limits: dict[str, float]) -> None:
    if ("low" in limits or "high" in limits) and (
        isinstance(value, tuple) or not limits.get("low", value) <= value <= limits.get("high", value)
    ):
        raise PresetError(must(f"{field}.low and high", f"around the value {value}", limits))
    if ("node" in limits) != ("supply" in limits):
        raise PresetError(must(f"{field}.node and supply", "given together", limits))
