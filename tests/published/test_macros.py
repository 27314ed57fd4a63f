"""The shipped macros say what their sources say, and every constant names its source and status."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spikesim import hardware
from spikesim.core.ledger import Action
from spikesim.hardware.presets import STATUS


@pytest.mark.parametrize("name", hardware.macro_names())
def test_every_constant_has_a_source_and_a_status(name: str) -> None:
    macro = hardware.load_macro(name)
    assert macro.name == name and macro.description and macro.source
    assert all(c.source and c.status in STATUS for c in macro.constants)


def test_forming_as_measured() -> None:
    """Share of 400 cells formed at each voltage, published data; the normal model is shifted by half its 0.02 V grid."""
    cell = hardware.load_macro("taox40").device
    for volts, share in ((3.3, 0.160), (3.4, 0.388), (3.5, 0.708), (3.6, 0.943), (3.7, 1.000)):
        assert cell.formed_share(min(volts + 0.01, 3.7)) == pytest.approx(share, abs=0.06)  # type: ignore[attr-defined]


def test_board_and_projection() -> None:
    """60 nJ and 20 us per conversion on the board; 2.607 pJ for 8 bits at 40 nm from the survey's bound."""
    board, projected = hardware.load_macro("taox40"), hardware.load_macro("taox40-projected")
    assert board.prices[Action.column_convert] == pytest.approx(60e-9) and board.t_convert == pytest.approx(20e-6)
    assert projected.prices[Action.column_convert] == pytest.approx(2.607e-12) and projected.adc.bits == 8
    assert projected.rows == projected.columns == 512 and projected.g_max_range == pytest.approx((12.3e-6, 61.7e-6))
    statuses = {c.key: c.status for c in projected.constants}
    for key in ("array.v_read", "array.t_read", "device.g_max", "device.programming_error"):
        assert statuses[key] == "assumed"


def test_constants_of_the_cells() -> None:
    """The published statistics as the files state them: 400 forming voltages, 1430 formed cells, 2 % read noise."""
    for name in ("taox40", "taox40-projected"):
        macro = hardware.load_macro(name)
        wanted = {"forming_mean": 3.433, "forming_sd": 0.1144, "formed_cv": 0.149, "read_noise": 0.02}
        for key, value in wanted.items():
            assert getattr(macro.device, key) == pytest.approx(value)
            constant = next(c for c in macro.constants if c.key == f"device.{key}")
            assert constant.status == ("paper" if key == "read_noise" else "measured")
        assert "assumption" in macro.note


def test_both_designs_share_their_cells_and_digital_prices() -> None:
    """taox40 and taox40-projected differ in the converter alone, so that their joules differ by it alone."""
    board, projected = (
        {c.key: c.text for c in hardware.load_macro(name).constants} for name in ("taox40", "taox40-projected")
    )
    differ = {k for k in board | projected if board.get(k) != projected.get(k) and not k.startswith("published.")}
    converter = {"adc.bits", "adc.t_convert", "adc.columns_per_converter", "price.column_convert", "area.converter"}
    assert differ == converter  # the board's converter stands beside the chip and takes none of its area


def test_measured_cells(shared_data: Path) -> None:
    """Cell statistics in the TOML against the published measurements themselves."""
    volts = np.loadtxt(shared_data / "devices" / "breakdown_voltage_V.csv", skiprows=1)
    maps = [
        np.loadtxt(shared_data / "devices" / f"weight_map_{m}.csv", delimiter=",")
        for m in ("input_50x8", "hidden_50x50")
    ]
    formed = np.concatenate([m[m > 0] for m in maps])
    values = {c.key: c.value for c in hardware.load_macro("taox40").constants}
    assert values["device.forming_mean"] == pytest.approx(volts.mean(), abs=0.001)
    assert values["device.forming_sd"] == pytest.approx(volts.std(ddof=1), abs=0.001)
    assert values["device.formed_cv"] == pytest.approx(formed.std() / formed.mean(), abs=0.001)
    assert values["device.g_max_low"] == pytest.approx(formed.mean() * 1e-6, rel=0.01)
