"""Faults, telegraph noise and conduction against what they declare. Seeds fixed; bounds 5 to 6 standard deviations."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import spikesim as ss
from spikesim import hardware
from spikesim.core import registry
from spikesim.hardware import faults
from spikesim.hardware.devices.program_verify import Cell
from spikesim.hardware.effects.conduction import Cubic
from spikesim.hardware.effects.telegraph import Telegraph
from spikesim.hardware.faults.base import Faults
from spikesim.hardware.placement import placed
from spikesim.hardware.stored import write

G = np.full((512, 512), 20e-6)
WINDOW = (1e-6, 50e-6)


def close(share: float, wanted: float, n: int) -> None:
    assert abs(share - wanted) <= 6 * math.sqrt(wanted * (1 - wanted) / n)


@pytest.mark.parametrize("name", registry.names(faults))
def test_stuck_cells_have_the_declared_shares(name: str) -> None:
    preset = registry.get(faults, name).Faults()
    struck = preset.struck(G, WINDOW, ss.Seeds(1).generator())
    alive = (1 - preset.columns) * (1 - preset.rows)
    for value, share in ((WINDOW[0], preset.low), (WINDOW[1], preset.high)):
        close(float((struck == value).mean()), share * alive, G.size // 20)  # dead lines take cells together
    dead = (struck == 0).all(0).mean()
    close(float(dead), preset.columns, 512) if preset.columns else None
    assert ((struck == G) | np.isin(struck, [0.0, *WINDOW])).all()


def test_lines_open_as_wholes() -> None:
    struck = Faults(rows=0.02, columns=0.01).struck(G, WINDOW, ss.Seeds(3).generator())
    rows, columns = (struck == 0).all(1), (struck == 0).all(0)
    assert 0 < rows.sum() < 30 and 0 < columns.sum() < 20
    assert (struck[~rows][:, ~columns] == 20e-6).all()


def test_clusters_are_clustered_and_of_the_declared_density() -> None:
    """The share of stuck cells is 1 - exp(-clusters); a stuck cell's neighbour is stuck far more often than others."""
    found = [Faults(clusters=0.05).struck(G, WINDOW, ss.Seeds(s).generator()) == WINDOW[0] for s in range(20)]
    share = float(np.mean(found))
    assert share == pytest.approx(1 - math.exp(-0.05), rel=0.03)
    beside = np.mean([(f[:, 1:] & f[:, :-1]).sum() / f[:, 1:].sum() for f in found])
    assert beside > 0.7
    edge = np.mean([np.concatenate([f[0], f[-1], f[:, 0], f[:, -1]]).mean() for f in found])
    assert edge == pytest.approx(share, rel=0.25)  # cells at the border are hit as often


def test_faults_stay_where_they_are() -> None:
    """The same cells are stuck whatever is programmed, and when the chip is old."""
    macro = hardware.load_macro("taox40-projected", faults="immature")
    stuck = []
    for target in (10e-6, 30e-6):
        stored = write(np.full((200, 100), target), macro, placed(200, 50, macro), ss.Seeds(4))
        for age in (0.0, 86_400.0):
            g, _ = stored.seen(macro, age)
            stuck.append(np.isin(g, np.float32([0.0, macro.device.g_min, macro.device.g_max])))
    assert stuck[0].mean() == pytest.approx(0.1, abs=0.02)
    assert all(np.array_equal(s, stuck[0]) for s in stuck[1:])


@pytest.mark.parametrize("field", ["low", "high", "open", "rows", "columns", "clusters"])
@pytest.mark.parametrize("value", [-0.1, 1.5, math.nan])
def test_shares_that_cannot_be_are_refused(field: str, value: float) -> None:
    with pytest.raises(ss.SpikesimError, match=rf"Faults\.{field} must be"):
        Faults(**{field: value})
    with pytest.raises(ss.SpikesimError, match=r"low \+ high \+ open must be at most 1"):
        Faults(low=0.6, high=0.6)


def test_faults_in_a_macro() -> None:
    """A preset by name, its numbers among the constants with their status; an unknown one has the nearest names."""
    macro = hardware.load_macro("taox40-projected", faults="mature")
    known = {c.key: c for c in macro.constants}
    assert known["faults.low"].status == "paper" and "MNSIM" in known["faults.low"].source
    assert not hardware.load_macro("taox40-projected").faults.any and "mature" in hardware.fault_names()
    with pytest.raises(ss.SpikesimError, match=r"faults\.kind must be one of the faults, got premature; did you mean"):
        hardware.load_macro("taox40-projected", faults="premature")


