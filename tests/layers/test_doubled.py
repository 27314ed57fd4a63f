"""Upsampling and convolution as one: equal to the two by themselves, taken where nobody asks for what is between."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import spikesim as ss
from spikesim.core.ledger import Ledger
from spikesim.execution import Fused, Reference
from spikesim.layers.doubled import doubled_conv, doubles, fits


def drawn(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("size", [(5, 4), (1, 1), (1, 3), (8, 8)])
@pytest.mark.parametrize("bias", [True, False])
def test_it_is_the_two_layers(size: tuple[int, int], bias: bool) -> None:
    torch.manual_seed(1)
    conv, x = nn.Conv2d(3, 5, 3, padding=1, bias=bias).double(), drawn(2, 3, *size).requires_grad_()
    wanted, y = conv(nn.functional.interpolate(x, scale_factor=2.0)), doubled_conv(x, conv)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for other, one in zip(*(torch.autograd.grad(out, (x, *conv.parameters()), weights) for out in (wanted, y))):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
    torch.testing.assert_close(y, wanted, rtol=0, atol=1e-12)


def test_only_what_doubles_and_keeps_the_size() -> None:
    assert all(map(doubles, (nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=(2, 2)))))
    others = (
        nn.Upsample(scale_factor=3),
        nn.Upsample((4, 4)),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Identity(),
    )
    assert not any(map(doubles, others))
    options: list[dict[str, Any]] = [
        {"padding": 0}, {"padding": 1, "stride": 2}, {"padding": 1, "groups": 2},
        {"padding": 2, "dilation": 2}, {"padding": 1, "padding_mode": "circular"},
    ]  # fmt: skip
    assert fits(nn.Conv2d(4, 4, 3, padding=1)) and not any(fits(nn.Conv2d(4, 4, 3, **o)) for o in options)
    assert not fits(nn.Conv2d(4, 4, 5, padding=2)) and not fits(nn.Conv3d(4, 4, 3, padding=1))


def network(*, shared: bool = False) -> ss.Network:
    torch.manual_seed(3)
    nodes = {
        "spikes": ss.IF(0.7), "twice": nn.Upsample(scale_factor=2), "conv": nn.Conv2d(2, 3, 3, padding=1), "out": ss.IF(0.2)
    }  # fmt: skip
    edges = [ss.Edge(*pair) for pair in (("input", "spikes"), ("spikes", "twice"), ("twice", "conv"), ("conv", "out"))]
    if shared:
        nodes["else"] = nn.Conv2d(2, 3, 1)
        edges += [ss.Edge("twice", "else"), ss.Edge("else", "out")]
    return ss.Network(nodes, edges, output="out").double()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []

    def seen(x: Tensor, conv: nn.Conv2d) -> Tensor:
        found.append(tuple(x.shape))
        return doubled_conv(x, conv)

    monkeypatch.setattr("spikesim.layers.doubled.doubled_conv", seen)
    return found


def test_a_network_with_gradients_takes_it(calls: list[tuple[int, ...]]) -> None:
    net, x = network(), drawn(6, 2, 2, 4, 5)
    grads = []
    for engine in (Fused(), Reference()):
        y, _, _ = net(x, engine=engine)
        grads.append(torch.autograd.grad(y.square().sum(), tuple(net.parameters())))
        grads[-1] += (y,)
    assert calls == [(12, 2, 4, 5)] and grads[0][-1].any()
    for a, b in zip(*grads):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    counted = net.synapses(x[0])
    net(x[..., :3, :3], engine=Fused())
    assert net.synapses(x[0]) == counted


def test_who_asks_for_what_is_between_gets_it(calls: list[tuple[int, ...]]) -> None:
    net, x = network(), drawn(6, 2, 2, 4, 5)
    _, _, found = net(x, record=["twice", "conv"])
    assert found["twice"].shape == (6, 2, 2, 8, 10) and found["conv"].shape == (6, 2, 3, 8, 10) and not calls
    net(x, ledger=Ledger())
    with torch.no_grad():
        net(x)
    network(shared=True)(x)
    assert not calls
    handle = net.node("conv").register_full_backward_hook(lambda *_: None)
    net(x)
    assert not calls
    handle.remove()
    net(x, record=["conv"])
    assert len(calls) == 1
