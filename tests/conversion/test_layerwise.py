"""Calibration walks: in parts or at once, the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim.conversion import layerwise
from spikesim.conversion.layerwise import layer_by_layer, mean_spikes, spikes_of


@pytest.fixture
def drive() -> torch.Tensor:
    return torch.randn(6, 7, 3, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("numbers", [1, 6 * 2 * 12, 2**24])
def test_parts_give_what_the_neuron_gives_at_once(
    monkeypatch: pytest.MonkeyPatch, drive: torch.Tensor, numbers: int
) -> None:
    monkeypatch.setattr(layerwise, "TOGETHER", numbers)
    neuron, added, more_v = ss.IF(1.0), torch.full((3, 1), 0.3), torch.linspace(-0.5, 0.5, 12).reshape(3, 4)
    assert torch.equal(spikes_of(neuron, drive), neuron(drive)[0])
    assert torch.equal(mean_spikes(neuron, drive), neuron(drive)[0].mean(0))
    assert torch.equal(spikes_of(neuron, drive, added=added), neuron(drive + added)[0])
    state = neuron.initial_state(drive.shape[1:], drive)
    assert torch.equal(spikes_of(neuron, drive, more_v=more_v), neuron(drive, state._replace(v=state.v + more_v))[0])


@pytest.mark.parametrize("numbers", [1, 100, 2**24])
def test_a_walk_in_parts_ends_where_the_network_does(monkeypatch: pytest.MonkeyPatch, numbers: int) -> None:
    monkeypatch.setattr(layerwise, "TOGETHER", numbers)
    torch.manual_seed(0)
    network = ss.Network.chain(nn.Linear(5, 4), ss.IF(1.0), nn.Linear(4, 3), ss.IF(1.0))
    x, seen = torch.randn(6, 7, 5), dict[str, torch.Tensor]()

    def adjusted(name: str, neuron: ss.neurons.Neuron, drive: torch.Tensor) -> torch.Tensor:
        seen[name] = spikes_of(neuron, drive)
        return seen[name]

    with torch.no_grad():
        layer_by_layer(network, x, adjusted)
        torch.testing.assert_close(seen["3"], network(x)[0])
