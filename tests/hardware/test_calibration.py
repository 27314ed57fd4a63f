"""What a chip is shown before it is used: recordings with the entry bound to T, frames as `run(network, x, steps=T)` does."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim import hardware
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


def test_inputs_that_are_not_finite_are_refused() -> None:
    x = torch.rand(64, 16)
    with pytest.raises(ParameterError, match=r"deploy\.calibration must be finite, got nan"):
        hardware.deploy(
            converted(x), hardware.load_macro("ideal"), seeds=ss.Seeds(0), calibration=torch.full((2, 1, 16), torch.nan)
        )
