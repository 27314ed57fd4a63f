"""Macros as data: a TOML in which every constant has a value with unit, a source and a status.

    [adc]
    bits = { value = 8, status = "assumed", source = "..." }

status: measured, fit, paper, assumed. Unknown keys and wrong units are refused with file, key and nearest spelling.
"""

from __future__ import annotations

import tomllib
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from spikesim.core import registry
from spikesim.core.ledger import Action
from spikesim.errors import ParameterError, PresetError, must, nearest
from spikesim.units import quantity

from . import converters, devices
from .macro import Constant, Macro

FOLDER = Path(__file__).parent / "macros"
STATUS = ("measured", "fit", "paper", "assumed")
TEXTS = ("name", "description", "source", "note")
FAMILIES = {"device": (devices, "Cell"), "adc": (converters, "ADC")}
"""Tables whose `kind` names a member of a family, and the class it holds."""
OF_THE_MACRO = ("adc.t_convert", "adc.columns_per_converter", "device.g_max_low", "device.g_max_high")
DEFAULT_KIND = {"adc": "uniform"}
UNITS = {
    "array.rows": "", "array.columns": "", "array.v_read": "V", "array.t_read": "s",
    "adc.bits": "", "adc.headroom": "", "adc.t_convert": "s", "adc.columns_per_converter": "",
    "device.g_min": "S", "device.g_max": "S", "device.g_max_low": "S", "device.g_max_high": "S",
    "device.programming_error": "", "device.read_noise": "", "device.formed_cv": "",
    "device.forming_mean": "V", "device.forming_sd": "V",
    **{f"price.{action.value}": "J" for action in Action},
}  # fmt: skip
"""Every key a macro may hold, and its unit."""
TABLES = tuple(dict.fromkeys(key.split(".")[0] for key in UNITS))


def macro_names() -> list[str]:
    """The macros that come with the library."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_macro(name: str | Path) -> Macro:
    """The macro called `name`, or in the TOML file at that path. PresetError, with the nearest names, otherwise."""
    path = Path(name)
    if path.suffix != ".toml":
        if str(name) not in macro_names():
            raise PresetError(
                must("macro", "a known name or a .toml file", str(name), nearest(str(name), macro_names()))
            )
        path = FOLDER / f"{name}.toml"
    try:
        tables = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise PresetError(must(f"macro {path}", "a readable TOML file", str(error))) from None
    return _macro(tables, path)


def _macro(tables: dict[str, Any], path: Path) -> Macro:
    texts = {key: _text(tables.pop(key, ""), f"{path} {key}") for key in TEXTS}
    kinds = {table: _kind(tables, table) for table in FAMILIES}
    constants = {c.key: c for c in _constants(tables, path)}
    values = {key: c.value for key, c in constants.items()}
    try:
        device, adc = (_built(table, kinds[table], values) for table in ("device", "adc"))
        return Macro(
            name=texts["name"] or path.stem, description=texts["description"], source=texts["source"],
            rows=_whole(values, "array.rows"), columns=_whole(values, "array.columns"),
            v_read=_given(values, "array.v_read"), t_read=_given(values, "array.t_read"), device=device, adc=adc,
            t_convert=_given(values, "adc.t_convert"),
            columns_per_converter=_whole(values, "adc.columns_per_converter"),
            prices={Action(k.removeprefix("price.")): v for k, v in values.items() if k.startswith("price.")},
            g_max_range=(values.get("device.g_max_low", device.g_max), values.get("device.g_max_high", device.g_max)),
            constants=tuple(constants.values()), note=texts["note"],
        )  # fmt: skip
    except ParameterError as error:
        raise PresetError(f"{path}: {error}") from None


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise PresetError(must(field, "text", value))
    return value


def _kind(tables: dict[str, Any], table: str) -> str:
    """The family member a table asks for; taken out of the table."""
    entries = tables.get(table)
    return str(entries.pop("kind", DEFAULT_KIND.get(table, ""))) if isinstance(entries, dict) else ""


def _built(table: str, kind: str, values: dict[str, float]) -> Any:
    """The member `kind` of a table's family, made from the constants that are its fields."""
    family, class_name = FAMILIES[table]
    member = getattr(registry.get(family, kind, field=f"{table}.kind"), class_name)
    given: dict[str, Any] = {}
    own = {f"{table}.{known.name}" for known in fields(member)}
    for key in values:
        if key.startswith(f"{table}.") and key not in own and key not in OF_THE_MACRO:
            raise ParameterError(must(key, f"a constant of {table}.kind {kind}", "one it does not have", "remove it"))
    for known in fields(member):
        key = f"{table}.{known.name}"
        if key in values or known.default is MISSING:
            given[known.name] = _whole(values, key) if known.type == "int" else _given(values, key)
    return member(**given)


def _is_bare(value: Any) -> bool:
    """Whether a value is a number without unit."""
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _given(values: dict[str, float], key: str) -> float:
    if key not in values:
        raise ParameterError(must(key, "given", "nothing"))
    return values[key]


def _whole(values: dict[str, float], key: str) -> int:
    value = _given(values, key)
    if not float(value).is_integer():
        raise ParameterError(must(key, "a whole number", value))
    return int(value)


def _constants(tables: dict[str, Any], path: Path) -> list[Constant]:
    found = []
    for table, entries in tables.items():
        if not isinstance(entries, dict):
            rule = f"a known text or a table, {', '.join((*TEXTS, *TABLES))}"
            raise PresetError(must(f"{path} key", rule, table, nearest(table, (*TEXTS, *TABLES))))
        for name, entry in entries.items():
            key = f"{table}.{name}"
            if key not in UNITS:
                raise PresetError(must(f"{path} key", "a known key", key, nearest(key, UNITS)))
            found.append(_constant(entry, key, path))
    return found


def _constant(entry: Any, key: str, path: Path) -> Constant:
    unit, field = UNITS[key], f"{path} {key}"
    if not isinstance(entry, dict) or set(entry) != {"value", "status", "source"}:
        raise PresetError(must(field, "{ value, status, source }", str(entry)))
    if entry["status"] not in STATUS:
        raise PresetError(must(f"{field}.status", f"one of {', '.join(STATUS)}", entry["status"]))
    if not _text(entry["source"], f"{field}.source").strip():
        raise PresetError(must(f"{field}.source", "a paper, a table or a reason", "nothing"))
    value = entry["value"]
    if unit and _is_bare(value):
        raise PresetError(must(field, f"a number with its unit, {unit}", value, f'write it as "... {unit}"'))
    try:
        return Constant(key, str(value), quantity(value, unit, field=field), entry["status"], entry["source"])
    except ParameterError as error:
        raise PresetError(str(error)) from None
