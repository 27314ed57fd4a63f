"""Statistics of emulated cells and reads against what their models declare. Seeds are fixed; bounds are 4 to 5 sigma."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

import spikesim as ss
from spikesim import hardware
from spikesim.core.philox import split
from spikesim.hardware._read import Cells, Draw, Layout, read_kernel
from spikesim.hardware.devices.taox40 import Cell
from spikesim.hardware.mappings.differential import DifferentialPair


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


def test_read_noise_in_moment_form_equals_sampling_every_cell() -> None:
    """Columns of 40 driven cells read 20,000 times: mean and deviation against brute force over cells."""
    rng = np.random.default_rng(3)
    g, reads, sigma = rng.uniform(1e-6, 6e-5, (40, 4)).astype(np.float32), 20_000, 0.02
    events = (np.arange(reads + 1) * 40, np.tile(np.arange(40, dtype=np.int32), reads), np.ones(40 * reads, np.int32))
    cells = Cells(g, np.zeros((40, 1), np.int64), np.zeros(1, np.float32), np.float32(255), np.float32(sigma))
    out, counts = np.zeros((reads, 1, 2), np.float32), np.zeros((reads, 1, 3), np.int64)
    layout = Layout(1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 512)
    draw = Draw(*split(99), 0, True)
    read_kernel(events, np.arange(1), layout, cells, draw, out, counts, np.zeros((0, 1), np.float32))
    sampled = (g * (1 + sigma * rng.standard_normal((reads, *g.shape)))).sum(1)
    brute = np.stack([sampled[:, 0] - sampled[:, 1], sampled[:, 2] - sampled[:, 3]], 1)
    fast = out[:, 0]
    error = brute.std(0) / math.sqrt(reads)
    assert (np.abs(fast.mean(0) - brute.mean(0)) < 5 * math.sqrt(2) * error).all()
    np.testing.assert_allclose(fast.std(0), brute.std(0), rtol=5 / math.sqrt(reads))
    assert abs(np.corrcoef(fast.T)[0, 1]) < 5 / math.sqrt(reads)
    assert abs(np.corrcoef(fast[1:, 0], fast[:-1, 0])[0, 1]) < 5 / math.sqrt(reads)


@pytest.mark.parametrize("seed", range(5))
def test_differential_pairs_round_trip(seed: int) -> None:
    weights = np.random.default_rng(seed).normal(size=(7, 5)) * (10.0 ** (seed - 2))
    pair = DifferentialPair(1e-7, 6e-5)
    positive, negative, scale = pair.conductances(weights)
    assert (np.minimum(positive, negative) == pair.g_min).all() and max(positive.max(), negative.max()) <= 6e-5 * (
        1 + 1e-12
    )
    np.testing.assert_allclose(pair.weights(positive, negative, scale), weights, rtol=1e-9, atol=1e-12)


def test_converter_errs_by_at_most_half_a_code_and_saturates() -> None:
    adc = hardware.load_macro("taox40-projected").adc
    lsb = float(adc.lsb(np.array([1e-3]))[0])
    events = (np.arange(601), np.arange(600, dtype=np.int32), np.ones(600, np.int32))
    g = np.zeros((600, 2), np.float32)
    g[:, 0] = np.linspace(0, 1.2e-3, 600)
    cells = Cells(g, np.zeros((600, 1), np.int64), np.array([lsb], np.float32), np.float32(adc.top), np.float32(0))
    out, counts = np.zeros((600, 1, 1), np.float32), np.zeros((600, 1, 3), np.int64)
    layout = Layout(1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 600)
    read_kernel(
        events, np.arange(1), layout, cells, Draw(*split(0), 0, False), out, counts, np.zeros((0, 1), np.float32)
    )
    codes, inside = out[:, 0, 0], g[:, 0] <= 1e-3
    assert np.abs(codes - g[:, 0])[inside].max() <= lsb / 2 * 1.001
    assert np.allclose(codes[~inside], 1e-3, rtol=1e-5) and (np.diff(codes) >= 0).all()
    assert len(np.unique(codes)) == 256
