"""Laws of every device: what is drawn is what its curves declare. A new file in hardware/devices is picked up here.

20,000 cells per level, seeds fixed. Shares are held to 6 standard deviations of a binomial, distributions to a
Kolmogorov-Smirnov p of 1e-7: over all devices, levels and times a right model would fail with probability below 1e-4.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.special import ndtr
from scipy.stats import kstest
from torch import nn

import spikesim as ss
from spikesim import hardware
from spikesim.core import registry
from spikesim.hardware import devices
from spikesim.hardware.constant import STATUS, units
from spikesim.hardware.devices.base import Device
from spikesim.hardware.effects.ageing import Logarithmic, PowerLaw, Steady, Tabulated
from spikesim.hardware.effects.spread import Lognormal

N = 20_000
P = 1e-7
KINDS = registry.names(devices)
PLACEHOLDERS = {"S": 40e-6, "V": 3.4, "s": 1.0, "A": 1e-6, "": 0.05}
"""For constants that a macro must give, by unit."""


def example(kind: str) -> Device:
    """A cell of each kind: its defaults, and round numbers for what has none."""
    member = registry.get(devices, kind).Cell
    known = units(member)
    given = {
        f.name: 1e-7 if f.name == "g_min" else PLACEHOLDERS[known[f.name]]
        for f in dataclasses.fields(member)
        if f.default is dataclasses.MISSING
    }
    return member(**given)


VARIANTS = {
    "independent": dict(programming_error=(2e-6,), read_error=(1e-6,)),
    "proportional": dict(programming_share=0.07, read_share=0.02),
    "polynomial": dict(programming_error=(5e-7, 6e-6, -4e-6), g_reference=40e-6),
    "lognormal": dict(lognormal_error=0.15),
    "relaxing": dict(
        programming_error=(1e-6,), relaxation_times=(60.0, 3600.0), relaxation_shift=(-1e-7, -4e-7),
        relaxation_sd=(3e-7, 2e-6),
    ),
}  # fmt: skip
CELLS: dict[str, Device] = {kind: example(kind) for kind in KINDS}
CELLS |= {f"program_verify {k}": dataclasses.replace(CELLS["program_verify"], **v) for k, v in VARIANTS.items()}  # type: ignore[type-var]
LEVELS = (0.02, 0.25, 0.5, 0.75, 1.0)


def levels(cell: Device) -> np.ndarray:
    return np.repeat([[cell.g_min + f * (cell.g_max - cell.g_min)] for f in LEVELS], N, axis=1)


def held_to(g: np.ndarray, mean: float, sd: float) -> None:
    """g is max(0, N(mean, sd^2)): the share at zero, and the distribution of the rest."""
    if sd == 0:
        assert np.allclose(g, max(mean, 0), rtol=1e-12)
        return
    zeros = float(ndtr(-mean / sd))
    assert abs((g <= 0).mean() - zeros) <= 6 * math.sqrt(max(zeros * (1 - zeros), 1e-12) / len(g)) + 1e-12
    rest = (ndtr((g[g > 0] - mean) / sd) - zeros) / (1 - zeros)
    assert kstest(rest, "uniform").pvalue > P
    if zeros < 1e-9:
        assert abs(g.mean() - mean) < 6 * sd / math.sqrt(len(g))
        assert abs(g.std() / sd - 1) < 6 / math.sqrt(2 * len(g))


@pytest.mark.parametrize("name", CELLS)
def test_programming_draws_the_declared_curve(name: str) -> None:
    cell, targets = CELLS[name], levels(CELLS[name])
    g = cell.programmed(targets, ss.Seeds(11).generator())
    assert g.dtype == np.float64 and (g >= 0).all()
    if isinstance(cell.programming, Lognormal):
        assert kstest(np.log(g / targets).ravel() / cell.programming.s, "norm").pvalue > P
        return
    for drawn, target, sd in zip(g, targets[:, 0], cell.programming.sd(targets[:, 0])):
        held_to(drawn, target, sd)


@pytest.mark.parametrize("name", CELLS)
def test_time_does_what_is_declared(name: str) -> None:
    """At three times; from cells that hit their targets for models that know no targets."""
    cell, targets = CELLS[name], levels(CELLS[name])
    g, ageing = cell.programmed(targets, ss.Seeds(12).generator()), CELLS[name].ageing
    for seconds in (30.0, 3600.0, 86_400.0):
        if isinstance(ageing, Steady):
            assert np.array_equal(cell.aged(g, seconds, ss.Seeds(13).generator(), targets), g)
        elif isinstance(ageing, Logarithmic):
            aged, passed = cell.aged(targets, seconds, ss.Seeds(13).generator()), math.log(seconds)
            for drawn, target in zip(aged, targets[:, 0]):
                held_to(drawn, target + ageing.shift * passed, ageing.sd + ageing.sd_slope * passed)
        elif isinstance(ageing, PowerLaw):
            aged = cell.aged(targets, seconds, ss.Seeds(13).generator(), targets)
            nu = -np.log(aged / targets) / math.log((seconds + ageing.t_zero) / ageing.t_zero)
            for drawn, target in zip(nu, targets[:, 0]):
                x = math.log(target / ageing.reference)
                mean, sd = (float(np.clip(c[0] * x + c[1], c[2], c[3])) for c in (ageing.mean, ageing.sd))
                both = ndtr((drawn - mean) / sd) - ndtr((-drawn - mean) / sd)  # |N(mean, sd^2)|
                assert kstest(both, "uniform").pvalue > P
        else:
            assert isinstance(ageing, Tabulated), "a new kind of ageing needs its law here"
            if seconds <= ageing.times[-1]:
                at_the_measured_times(cell, ageing, targets, g)


def at_the_measured_times(cell: Device, ageing: Tabulated, targets: np.ndarray, g: np.ndarray) -> None:
    for k, seconds in list(enumerate(ageing.times))[1:3]:
        aged = cell.aged(g, seconds, ss.Seeds(13).generator(), targets)
        for drawn, target in zip(aged, targets[:, 0]):
            centre = target + (float(ageing.shifts[k](target)) if ageing.shifts else 0.0)
            # the curve may shrink below the programmed spread, which a cell cannot lose again
            sd = max(float(ageing.spreads[k].sd(np.float64(centre))), float(ageing.spreads[0].sd(np.float64(target))))
            held_to(drawn, centre, sd)


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_has_one_life(name: str) -> None:
    """aged(0) is what was programmed; a generator started anew gives the same cells, and cells grow old in order."""
    cell, targets = CELLS[name], levels(CELLS[name])[:, :500]
    g = cell.programmed(targets, ss.Seeds(1).generator())
    assert np.array_equal(cell.aged(g, 0.0, ss.Seeds(2).generator(), targets), g)
    hour, again = (cell.aged(g, 3600.0, ss.Seeds(2).generator(), targets) for _ in range(2))
    assert np.array_equal(hour, again)
    if not isinstance(cell.ageing, Steady):
        near, far = (cell.aged(g, t, ss.Seeds(2).generator(), targets) for t in (3300.0, 30.0))
        assert np.abs(hour - near).mean() < np.abs(hour - far).mean()


@pytest.mark.parametrize("name", CELLS)
def test_a_read_spreads_by_a_finite_sd(name: str) -> None:
    cell = CELLS[name]
    g = np.linspace(0, cell.g_max, 101)
    for seconds in (0.0, 3600.0):
        sd = cell.read_sd(g, seconds, g)
        assert sd.shape == g.shape and np.isfinite(sd).all() and (sd >= 0).all()
    assert np.array_equal(cell.seen(g, 0.1), g * cell.conduction.factor(0.1))


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_has_a_unit_a_status_and_a_source(kind: str) -> None:
    member = registry.get(devices, kind).Cell
    assert member.__doc__ and ("=" in (registry.get(devices, kind).__doc__ or "") or kind == "ideal"), "no equation"
    for known in dataclasses.fields(member):
        assert known.metadata, f"{kind}.{known.name} is not a constant()"
        if known.default is not dataclasses.MISSING and kind != "program_verify":
            assert known.metadata["source"] and known.metadata["status"] in STATUS


@pytest.mark.parametrize("name", CELLS)
def test_targets_outside_the_window_are_refused(name: str) -> None:
    cell = CELLS[name]
    for target in (cell.g_max * 1.01, -1e-9, math.nan, math.inf):
        with pytest.raises(ss.SpikesimError, match="target must be within"):
            cell.programmed(np.array([cell.g_max, target]), ss.Seeds(0).generator())
    with pytest.raises(ss.SpikesimError, match=r"aged\.seconds must be a number at least 0 s"):
        cell.aged(np.array([cell.g_max]), -1.0, ss.Seeds(0).generator())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("window", [(1e-6, 1e-6), (2e-6, 1e-6), (-1e-6, 1e-6), (0.0, 0.0), (0.0, math.nan)])
def test_a_window_must_open(kind: str, window: tuple[float, float]) -> None:
    with pytest.raises(ss.SpikesimError):
        dataclasses.replace(CELLS[kind], g_min=window[0], g_max=window[1])  # type: ignore[type-var]


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("seconds", [0.0, 3600.0])
def test_reads_of_a_chip_fluctuate_as_its_cells_do(name: str, seconds: float) -> None:
    """6000 reads of 30 driven rows without conversion: mean and spread of every output from the chip's own cells."""
    cell, reads = CELLS[name], 6000
    if isinstance(cell.ageing, Tabulated) and seconds > cell.ageing.times[-1]:
        pytest.skip("its ageing was not measured that long")
    torch.manual_seed(0)
    network = ss.Network.chain(nn.Linear(30, 3, bias=False)).requires_grad_(False)
    macro = hardware.load_macro("ideal").varied(device=cell)
    chip = hardware.deploy(network, macro, seeds=ss.Seeds(5), calibration=torch.ones(1, 1, 30)).aged(seconds)
    y = ss.run(chip, torch.ones(1, reads, 30)).output[0].double().numpy()
    crossbar = chip.crossbars["0"]
    g = crossbar.g.astype(np.float64)
    np.testing.assert_array_equal(crossbar.g, crossbar.stored.bare(macro, seconds))
    sd = cell.read_sd(g, seconds, crossbar.stored.programmed.astype(np.float64))
    scale, pairs = crossbar.bank.laid.scale, (len(g), -1, 2)
    mean = scale * (g[:, 0::2] - g[:, 1::2]).sum(0)
    spread = scale * np.sqrt((sd**2).reshape(pairs).sum((0, 2)))
    rounding = 1e-5 * scale * g.sum(0).max()
    assert (np.abs(y.mean(0) - mean) <= 6 * spread / math.sqrt(reads) + rounding).all()
    assert (np.abs(y.std(0) - spread) <= 6 * spread / math.sqrt(2 * reads) + rounding).all()
