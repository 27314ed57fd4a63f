"""Thresholds scaled for sampling, everything else shared."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim.diffusion import with_thresholds
from spikesim.errors import GraphError, ParameterError


def network(*thresholds: float) -> ss.Network:
    torch.manual_seed(0)
    first, second = thresholds
    return ss.Network.chain(
        nn.Linear(6, 40), ss.IF.spikingjelly(first), nn.Linear(40, 8), ss.LIF(0.9, second, learn=("threshold",))
    ).requires_grad_(False)


X = torch.rand(9, 6, generator=torch.Generator().manual_seed(1)) * 2


def spikes(net: ss.Network) -> torch.Tensor:
    return ss.run(net, X, steps=12).output


@pytest.mark.parametrize("factor", [1.0, 0.7, 1.3])
def test_it_is_the_network_of_other_thresholds(factor: float) -> None:
    net = network(1.0, 0.5)
    before = spikes(net)
    assert torch.equal(spikes(with_thresholds(net, factor)), spikes(network(factor, 0.5 * factor)))
    assert torch.equal(spikes(with_thresholds(net, {"1": factor})), spikes(network(factor, 0.5)))
    assert torch.equal(spikes(with_thresholds(net, {"1": factor, "3": 0.9})), spikes(network(factor, 0.5 * 0.9)))
    assert torch.equal(spikes(net), before), "the network itself stays as it is"
    assert torch.equal(spikes(with_thresholds(net, factor)), before) == (factor == 1)


def test_weights_are_shared() -> None:
    net = network(1.0, 0.5)
    made = with_thresholds(net, 0.5)
    assert made.node("0") is net.node("0") and made.node("2").weight is net.node("2").weight
    assert isinstance(made.node("3").threshold, nn.Parameter) and float(net.node("3").threshold) == 0.5
    assert set(made.state_dict()) == set(net.state_dict())
    named = with_thresholds(net, {"3": 2.0})
    assert named.node("1") is net.node("1") and float(named.node("3").threshold) == 1.0


def test_refusals() -> None:
    net = network(1.0, 0.5)
    with pytest.raises(GraphError, match=r"with_thresholds\.factor must be a layer with thresholds, got 0"):
        with_thresholds(net, {"0": 1.1})
    with pytest.raises(ParameterError, match=r"with_thresholds\.factor\[1\] must be a number above 0"):
        with_thresholds(net, 0.0)
    with pytest.raises(GraphError, match=r"with_thresholds\.network must be"):
        with_thresholds(ss.Network.chain(nn.Linear(2, 2)), 1.1)
    resting = ss.Network.chain(nn.Linear(2, 2), ss.IF(1.0, rest=0.5))
    with pytest.raises(ParameterError, match=r"with_thresholds\.factor\[1\] must be so that the threshold stays above"):
        with_thresholds(resting, 0.5)
