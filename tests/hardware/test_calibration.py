"""What a chip is shown before it is used: recordings with the entry bound to T, frames as `run(network, x, steps=T)` does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim import hardware
from spikesim.datasets import ArrayDataset
from spikesim.errors import ParameterError
from spikesim.hardware.calibration import calibration_of


def converted(x: torch.Tensor) -> ss.Network:
    torch.manual_seed(0)
    ann = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)).eval()
    return ss.convert(ann, calibration=x, steps=16, recipe="signed")[0]


@pytest.mark.parametrize("counts", [False, True])
def test_kept_inputs_are_shown_as_a_run_shows_them(counts: bool) -> None:
    """Spikes of the same network on the same inputs, to the bit; counts keep their sum."""
    torch.manual_seed(1)
    x = torch.poisson(torch.full((64, 16), 3.0)) if counts else torch.rand(64, 16)
    network = converted(x)
    shown = calibration_of(network, None, ss.Seeds(0), "deploy")
    assert shown is not None and network.calibration is not None
    _, _, found = shown.bound(network)(shown.x, record=["1", "2"])
    run = ss.run(network, shown.x if counts else network.calibration, steps=None if counts else 16, record=["1", "2"])
    assert all(torch.equal(found[name], run.recording[name]) for name in found)
    if counts:
        assert torch.equal(shown.x.sum(0), network.calibration)


def test_pictures_in_black_and_white_are_frames_and_data_sets_say_what_they_are(tmp_path: Path) -> None:
    torch.manual_seed(1)
    x = (torch.rand(64, 16) < 0.4).float()
    network = converted(x)
    shown = calibration_of(network, None, ss.Seeds(0), "deploy")
    assert shown is not None and shown.steps == 1 and all(torch.equal(step, x[:32]) for step in shown.x)
    grey = ArrayDataset(torch.poisson(torch.full((64, 16), 3.0)), np.arange(64) % 4)
    told = converted(grey)  # type: ignore[arg-type]
    assert told.conversion is not None and told.conversion.counts is False
    assert ss.load(ss.save(told, tmp_path / "net")).conversion == told.conversion
    shown = calibration_of(told, None, ss.Seeds(0), "deploy")
    assert shown is not None and shown.steps == 1 and torch.equal(shown.x[3], grey.frames()[:32])


def test_how_often_a_frame_is_repeated_changes_nothing() -> None:
    """Repeats were taken for the bins of a recording, and what repairs measured on them was T times too large."""
    torch.manual_seed(1)
    x = torch.rand(64, 16)
    network = converted(x)
    chip = hardware.deploy(network, hardware.load_macro("taox40-projected"), seeds=ss.Seeds(0))
    biases = []
    for steps in (1, 16):
        mended = hardware.repaired(chip, hardware.Offsets(), calibration=x[:32].expand(steps, -1, -1))
        biases.append([m.bias for m in mended.network.nodes.values() if getattr(m, "bias", None) is not None])
    assert biases[0] and len(biases[0]) == len(biases[1])
    for a, b in zip(*biases):
        torch.testing.assert_close(a, b, rtol=0.3, atol=0.05)


@pytest.mark.parametrize(
    "given", [torch.rand(0, 1, 16), torch.rand(4, 16), [[1.0]], ArrayDataset(torch.rand(8, 16), np.arange(8))]
)
def test_what_is_no_tensor_over_time_is_refused(given: object) -> None:
    with pytest.raises(ParameterError, match=r"deploy\.calibration must be a tensor \(T, B, \*shape\), not empty, got"):
        hardware.deploy(
            converted(torch.rand(64, 16)), hardware.load_macro("ideal"), seeds=ss.Seeds(0), calibration=given,  # type: ignore[arg-type]
        )  # fmt: skip


def test_other_things_than_networks_and_chips_are_named() -> None:
    network = converted(torch.rand(64, 16))
    with pytest.raises(ParameterError, match=r"deploy\.network must be a Network, got Linear; spikesim\.convert"):
        hardware.deploy(nn.Linear(2, 2), hardware.load_macro("ideal"), seeds=ss.Seeds(0))  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match=r"estimate\.chip must be a Chip, got Network; hardware\.deploy"):
        hardware.estimate(network, ArrayDataset(torch.rand(8, 16), np.arange(8)), steps=2)  # type: ignore[arg-type]


def test_inputs_that_are_not_finite_are_refused() -> None:
    x = torch.rand(64, 16)
    with pytest.raises(ParameterError, match=r"deploy\.calibration must be finite, got nan"):
        hardware.deploy(
            converted(x), hardware.load_macro("ideal"), seeds=ss.Seeds(0), calibration=torch.full((2, 1, 16), torch.nan)
        )
