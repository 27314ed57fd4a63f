"""Compiled gradients are first derivatives: asked for more, they refuse; the reference engine gives them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import spikesim as ss
from spikesim.errors import ParameterError


def asked_twice(network: ss.Network, x: Tensor | ss.SparseRaster, engine: ss.Fused | ss.Reference) -> Tensor:
    """The gradient, at the first weights, of the squared gradient at the last."""
    first, *_, last = (p for p in network.parameters() if p.ndim > 1)
    (found,) = torch.autograd.grad(network(x, engine=engine)[0].sum(), last, create_graph=True)
    return torch.autograd.grad((found**2).sum(), first)[0]


@pytest.mark.parametrize("events", [False, True], ids=["dense", "events"])
@pytest.mark.parametrize("neuron", [ss.LIF, ss.CuBaLIF])
def test_second_derivatives_are_refused_by_kernels_and_given_by_the_reference(
    neuron: type[nn.Module], events: bool
) -> None:
    torch.manual_seed(0)
    network = ss.Network.chain(nn.Linear(6, 5), neuron(), nn.Linear(5, 4), neuron())
    x = (torch.rand(8, 3, 6) < 0.5).float()
    with pytest.raises(ParameterError, match=r"backward.create_graph must be False .* run with engine=spikesim.Ref"):
        asked_twice(network, ss.SparseRaster.from_dense(x) if events else x, ss.Fused())
    assert asked_twice(network, x, ss.Reference()).any()


def test_a_neuron_with_a_gradient_takes_tensors_without_numbers() -> None:
    with FakeTensorMode():
        spikes, state = ss.LIF()(torch.rand(5, 2, 16, requires_grad=True))
    assert spikes.shape == (5, 2, 16) and state.v.shape == (2, 16)
