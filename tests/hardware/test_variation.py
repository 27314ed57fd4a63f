"""Designs with a number changed: by the file's keys, by what numbers stand for; and what is refused, with the nearest name."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import spikesim as ss
from spikesim import hardware
from spikesim.core.ledger import Action
from spikesim.hardware.presets import FOLDER
from spikesim.hardware.variation import FRIENDLY, hardest, keys, point, varied
from spikesim.hardware.wires import Driven, Ideal


def macro(name: str = "taox40-projected") -> hardware.Macro:
    return hardware.load_macro(name)


@pytest.mark.parametrize("name", hardware.macro_names())
def test_every_key_of_every_file_can_be_varied_and_is_the_file_with_that_value(name: str, tmp_path: Path) -> None:
    """Setting a key to another value gives the macro that a file with that value gives, but for its words."""
    given, path = macro(name), FOLDER / f"{name}.toml"
    tables, known = tomllib.loads(path.read_text()), keys(macro(name))
    tried = 0
    for key in known:
        table, entry = key.split(".", 1)
        stated = tables.get(table, {}).get(entry)
        if not isinstance(stated, dict) or isinstance(stated["value"], list) or stated["value"] in (0, "0 V"):
            continue
        value = next(c.value for c in given.constants if c.key == key)
        other = other_value(key, value)
        try:
            changed = varied(given, key, other)
        except ss.SpikesimError:  # out of range there: out of range in the file
            continue
        text = path.read_text().replace(line_of(path, table, entry), f"{entry} = {{ value = {toml(other, known[key])}, "
                                        'status = "assumed", source = "varied" }', 1)  # fmt: skip
        (tmp_path / "other.toml").write_text(text)
        read = hardware.load_macro(tmp_path / "other.toml")
        if key == "device.g_max":
            read = replace(read, g_max_range=changed.g_max_range)
        assert replace(changed, constants=()) == replace(read, constants=(), name=changed.name), key
        found = next(c for c in changed.constants if c.key == key)
        assert (found.value, found.status, found.source) == (other, "assumed", "varied")
        tried += 1
    assert tried >= 5


def other_value(key: str, value: Any) -> float:
    whole = key in ("array.rows", "array.columns", "adc.bits", "adc.columns_per_converter") or key.startswith(
        "hierarchy."
    )
    whole = whole or key in ("adc.per_column", "mapping.slices", "mapping.cell_bits", "faults.cluster_side")
    return value + 1 if whole else 0.9 * value


def line_of(path: Path, table: str, entry: str) -> str:
    """The line of an entry, within its table."""
    lines = path.read_text().splitlines()
    start = lines.index(next(line for line in lines if line.startswith(f"[{table}]")))
    return next(line for line in lines[start:] if line.split("=")[0].strip() == entry)


def toml(value: float, unit: str) -> str:
    return f'"{value!r} {unit}"' if unit else repr(value)


def test_names_do_what_they_say() -> None:
    given = macro()
    assert varied(given, "read_noise", 0.1) == varied(given, "device.read_noise", 0.1)
    assert varied(given, "on_off", 10).device.g_min == pytest.approx(given.device.g_max / 10)
    six = varied(given, "adc_bits", 6)
    assert six.adc.bits == 6 and six.prices[Action.column_convert] < given.prices[Action.column_convert]
    assert varied(given, "adc_bits", 8) is given
    wired = varied(given, "wire_resistance", "2 ohm")
    assert isinstance(wired.wires, Driven) and (wired.wires.wires.r_word, wired.wires.wires.r_bit) == (2, 2)
    assert isinstance(varied(wired, "wire_resistance", 0).wires, Ideal)
    struck = varied(given, "faults", 0.02).faults
    assert (struck.low, struck.high, struck.open) == (0.01, 0.01, 0.0)
    assert (
        varied(given, "faults", "immature").faults == hardware.load_macro("taox40-projected", faults="immature").faults
    )
    side = varied(given, "array", 128)
    assert (side.rows, side.columns) == (128, 128)
    assert varied(macro("isaac32"), "adc_bits", 7).adc.bits == 7
    assert all(hardest(name) for name in FRIENDLY) and hardest("price.row_drive") == ""


def test_cells_that_did_not_form_are_stuck_low_beside_other_faults() -> None:
    given = varied(macro(), "faults", 0.2)
    volts = 3.5
    stuck = 1 - given.device.formed_share(volts)
    assert varied(given, "forming_voltage", f"{volts} V").faults.low == pytest.approx(0.1 + 0.8 * stuck)
    assert varied(given, "forming_voltage", 3.3).faults.low > varied(given, "forming_voltage", 3.6).faults.low


def test_an_age_belongs_to_the_run() -> None:
    aged = point(macro(), {"age": "3600 s", "adc_bits": 6})
    assert aged.age == 3600 and aged.macro.adc.bits == 6 and aged.label == "age=3600 s, adc_bits=6"
    assert point(macro(), {}).label == "as given"


REFUSED = {
    ("device.read_nois", 0.1): "did you mean device.read_noise",
    ("adc_bit", 4): "did you mean adc_bits",
    ("array.v_read", "0.1 A"): "array.v_read must be given in V",
    ("array.rows", 2.5): "array.rows must be a whole number, got 2.5",
    ("adc_bits", 3): "survey_joules.bits must be a whole number at least 4 and at most 10, got 3",
    ("on_off", 1): "on_off must be a number above 1",
    ("faults", 2): "faults must be a number at least 0 and at most 1",
    ("faults", "matur"): "did you mean mature",
    ("forming_voltage", "1 V"): "forming.voltage must be within the measured 3.14 to 3.7 V",
    ("wire_resistance", -1): "wire_resistance must be a number at least 0 ohm",
    ("device.read_noise", 2): "Cell.read_noise must be a number at least 0 and at most 1",
    ("age", "1 V"): "age must be given in s",
    ("age", -1): "age must be a number at least 0 s",
}


@pytest.mark.parametrize(("key", "value"), list(REFUSED))
def test_bad_settings_are_refused_in_one_line(key: str, value: Any) -> None:
    with pytest.raises(ss.SpikesimError) as refused:
        point(macro(), {key: value})
    assert REFUSED[key, value] in str(refused.value) and "\n" not in str(refused.value)


def test_what_a_device_does_not_have_is_refused() -> None:
    with pytest.raises(ss.SpikesimError, match="device must be one whose forming was measured"):
        varied(macro("isaac32"), "forming_voltage", 3.5)
    with pytest.raises(ss.SpikesimError, match="read_noise must be of a device that has it as one share"):
        varied(macro("ideal"), "read_noise", 0.1)
