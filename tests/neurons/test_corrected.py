"""CorrectedIF: after the first presentation, the counts are those of a drive that is known whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spikesim.neurons import IF, CorrectedIF
from spikesim.neurons.corrected import corrected_kernel, corrected_reference


def wandering(presteps: int, size: int, seed: int) -> torch.Tensor:
    """Drives (2 R, 1, size) shown twice: means of both signs, and arrivals far from even."""
    draw = torch.Generator().manual_seed(seed)
    mean = 0.8 * torch.rand(size, generator=draw) - 0.3
    drift = torch.randn(presteps, 1, size, generator=draw) * 0.6
    return (mean + drift).repeat(2, 1, 1)


@pytest.mark.parametrize("presteps", [4, 8, 16])
def test_counts_are_those_of_the_whole_drive(presteps: int) -> None:
    drive, theta = wandering(presteps, 20_000, presteps), 1.0
    wanted = torch.floor((drive[:presteps].sum(0) + 0.5) / theta).clamp(0, presteps)
    corrected = CorrectedIF(theta, presteps=presteps, initial=0.5)(drive)[0][presteps:].sum(0)
    plain = IF(theta, initial=0.5)(drive[:presteps])[0].sum(0)
    assert float((plain != wanted).float().mean()) > 0.15  # the drive is uneven enough for plain neurons to be wrong
    assert float((plain - wanted).abs().max()) >= 2  # by more than one spike in places
    assert float((corrected != wanted).float().mean()) < 1e-3


def test_neurons_that_were_right_stay_as_they_were() -> None:
    drive = torch.full((16, 1, 3), 0.3) * torch.tensor([1.0, 2.0, -1.0])
    both = [neuron(drive)[0][8:].sum(0) for neuron in (CorrectedIF(presteps=8, initial=0.5), IF(initial=0.5))]
    assert torch.equal(both[0], torch.tensor([[2.0, 5.0, 0.0]]))
    assert torch.equal(CorrectedIF(presteps=8, initial=0.5)(drive)[0][:8], IF(initial=0.5)(drive[:8])[0])


@pytest.mark.parametrize("residual", [False, True])
def test_kernel_and_equation_agree_to_the_bit(residual: bool) -> None:
    drive = wandering(8, 3000, 5).numpy()
    draw = np.random.default_rng(0)
    v0, theta = (draw.uniform(low, 1.5, 3000).astype(np.float32) for low in (-0.3, 0.2))
    found = []
    for run in (corrected_reference, corrected_kernel):
        spikes, v = np.empty_like(drive[8:]), np.empty_like(drive[0])
        run(drive, 8, residual, v0, theta, spikes, v)
        found.append((spikes, v))
    assert np.array_equal(found[0][0], found[1][0]) and np.array_equal(found[0][1], found[1][1])
