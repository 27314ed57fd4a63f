"""Neurons keep torch's channels_last order where all are alike, to the same spikes, states and gradients."""

from __future__ import annotations

import pytest
import torch

import spikesim as ss
from spikesim.neurons import ParametricLIF


def _drive() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(5, 2, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    last = x.flatten(0, 1).to(memory_format=torch.channels_last).unflatten(0, (5, 2))
    assert not last.is_contiguous() and torch.equal(x, last)
    return x, last


@pytest.mark.parametrize("neuron", [ss.IF.spikingjelly(), ss.LIF(0.8, 0.5), ss.LIF(0.9, torch.rand(3, 1, 1) + 0.2)])
def test_spikes_and_states_are_the_same_and_the_order_stays(neuron: ss.LIF) -> None:
    x, last = _drive()
    (spikes, state), (found, after) = neuron(x), neuron(last)
    assert torch.equal(spikes, found) and torch.equal(state.v, after.v)
    alike = neuron.threshold.numel() == 1
    assert found.permute(0, 1, 3, 4, 2).is_contiguous() == alike
    again, _ = neuron(last, after)
    assert torch.equal(again, neuron(x, state)[0])


def test_gradients_are_the_same() -> None:
    weight = torch.rand(5, 2, 3, 4, 6, generator=torch.Generator().manual_seed(1))
    found = []
    for x in _drive():
        neuron, x = ParametricLIF(threshold=0.5, learn=("threshold",)), x.detach().requires_grad_()
        spikes, state = neuron(x)
        ((spikes * weight).sum() + state.v.sum()).backward()
        found.append((x.grad, *(p.grad for p in neuron.parameters())))
    for one, other in zip(*found):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
