"""Reservoirs: the equation step by step, random weights, chips that hold the very cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import spikesim as ss
from spikesim import hardware
from spikesim.errors import ParameterError, RangeError, ShapeError
from spikesim.lsm import Formed, Gaussian, Given, Reservoir


def by_hand(reservoir: Reservoir, x: np.ndarray, inward: np.ndarray, back: np.ndarray) -> np.ndarray:
    """m <- alpha m (1 - s) + W_in x + W_rec s, sample by sample."""
    steps, batch, _ = x.shape
    out = np.zeros((steps, batch, reservoir.neurons), np.float32)
    m, s = np.zeros((batch, reservoir.neurons)), np.zeros((batch, reservoir.neurons))
    for t in range(steps):
        m = reservoir.alpha * m * (1 - s) + x[t] @ inward + s @ back
        s = (m > reservoir.threshold).astype(np.float64)
        out[t] = s
    return out


def test_a_reservoir_is_its_equation() -> None:
    generator = np.random.default_rng(0)
    inward, back = (generator.integers(-8, 9, shape) / 4 for shape in ((20, 50), (50, 50)))  # exact in float32
    reservoir = Reservoir(20, 50, 0.5, 2.0, 1.0, 1.0, Given(inward), Given(back))
    x = (generator.random((15, 3, 20)) < 0.3).astype(np.float32)
    spikes = ss.run(reservoir.network(ss.Seeds(0)), torch.from_numpy(x)).output.numpy()
    wanted = by_hand(reservoir, x, inward, back)
    assert 0.05 < wanted.mean() < 0.6
    assert np.array_equal(spikes, wanted)
    events = ss.run(reservoir.network(ss.Seeds(0)), ss.SparseRaster.from_dense(torch.from_numpy(x)))
    assert np.array_equal(events.output.numpy(), wanted)


def test_weights_have_the_deviation_that_was_asked_for() -> None:
    for weights in (Gaussian(), Formed(3.433), Formed(3.3)):
        inward, back = Reservoir(
            400, 300, input_std=0.3, loop_std=0.7, input_weights=weights, loop_weights=weights
        ).matrices(ss.Seeds(1))
        assert inward.shape == (400, 300)
        assert abs(float(inward.std()) / 0.3 - 1) < 0.02
        assert abs(float(back.std()) / 0.7 - 1) < 0.02
        assert abs(float(inward.mean())) < 0.01


def test_formed_weights_have_three_lobes() -> None:
    inward, _ = Reservoir(300, 300, input_std=1.0, input_weights=Formed(3.433)).matrices(ss.Seeds(0))
    lobe = (inward.abs() < 0.75).double().mean()
    assert abs(float(lobe) - 0.5) < 0.03  # at p = 1/2 half of all pairs formed both cells, or neither


def test_shares_and_spectral_radius() -> None:
    reservoir = Reservoir(50, 200, input_share=0.2, loop_share=0.1, spectral_radius=0.9)
    inward, back = reservoir.matrices(ss.Seeds(3))
    assert abs(float((inward != 0).double().mean()) - 0.2) < 0.02
    assert abs(float((back != 0).double().mean()) - 0.1) < 0.01
    assert abs(np.abs(np.linalg.eigvals(back.numpy())).max() - 0.9) < 1e-4
    again, _ = reservoir.matrices(ss.Seeds(3))
    other, _ = reservoir.matrices(ss.Seeds(4))
    assert torch.equal(inward, again) and not torch.equal(inward, other)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_a_chip_holds_the_formed_cells_themselves(share: float) -> None:
    cells = Formed(3.4)
    reservoir = Reservoir.published("ntidigits", neurons=60, input_weights=cells, loop_weights=cells, input_share=share)
    macro, x = hardware.load_macro("taox40-projected"), torch.ones(5, 2, 64)
    chip = reservoir.chip(macro, ss.Seeds(2), calibration=x)
    network = reservoir.network(ss.Seeds(2))
    for name in ("in", "back"):
        weight = network.node(name).weight.T.numpy()
        np.testing.assert_allclose(chip.crossbars[name].bank.weights, weight, atol=1e-5 * np.abs(weight).max())


def test_programmed_weights_go_on_a_chip_too() -> None:
    chip = Reservoir(12, 30).chip(hardware.load_macro("ideal"), ss.Seeds(0), calibration=torch.ones(3, 2, 12))
    x = torch.ones(6, 2, 12)
    assert torch.equal(ss.run(chip, x, seeds=ss.Seeds(0)).output, ss.run(chip.source, x).output)


def test_published_set_ups_fire_as_read() -> None:
    """The reading of the published constants: reservoir rates between 0.02 and 0.4 on inputs of 5 % events."""
    x = (torch.rand(50, 4, 256, generator=torch.Generator().manual_seed(0)) < 0.05).float()
    for task in ("nmnist", "image"):
        rate = float(ss.run(Reservoir.published(task).network(ss.Seeds(0)), x).output.mean())
        assert 0.02 < rate < 0.45, (task, rate)


def test_refusals() -> None:
    with pytest.raises(ParameterError, match=r"Reservoir.alpha must be"):
        Reservoir(3, alpha=1.5)
    with pytest.raises(ParameterError, match=r"one of nmnist, ntidigits, image, audio, got mnist"):
        Reservoir.published("mnist")
    with pytest.raises(RangeError, match=r"forming.voltage"):
        Formed(5.0)
    with pytest.raises(ParameterError, match=r"Formed.macro"):
        Formed(3.4, "isaac32")
    with pytest.raises(ShapeError, match=r"Given.matrix must be \(3, 200\)"):
        Reservoir(3, input_weights=Given(np.zeros((2, 2)))).network(ss.Seeds(0))
    with pytest.raises(ParameterError, match=r"spectral_radius"):
        replace(Reservoir(3, loop_share=0.0), spectral_radius=1.0).matrices(ss.Seeds(0))
