"""Macros as data: a TOML in which every constant has a value with unit, a source and a status.

    [adc]
    bits = { value = 8, status = "assumed", source = "..." }

status: measured, fit, paper, assumed. Unknown keys and wrong units are refused with file, key and nearest spelling.
"""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from spikesim.core import registry
from spikesim.core.ledger import Action
from spikesim.errors import ParameterError, PresetError, must, nearest
from spikesim.units import quantity

from . import devices
from .converters.uniform import UniformADC
from .macro import Constant, Macro

FOLDER = Path(__file__).parent / "macros"
STATUS = ("measured", "fit", "paper", "assumed")
TEXTS = ("name", "description", "source")
UNITS = {
    "array.rows": "", "array.columns": "", "array.v_read": "V", "array.t_read": "s",
    "adc.bits": "", "adc.headroom": "", "adc.t_convert": "s", "adc.columns_per_converter": "",
    "device.g_min": "S", "device.g_max": "S", "device.g_max_low": "S", "device.g_max_high": "S",
    "device.programming_error": "", "device.read_noise": "", "device.formed_cv": "",
    "device.forming_mean": "V", "device.forming_sd": "V",
    **{f"price.{action.value}": "J" for action in Action},
}  # fmt: skip
"""Every key a macro may hold, and its unit."""


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
    texts = {key: tables.pop(key, "") for key in TEXTS}
    kind = tables.get("device", {}).pop("kind", "")
    constants = {c.key: c for c in _constants(tables, path)}
    values = {key: c.value for key, c in constants.items()}
    try:
        module = registry.get(devices, kind, field=f"{path} device.kind")
        cell = module.Cell
        known = {f.name for f in fields(cell)}
        device = cell(
            **{k.split(".")[1]: v for k, v in values.items() if k.startswith("device.") and k.split(".")[1] in known}
        )
        return Macro(
            name=texts["name"] or path.stem, description=texts["description"], source=texts["source"],
            rows=_whole(values, "array.rows"), columns=_whole(values, "array.columns"),
            v_read=values["array.v_read"], t_read=values["array.t_read"], device=device,
            adc=UniformADC(_whole(values, "adc.bits"), values.get("adc.headroom", 1.0)),
            t_convert=values["adc.t_convert"], columns_per_converter=_whole(values, "adc.columns_per_converter"),
            prices={Action(k.removeprefix("price.")): v for k, v in values.items() if k.startswith("price.")},
            g_max_range=(values.get("device.g_max_low", device.g_max), values.get("device.g_max_high", device.g_max)),
            constants=tuple(constants.values()),
        )  # fmt: skip
    except KeyError as error:
        raise PresetError(must(f"{path} {error.args[0]}", "given", "nothing")) from None
    except (ParameterError, TypeError) as error:
        raise PresetError(f"{path}: {error}") from None


def _whole(values: dict[str, float], key: str) -> int:
    value = values[key]
    if value != int(value):
        raise ParameterError(must(key, "a whole number", value))
    return int(value)


def _constants(tables: dict[str, Any], path: Path) -> list[Constant]:
    found = []
    for table, entries in tables.items():
        if not isinstance(entries, dict):
            raise PresetError(must(f"{path} {table}", f"one of {', '.join(TEXTS)} or a table", table))
        for name, entry in entries.items():
            key = f"{table}.{name}"
            if key not in UNITS:
                raise PresetError(must(f"{path} key", "a known key", key, nearest(key, UNITS)))
            if not isinstance(entry, dict) or set(entry) != {"value", "status", "source"}:
                raise PresetError(must(f"{path} {key}", "{ value, status, source }", str(entry)))
            if entry["status"] not in STATUS:
                raise PresetError(must(f"{path} {key}.status", f"one of {', '.join(STATUS)}", entry["status"]))
            try:
                value = quantity(entry["value"], UNITS[key], field=f"{path} {key}")
            except ParameterError as error:
                raise PresetError(str(error)) from None
            found.append(Constant(key, str(entry["value"]), value, entry["status"], entry["source"]))
    return found
