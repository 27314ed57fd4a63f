"""QuantisedReLU: its values are a neuron's counts, its gradients those of a clip, of threshold and drive."""

from __future__ import annotations

import pytest
import torch

import spikesim as ss
from spikesim.errors import ParameterError
from spikesim.layers import QuantisedReLU


@pytest.mark.parametrize("levels", [1, 3, 8])
def test_it_says_what_a_neuron_says_of_a_constant_drive(levels: int) -> None:
    theta = torch.tensor([0.5, 1.0, 2.0]).view(3, 1, 1)
    layer = QuantisedReLU(levels, (3, 1, 1))
    layer.threshold.data = theta.clone()
    z = torch.randint(-24, 40, (4, 3, 5, 5), generator=torch.Generator().manual_seed(0)) / 16 + 1 / 64
    neuron = ss.IF(theta, initial=theta / 2)
    spikes = neuron(z.expand(levels, *z.shape))[0]
    torch.testing.assert_close(layer(z), theta * spikes.mean(0))


@pytest.mark.parametrize("shape", [(), (3, 1, 1)])
def test_gradients_pass_the_floor(shape: tuple[int, ...]) -> None:
    """Against autograd of the same equation with the rounding as a constant."""
    z = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    layer = QuantisedReLU(4, shape)
    layer.threshold.data.fill_(0.7)
    weight = torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    (layer(z) * weight).sum().backward()
    theta, x = layer.threshold.detach().clone().requires_grad_(), z.detach().clone().requires_grad_()
    u = 4 * x / theta
    rounded = u + (torch.floor(u + 0.5) - u).detach()
    (theta * rounded.clamp(0, 4) / 4 * weight).sum().backward()
    assert z.grad is not None and x.grad is not None and float(z.grad.count_nonzero()) > 20
    torch.testing.assert_close(z.grad, x.grad)
    torch.testing.assert_close(layer.threshold.grad, theta.grad, rtol=1e-4, atol=1e-5)


def test_levels_are_checked() -> None:
    with pytest.raises(ParameterError, match=r"QuantisedReLU\.levels must be"):
        QuantisedReLU(0)


@pytest.mark.parametrize("steps", [3, 7])
def test_a_count_is_the_rounded_share_of_the_clip_in_every_one_of_many_cases(steps: int) -> None:
    """clip(floor(T x / theta + 1/2), 0, T) of 200,000 random drives and thresholds, the membrane starting at theta / 2."""
    drawn = torch.Generator().manual_seed(steps)
    theta = torch.rand(200_000, generator=drawn, dtype=torch.float64) * 5 + 0.05
    x = (torch.rand(200_000, generator=drawn, dtype=torch.float64) * 2 - 0.5) * theta
    counts = ss.IF(theta, initial=theta / 2)(x.expand(steps, 1, -1))[0].sum((0, 1))
    assert torch.equal(counts, torch.floor(steps * x / theta + 0.5).clamp(0, steps))