def test_telegraph_noise_has_the_declared_covariance() -> None:
    """Mean, variance and correlation over a lag, of 20,000 noisy cells."""
    noise, g, lag = Telegraph(1.0, 0.1, t_filled=2.0, t_empty=6.0), np.full(20_000, 10e-6), 0.7
    trace = noise.trace(g, np.array([0.0, lag]), ss.Seeds(5).generator()) / 10e-6
    p = 2 / 8
    assert set(np.unique(trace).round(9)) == {0.9, 1.0}
    variance = p * (1 - p) * 0.01
    assert trace.mean() == pytest.approx(1 - 0.1 * p, abs=6 * math.sqrt(variance / 20_000))
    assert trace.var() == pytest.approx(variance, rel=0.05)
    assert np.corrcoef(trace)[0, 1] == pytest.approx(math.exp(-lag * (1 / 2 + 1 / 6)), abs=0.04)
    few = Telegraph(0.2, 0.1, 2.0, 6.0)
    far = few.trace(g, np.array([0.0, 1e3]), ss.Seeds(6).generator())
    assert np.mean(far.std(0) > 0) < 0.2 and np.diff(far, axis=0).std() > 0
    assert few.sd(g)[0] == pytest.approx(0.1 * 10e-6 * math.sqrt(0.2 * p * (1 - p)))


def test_telegraph_noise_is_flagged_as_experimental() -> None:
    cell = Cell(1e-6, 50e-6, read_share=0.02, telegraph_share=0.2, telegraph_amplitude=0.1)
    assert "experimental" in cell.warnings[0] and not Cell(1e-6, 50e-6).warnings
    g = np.array([30e-6])
    assert cell.read_sd(g)[0] == pytest.approx(30e-6 * math.hypot(0.02, 0.1 * math.sqrt(0.2 * 0.25)))
    with pytest.raises(ss.SpikesimError, match=r"Telegraph\.amplitude must be"):
        Cell(1e-6, 50e-6, telegraph_share=0.2, telegraph_amplitude=2.0)


def test_conduction() -> None:
    cubic = Cubic(0.3, 0.5)
    assert cubic.factor(0.5) == pytest.approx(1.3) and cubic.factor(-0.25) == pytest.approx(1.075)
    with pytest.raises(ss.SpikesimError, match=r"conduction\.volts must be at most 0\.5 V"):
        cubic.factor(0.6)


MACRO = """
[device]
kind = "program_verify"
g_min = { value = "1 uS", status = "measured", source = "me" }
g_max = { value = "50 uS", status = "measured", source = "me" }
"""
LINES = {
    'programming_error = { value = ["1 uS", "2 uS"], status = "fit", source = "me" }': "g_reference must be given",
    'programming_error = { value = [1, 2], status = "fit", source = "me" }': "a number with its unit, S, got 1",
    'programming_error = { value = ["1 V"], status = "fit", source = "me" }': "must be given in S, got 1 V",
    'relaxation_times = { value = ["1 s"], status = "fit", source = "me" }': "times, shifts and sds of one length",
    'iv_excess = { value = 0.2, status = "fit", source = "me" }': "iv_voltage must be given with iv_excess",
    'read_shore = { value = 0.2, status = "fit", source = "me" }': "device.read_shore; did you mean device.read_share",
    'nu_mean = { value = 0.2, status = "fit", source = "me" }': "a constant of device.kind program_verify",
    'read_share = { value = [0.2, 0.3], status = "fit", source = "me" }': "device.read_share must be one number",
}


@pytest.mark.parametrize("line", LINES)
def test_a_wrong_device_file_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MACRO + line)
    with pytest.raises(ss.SpikesimError) as caught:
        hardware.load_device(path)
    assert LINES[line] in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_device_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MACRO + 'programming_share = { value = 0.03, status = "measured", source = "me" }')
    cell = hardware.load_device(path)
    assert isinstance(cell, Cell) and cell.programming_share == 0.03 and cell.g_max == pytest.approx(50e-6)
    assert hardware.load_macro("taox40", device=path).device.g_max == pytest.approx(50e-6)
    path.write_text("[array]\n" + MACRO)
    with pytest.raises(ss.SpikesimError, match=r"key must be of a device's file, got array"):
        hardware.load_device(path)
