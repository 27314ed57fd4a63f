"""fit_device: cells drawn from a known device are found again, and files that are no measurements are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import spikesim as ss
from spikesim import hardware
from spikesim.hardware.devices.program_verify import Cell

N = 4000
TARGETS = np.random.default_rng(0).uniform(2e-6, 50e-6, N)


def table(path: Path, **columns: np.ndarray) -> Path:
    lines = [",".join(columns), *(",".join(f"{v:.9g}" for v in line) for line in zip(*columns.values()))]
    path.write_text("\n".join(lines) + "\n")
    return path


def drawn(**constants: object) -> np.ndarray:
    return Cell(1e-6, 60e-6, **constants).programmed(TARGETS, ss.Seeds(1).generator())  # type: ignore[arg-type]


CURVES: dict[str, dict[str, object]] = {
    "independent": dict(programming_error=(2e-7,)),
    "proportional": dict(programming_share=0.05),
    "polynomial of degree 1": dict(programming_error=(1e-7, 1.5e-6), g_reference=50e-6),
    "polynomial of degree 2": dict(programming_error=(2e-7, 4e-6, -3.6e-6), g_reference=50e-6),
    "lognormal": dict(lognormal_error=0.2),
}


@pytest.mark.parametrize("curve", CURVES)
def test_the_curve_that_was_drawn_is_found(tmp_path: Path, curve: str) -> None:
    """Curve by BIC, KS p well above chance, spread within 6 % (4 standard errors) over the middle of the range."""
    truth = Cell(1e-6, 60e-6, **CURVES[curve])  # type: ignore[arg-type]
    path = table(tmp_path / "cells.csv", target=TARGETS * 1e6, measured=drawn(**CURVES[curve]) * 1e6)
    fitted = hardware.fit_device(path, unit="uS")
    found = fitted.goodness["programming"]
    assert found["curve"] == curve and found["n"] == N and found["ks_p"] > 1e-3 and found["ks_p_held_out"] > 1e-3
    g = np.linspace(5e-6, 45e-6, 50)
    np.testing.assert_allclose(fitted.device.programming.sd(g), truth.programming.sd(g), rtol=0.06)
    assert fitted.device.g_min == pytest.approx(TARGETS.min(), rel=1e-6) and not fitted.warnings


def test_the_file_is_the_device(tmp_path: Path) -> None:
    """Saved and loaded: the same cells; in a macro: its window, its sources; goodness stands in the file."""
    path = table(tmp_path / "cells.csv", target=TARGETS * 1e6, measured=drawn(programming_share=0.05) * 1e6)
    fitted = hardware.fit_device(path, unit="uS")
    saved = fitted.save(tmp_path / "mine.toml")
    assert hardware.load_device(saved) == fitted.device
    macro = hardware.load_macro("taox40-projected", device=saved)
    assert macro.device == fitted.device and macro.g_max_range[1] == fitted.device.g_max
    sources = {c.key: c.source for c in macro.constants}
    assert "cells.csv, n = 4000" in sources["device.programming_share"]
    assert "ks_p" in saved.read_text() and "bic proportional" in saved.read_text()
    assert "curve proportional" in str(fitted)
    chip = hardware.deploy(network(), macro, seeds=ss.Seeds(0))
    assert chip.crossbars["0"].g.max() < 2 * fitted.device.g_max


def network() -> ss.Network:
    from torch import nn

    return ss.Network.chain(nn.Linear(4, 2), ss.IF(0.5)).requires_grad_(False)


@pytest.mark.parametrize(
    ("truth", "name"), [(dict(read_share=0.02), "read_share"), (dict(read_error=(3e-7,)), "read_error")]
)
def test_repeated_reads_show_read_noise(tmp_path: Path, truth: dict[str, object], name: str) -> None:
    g, cell, draw = drawn(programming_share=0.05), Cell(1e-6, 60e-6, **truth), ss.Seeds(3).generator()  # type: ignore[arg-type]
    reads = {f"r{k}": 1e6 * (g + cell.read_sd(g) * draw.standard_normal(N)) for k in range(4)}
    fitted = hardware.fit_device(
        table(tmp_path / "c.csv", target=TARGETS * 1e6, **reads), unit="uS", reads=tuple(reads)
    )
    found, known = np.atleast_1d(getattr(fitted.device, name)), np.atleast_1d(getattr(cell, name))
    np.testing.assert_allclose(found, known, rtol=0.04)
    assert fitted.goodness["read"]["n"] == 3 * N


def test_time_shows_relaxation(tmp_path: Path) -> None:
    truth = Cell(
        1e-6, 60e-6, programming_error=(4e-7,), relaxation_times=(60.0, 3600.0), relaxation_shift=(-2e-7, -8e-7),
        relaxation_sd=(3e-7, 9e-7),
    )  # fmt: skip
    g = truth.programmed(TARGETS, ss.Seeds(1).generator())
    later = [truth.aged(g, t, ss.Seeds(2).generator(), TARGETS) for t in (60.0, 3600.0)]
    path = table(
        tmp_path / "c.csv", target=1e6 * np.tile(TARGETS, 3), measured=1e6 * np.concatenate([g, *later]),
        seconds=np.repeat([1.0, 60.0, 3600.0], N),
    )  # fmt: skip
    device = hardware.fit_device(path, unit="uS", time="seconds").device
    assert device.relaxation_times == (60.0, 3600.0)
    np.testing.assert_allclose(device.relaxation_shift, truth.relaxation_shift, atol=5e-8)
    np.testing.assert_allclose(device.relaxation_sd, truth.relaxation_sd, rtol=0.15)
    with pytest.raises(ss.SpikesimError, match=r"aged\.seconds must be at most 3600 s"):
        device.aged(g, 7200.0, ss.Seeds(0).generator(), TARGETS)


def test_voltages_show_how_the_current_departs_from_g_v(tmp_path: Path) -> None:
    truth = Cell(1e-6, 60e-6, programming_share=0.02, iv_excess=0.3, iv_voltage=0.5)
    volts = np.tile([0.1, 0.3, 0.5, 0.1], N // 4)
    seen = drawn(programming_share=0.02) * [truth.conduction.factor(v) for v in volts]
    path = table(tmp_path / "c.csv", target=TARGETS * 1e6, measured=seen * 1e6, volts=volts)
    device = hardware.fit_device(path, unit="uS", voltage="volts").device
    assert device.iv_excess == pytest.approx(0.3, abs=0.01) and device.iv_voltage == 0.5
    assert device.programming_share == pytest.approx(0.02, rel=0.05)
    with pytest.raises(ss.SpikesimError, match=r"at most 0\.5 V"):
        device.seen(TARGETS, 0.6)


@pytest.mark.parametrize(
    ("unit", "volts", "scale"), [("uS", None, 1e6), ("S", None, 1.0), ("uA", 0.2, 2e5), ("nA", 0.1, 1e8)]
)
def test_units_and_read_voltages(tmp_path: Path, unit: str, volts: float | None, scale: float) -> None:
    path = table(tmp_path / "c.csv", target=TARGETS * scale, measured=drawn(programming_share=0.05) * scale)
    device = hardware.fit_device(path, unit=unit, volts=volts).device
    assert device.g_max == pytest.approx(TARGETS.max(), rel=1e-6)
    assert device.programming_share == pytest.approx(0.05, rel=0.05)


def test_resistances(tmp_path: Path) -> None:
    path = table(tmp_path / "c.csv", target=1e-3 / TARGETS, measured=1e-3 / drawn(programming_share=0.05))
    assert hardware.fit_device(path, unit="kohm").device.programming_share == pytest.approx(0.05, rel=0.05)


def test_formed_cells_and_forming_voltages(tmp_path: Path) -> None:
    """A map of cells formed at random and a file of voltages: share, median, spread, shape and curve are found."""
    cell = hardware.load_macro("taox40").device
    g = cell.form((60, 60), 3.433, ss.Seeds(2).generator())
    g[g == cell.g_min] = 0
    cells, volts = tmp_path / "map.csv", tmp_path / "volts.csv"
    cells.write_text("\n".join(",".join(f"{v:.6g}" for v in row) for row in 1e6 * g))
    table(volts, breakdown_V=ss.Seeds(3).generator().normal(3.433, 0.1144, 400))
    fitted = hardware.fit_device(cells, unit="uS", forming=volts)
    assert fitted.goodness["formed"]["curve"] == "lognormal"
    assert fitted.goodness["formed"]["formed_share"] == pytest.approx(0.5, abs=0.05)
    device = fitted.device
    assert device.formed_cv == pytest.approx(0.149, rel=0.1) and device.formed_median == pytest.approx(
        61.7e-6, rel=0.02
    )
    assert device.forming_mean == pytest.approx(3.433, abs=0.025) and device.forming_sd == pytest.approx(
        0.1144, rel=0.15
    )
    again = device.form((200_000,), 3.433, ss.Seeds(5).generator())
    assert (again > 0).mean() == pytest.approx(0.5, abs=0.1)
    alone = hardware.fit_device(volts, unit="V")
    with pytest.raises(ss.SpikesimError, match="fitted to cells"):
        alone.device  # noqa: B018
    np.testing.assert_allclose(hardware.read_map(cells, unit="uS"), g, rtol=1e-5)


def test_a_fit_that_leaves_something_out_says_so(tmp_path: Path) -> None:
    off = table(tmp_path / "off.csv", target=TARGETS * 1e6, measured=1.02 * drawn(programming_share=0.05) * 1e6)
    assert "deviations have a mean of" in hardware.fit_device(off, unit="uS").warnings[0]
    draw = np.random.default_rng(1)
    two = np.where(draw.random(N) < 0.5, 1.3, 0.7)
    odd = table(tmp_path / "odd.csv", target=TARGETS * 1e6, measured=TARGETS * two * 1e6)
    assert any("no curve describes these cells well" in w for w in hardware.fit_device(odd, unit="uS").warnings)


GOOD = "target,measured\n" + "\n".join(f"{t},{t * 1.01}" for t in range(1, 31)) + "\n"
FILES: dict[str, tuple[str, dict[str, object]]] = {
    "columns must be with measured, got target, measure; did you mean measure": (
        GOOD.replace("measured", "measure"),
        {},
    ),
    "line 5 must be finite numbers, got nan": (GOOD.replace("4,4.04", "4,nan"), {}),
    "line 5 must be finite numbers, got inf": (GOOD.replace("4,4.04", "4,inf"), {}),
    "line 5 must be finite numbers, got an empty cell": (GOOD.replace("4,4.04", "4,"), {}),
    "line 5 must be finite numbers, got four": (GOOD.replace("4,4.04", "4,four"), {}),
    "line 5 must be of 2 cells, got 1": (GOOD.replace("4,4.04", "4"), {}),
    "must be of at least 20 cells, got 3": ("target,measured\n1,1\n2,2.1\n3,3\n", {}),
    "must be a table with at least one line under its header": ("target,measured\n", {}),
    "must be a CSV file with lines, got an empty one": ("", {}),
    "must be of at least two targets": ("target,measured\n" + "\n".join(f"5,{t}" for t in range(1, 31)), {}),
    "must be of measured cells, got cells that equal their targets": (
        "target,measured\n" + "\n".join(f"{t},{t}" for t in range(1, 31)),
        {},
    ),
    "unit must be of a conductance, resistance or current": (GOOD, {"unit": "kg"}),
    'unit must be of a conductance, resistance or current, like uS, kohm, uA, got ""': (GOOD, {"unit": ""}),
    "volts must be the read voltage above 0 V of currents, got None": (GOOD, {"unit": "uA"}),
    "volts must be left out with unit uS, got 0.2": (GOOD, {"volts": 0.2}),
    "measured cells must be at least 0 uS, got -1.0": (GOOD.replace("1,1.01", "1,-1", 1), {}),
    "columns must be with hours": (GOOD, {"time": "hours"}),
    "columns must be one column of forming voltages, got target, measured": (GOOD, {"unit": "V"}),
    "must be forming voltages above 0 V that differ": ("v\n" + "3.4\n" * 30, {"unit": "V"}),
}


@pytest.mark.parametrize("message", sorted(FILES))
def test_a_file_that_is_no_measurement_is_refused(tmp_path: Path, message: str) -> None:
    text, options = FILES[message]
    path = tmp_path / "cells.csv"
    path.write_text(text)
    with pytest.raises(ss.SpikesimError) as caught:
        hardware.fit_device(path, **{"unit": "uS", **options})  # type: ignore[arg-type]
    assert message in str(caught.value) and "\n" not in str(caught.value)


MAPS: dict[str, Callable[[Path], object]] = {
    "must be a CSV file that can be read": lambda folder: hardware.read_map(folder / "none.csv", unit="uS"),
    "line 2 must be of 2 cells, got 1": lambda folder: hardware.read_map(folder / "ragged.csv", unit="uS"),
    "line 1 must be finite numbers, got a": lambda folder: hardware.read_map(folder / "text.csv", unit="uS"),
    "measured cells must be above 0 kohm, got 0.0": lambda folder: hardware.read_map(folder / "zero.csv", unit="kohm"),
}


@pytest.mark.parametrize("message", MAPS)
def test_a_file_that_is_no_map_is_refused(tmp_path: Path, message: str) -> None:
    for name, text in {"ragged": "1,2\n3\n", "text": "a,b\n1,2\n", "zero": "0,1\n1,1\n"}.items():
        (tmp_path / f"{name}.csv").write_text(text)
    with pytest.raises(ss.SpikesimError) as caught:
        MAPS[message](tmp_path)
    assert message in str(caught.value) and "\n" not in str(caught.value)
