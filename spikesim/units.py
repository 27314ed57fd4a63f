"""Quantities as text ("20 ms", "61.7 uS") and as SI floats; a wrong dimension is an error.

Inside the library every number is SI; a unit lives only in text, TOML, docs and reports.
"""

from __future__ import annotations

import re

from .errors import ParameterError, must

_PREFIX = {
    "f": 1e-15,
    "p": 1e-12,
    "n": 1e-9,
    "u": 1e-6,
    "µ": 1e-6,
    "m": 1e-3,
    "": 1.0,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
}
_UNITS = ("s", "V", "A", "S", "ohm", "F", "J", "J/S", "W", "Hz", "m", "m2", "K", "bit")
_QUANTITY = re.compile(r"^\s*([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)\s*(\S*)\s*$")


def _split_unit(text: str) -> tuple[float, str] | None:
    for unit in sorted(_UNITS, key=len, reverse=True):
        prefix = text[: -len(unit)] if text.endswith(unit) else None
        if prefix is None or prefix not in _PREFIX:
            continue
        scale = _PREFIX[prefix]
        return (scale**2 if unit == "m2" else scale), unit
    return None


def quantity(value: str | float, unit: str, *, field: str = "quantity") -> float:
    """The SI float of `value`, which must carry `unit` ("s", "V", "S", "J", "m2", ...) or be a bare number.

    `quantity("20 ms", "s") == 0.02`. Area prefixes are squared: `quantity("1 um2", "m2") == 1e-12`.
    Raises ParameterError on a malformed text or another dimension.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    match = _QUANTITY.match(value) if isinstance(value, str) else None
    if match is None:
        raise ParameterError(must(field, f'a number with unit {unit or "none"}, like "20 m{unit}"', value))
    number, text = float(match.group(1)), match.group(2)
    if text == "":
        return number
    found = _split_unit(text)
    if found is None or found[1] != unit:
        raise ParameterError(must(field, f"given in {unit or 'plain numbers'}", value, "check the unit"))
    return number * found[0]


def unit_of(text: str) -> str:
    """The unit of a quantity as text, without its prefix; "" where it has none."""
    match = _QUANTITY.match(text)
    found = _split_unit(match.group(2)) if match is not None else None
    return found[1] if found else ""


def measure(value: str | float, *, field: str = "quantity") -> float:
    """The SI float of a number with any unit known here, or without one. Raises ParameterError."""
    return quantity(value, unit_of(value) if isinstance(value, str) else "", field=field)


def si(value: float, unit: str, digits: int = 3) -> str:
    """`value` (SI) with the prefix that reads best: `si(2.6e-12, "J") == "2.6 pJ"`."""
    if value == 0:
        return f"0 {unit}"
    for prefix in ("G", "M", "k", "", "m", "µ", "n", "p", "f"):
        if abs(value) >= _PREFIX[prefix] * (1 - 1e-9):
            return f"{value / _PREFIX[prefix]:.{digits}g} {prefix}{unit}"
    return f"{value / 1e-15:.{digits}g} f{unit}"
