"""Statistics of emulated cells and reads against what their models declare. Seeds are fixed; bounds are 4 to 5 sigma."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import spikesim as ss
from spikesim import hardware
from spikesim.core import registry
from spikesim.core.normals import normals
from spikesim.hardware import converters
from spikesim.hardware.converters.none import ADC as NoADC
from spikesim.hardware.devices.taox40 import Cell
from spikesim.hardware.mappings.differential import Mapping as Pair
from spikesim.hardware.mappings.offset import Mapping as Offset


def taox40() -> Cell:
    return hardware.load_macro("taox40-projected").device  # type: ignore[return-value]


def test_formed_cells_have_the_declared_share_median_and_spread() -> None:
    cell, n = taox40(), 100_000
    g = cell.form((n,), 3.5, ss.Seeds(1).generator())
    formed = g[g > cell.g_min]
    share = cell.formed_share(3.5)
    assert abs(len(formed) / n - share) < 5 * math.sqrt(share * (1 - share) / n)
    assert np.median(formed) == pytest.approx(cell.g_max, rel=0.004)
    assert formed.std() / formed.mean() == pytest.approx(cell.formed_cv, rel=0.02)


def test_formed_conductances_are_lognormal_and_their_difference_has_no_mean() -> None:
    """Kolmogorov-Smirnov at a false-alarm rate of 1e-4 (fixed seed); two draws make zero-mean random weights."""
    from scipy.stats import kstest

    cell = taox40()
    g = cell.form((2, 50_000), 3.7, ss.Seeds(4).generator())
    spread = math.sqrt(math.log(1 + cell.formed_cv**2))
    formed = g[g > cell.g_min]
    assert kstest(np.log(formed / cell.g_max) / spread, "norm").pvalue > 1e-4
    difference = g[0] - g[1]
    assert abs(difference.mean()) < 5 * difference.std() / math.sqrt(difference.size)


@pytest.mark.parametrize("field", ["g_min", "g_max", "programming_error", "read_noise", "formed_cv", "forming_sd"])
@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_a_cell_that_cannot_be_is_refused(field: str, value: float) -> None:
    with pytest.raises(ss.SpikesimError):
        dataclasses.replace(taox40(), **{field: value})


def test_programming_error_is_proportional_and_never_negative() -> None:
    cell = taox40()
    target = np.repeat([1e-6, 30e-6, 60e-6], 20_000).reshape(3, -1)
    g = cell.programmed(target, ss.Seeds(2).generator())
    np.testing.assert_allclose(g.mean(1), target[:, 0], rtol=5 * cell.programming_error / math.sqrt(20_000))
    np.testing.assert_allclose(g.std(1) / target[:, 0], cell.programming_error, rtol=0.03)
    assert (g >= 0).all()


@pytest.mark.parametrize("kind", ["pair", "offset", "analog"])
def test_read_noise_in_moment_form_equals_sampling_every_cell(kind: str) -> None:
    """A layer of 40 driven rows read 20,000 times: mean, deviation and correlation against noise drawn cell by cell."""
    mapping = {"pair": Pair(), "offset": Offset(reference_column=1), "analog": Pair(analog=1)}[kind]
    macro = hardware.load_macro("taox40-projected").varied(adc=NoADC(), mapping=mapping)
    torch.manual_seed(0)
    network, reads = ss.Network.chain(nn.Linear(40, 2, bias=False)).requires_grad_(False), 20_000
    chip, long = (
        hardware.deploy(network, macro, seeds=ss.Seeds(3), calibration=torch.ones(1, 1, 40), sampled=sampled)
        for sampled in (False, True)
    )
    fast, slow = (ss.run(c, torch.ones(1, reads, 40)).output[0].numpy() for c in (chip, long))
    error = slow.std(0) / math.sqrt(reads)
    assert (np.abs(fast.mean(0) - slow.mean(0)) < 5 * math.sqrt(2) * error).all() and not np.array_equal(fast, slow)
    np.testing.assert_allclose(fast.std(0), slow.std(0), rtol=5 / math.sqrt(reads))
    # The two outputs of an offset mapping share their reference column's fluctuation.
    together = np.corrcoef(slow.T)[0, 1]
    assert abs(np.corrcoef(fast.T)[0, 1] - together) < 7 / math.sqrt(reads) and (abs(together) > 0.05) == (
        kind == "offset"
    )
    assert abs(np.corrcoef(fast[1:, 0], fast[:-1, 0])[0, 1]) < 5 / math.sqrt(reads)
    variance = (chip.crossbars["0"].bank.columns[1].astype(np.float64)).sum(0)
    wanted = variance[:2] + (variance[2:] if kind != "analog" else 0)
    np.testing.assert_allclose(fast.std(0), chip.crossbars["0"].bank.laid.scale * np.sqrt(wanted), rtol=0.03)


def test_normals_are_normal_and_those_of_box_and_muller() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2**32, (2, 1_000_000), np.uint64)
    n = np.stack(normals(a, b)).astype(np.float64)
    radius, angle = np.sqrt(-2 * np.log(((a >> np.uint64(1)) + 0.5) / 2**31)), 2 * np.pi * b / 2**32
    error = np.abs(n - np.stack([radius * np.cos(angle), radius * np.sin(angle)]))
    assert (error <= 2e-6 + 4e-8 / radius).all()
    assert stats.kstest(n.ravel()[:400_000], "norm").pvalue > 1e-4
    assert abs(n.mean()) < 5 / math.sqrt(n.size) and abs((n**2).mean() - 1) < 5 * math.sqrt(2 / n.size)
    assert abs((n**4).mean() - 3) < 5 * math.sqrt(96 / n.size)
    ends = np.array([0, 1, 2**32 - 1], np.uint64)
    assert np.isfinite(normals(ends, ends)).all() and np.abs(normals(ends, ends)).max() < 6.7


def drawn_converters(kind: str, shared: int = 1, **options: float) -> tuple[hardware.Chip, np.ndarray]:
    """A layer of 600 outputs on one row, cells from nothing to full scale, read 400 times. -> outputs in codes."""
    adc = registry.get(converters, kind).ADC(bits=8, **options)
    macro = hardware.load_macro("ideal").varied(adc=adc, rows=1, columns=1200, columns_per_converter=shared)
    torch.manual_seed(0)
    network = ss.Network.chain(nn.Linear(1, 600, bias=False)).requires_grad_(False)
    with torch.no_grad():
        network.node("0").weight[:, 0] = torch.linspace(0, 1, 600)
    chip = hardware.deploy(network, macro, seeds=ss.Seeds(0), calibration=torch.ones(1, 1, 1))
    return chip, ss.run(chip, torch.ones(1, 400, 1)).output[0].numpy() * 255


@pytest.mark.parametrize("kind", sorted(set(registry.names(converters)) - {"none"}))
def test_a_perfect_converter_errs_by_half_a_code_and_saturates(kind: str) -> None:
    _, codes = drawn_converters(kind)
    assert np.abs(codes - np.linspace(0, 255, 600)).max() <= 0.5001 and (codes == codes[0]).all()
    assert len(np.unique(codes.round(3))) == 256
    chip, codes = drawn_converters(kind, headroom=0.5)
    inside = np.linspace(0, 255, 600) < 127
    assert np.abs(codes[0] - np.linspace(0, 255, 600))[inside].max() <= 0.2501
    assert np.allclose(codes[0][~inside], 127.5, atol=0.01) and "of its conversions saturate" in chip.warnings[0]


def test_converters_differ_as_declared() -> None:
    """Offset and gain over instances, noise over reads, capacitors that bend the curve most at half scale."""
    ideal = np.linspace(0, 255, 600)
    chip, codes = drawn_converters("uniform", offset_sd=2.0)
    positive, negative = chip.crossbars["0"].bank.periphery.offset[0].reshape(2, 600)
    error = codes[0] - ideal  # no current leaves a negative offset at code 0
    assert np.abs(error - positive + np.maximum(negative, 0))[50:550].max() <= 1.0 and (codes == codes[0]).all()
    assert np.r_[positive, negative].std() == pytest.approx(2.0, rel=5 / math.sqrt(2400))
    chip, codes = drawn_converters("uniform", offset_sd=2.0, shared=8)
    shared = chip.crossbars["0"].bank.periphery.offset[0].reshape(2, 150, 4)
    assert (shared == shared[:1, :, :1]).all() and len(np.unique(shared)) == 150
    _, codes = drawn_converters("uniform", noise=0.7)
    spread = codes[:, 100:500].std(0)
    empty = np.maximum(np.floor(0.7 * np.random.default_rng(0).standard_normal(1_000_000) + 0.5), 0).var()
    assert (spread**2).mean() == pytest.approx(0.7**2 + 1 / 12 + empty, rel=0.02)
    _, codes = drawn_converters("ramp", gain_sd=0.05)
    slope = codes[0][50:400] / ideal[50:400]
    assert slope.std() < 0.01 and abs(slope.mean() - 1) > 0.002  # one ramp: the same for all columns
    _, bent = drawn_converters("sar", capacitor_sd=0.15)
    assert 1 < np.abs(bent[0] - ideal).max() < 20


def test_binary_searches_find_the_nearest_code() -> None:
    """Capacitors that almost match give the codes of a perfect converter; ranges per column fill every column's codes."""
    _, plain = drawn_converters("uniform")
    _, searched = drawn_converters("sar", capacitor_sd=1e-6)
    assert (np.abs(plain - searched) < 1e-3).mean() > 0.99
    chip, codes = drawn_converters("uniform", per_column=1)
    assert np.allclose(codes[0], np.linspace(0, 255, 600), atol=1e-3)
    assert np.ptp(chip.crossbars["0"].bank.lsb) > 0
