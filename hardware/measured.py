"""Measured cells from CSV files: maps of an array, and tables with a header. Whoever measured states the unit.

A unit is that of a conductance ("uS"), of a resistance ("kohm"), or of a current ("uA") read at `volts`.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np

from spikesim.errors import DatasetError, ParameterError, must, nearest
from spikesim.units import quantity

UNITS = ("S", "ohm", "A")


def read_map(path: str | Path, *, unit: str, volts: float | None = None) -> np.ndarray:
    """Conductances (rows, columns) in siemens, float64, from a CSV without header, one line per row of the array.

    Raises DatasetError for a file that is no such map, ParameterError for a unit that does not fit.
    """
    lines = _lines(Path(path))
    return siemens(_matrix(lines, Path(path), list(range(1, len(lines) + 1))), unit, volts)


def is_map(path: str | Path) -> bool:
    """Whether a CSV starts with numbers: a map, not a table with a header."""
    lines = _lines(Path(path))
    return len(lines[0]) > 1 and all(_number(cell) is not None for cell in lines[0])


def read_table(path: str | Path, columns: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The named columns of a CSV with a header, as float64. DatasetError for columns that are not there, for cells
    that are empty, no numbers or not finite."""
    if not columns:
        return {}
    path = Path(path)
    header, *lines = _lines(path)
    header = [name.strip() for name in header]
    for name in columns:
        if name not in header:
            raise DatasetError(must(f"{path} columns", f"with {name}", ", ".join(header), nearest(name, header)))
    if not lines:
        raise DatasetError(must(f"{path}", "a table with at least one line under its header", "the header alone"))
    places = [header.index(name) for name in columns]
    short = next((i for i, line in enumerate(lines) if len(line) <= max(places)), None)
    if short is not None:
        raise DatasetError(must(f"{path} line {short + 2}", f"of {len(header)} cells", len(lines[short])))
    chosen = [[line[p] for p in places] for line in lines]
    table = _matrix(chosen, path, list(range(2, len(lines) + 2)))
    return {name: table[:, i] for i, name in enumerate(columns)}


def header_of(path: str | Path) -> list[str]:
    """Names in a CSV's first line."""
    return [name.strip() for name in _lines(Path(path))[0]]


def siemens(values: np.ndarray, unit: str, volts: float | None = None, *, zero: bool = True) -> np.ndarray:
    """Values in `unit` as siemens; a current needs the `volts` it was read at. Below zero is refused."""
    for base in UNITS:
        if not unit.strip():
            continue
        try:
            scale = quantity(f"1 {unit}", base)
        except ParameterError:
            continue
        break
    else:
        raise ParameterError(must("unit", "of a conductance, resistance or current, like uS, kohm, uA", unit or '""'))
    if base == "A" and not (volts and math.isfinite(volts) and volts > 0):
        raise ParameterError(must("volts", "the read voltage above 0 V of currents", volts))
    if base != "A" and volts is not None:
        raise ParameterError(must("volts", f"left out with unit {unit}", volts))
    if (values < 0).any():
        raise ParameterError(must("measured cells", f"at least 0 {unit}", float(values[values < 0].flat[0])))
    if base == "ohm":
        if (values == 0).any():
            raise ParameterError(must("measured cells", f"above 0 {unit}", 0.0))
        return 1 / (values * scale)
    return values * scale / (volts if base == "A" and volts else 1.0)


def _lines(path: Path) -> list[list[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            found = [line for line in csv.reader(file) if any(cell.strip() for cell in line)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DatasetError(must(f"{path}", "a CSV file that can be read", reason)) from None
    if not found:
        raise DatasetError(must(f"{path}", "a CSV file with lines", "an empty one"))
    return found


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _matrix(lines: list[list[str]], path: Path, numbers: list[int]) -> np.ndarray:
    """Lines of equal length as float64; `numbers` are their places in the file."""
    for line, at in zip(lines, numbers):
        if len(line) != len(lines[0]):
            raise DatasetError(must(f"{path} line {at}", f"of {len(lines[0])} cells", len(line)))
        for cell in line:
            value = _number(cell)
            if value is None or not math.isfinite(value):
                raise DatasetError(must(f"{path} line {at}", "finite numbers", cell.strip() or "an empty cell"))
    return np.array(lines, np.float64)
