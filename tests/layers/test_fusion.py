"""Upsampling, convolution, normalisation as one: equal to the layers themselves, taken where nobody asks for what is between."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import spikesim as ss
from spikesim import fusion
from spikesim.core.ledger import Ledger
from spikesim.errors import ShapeError
from spikesim.execution import EventDriven, Fused, Reference
from spikesim.layers.counting import PIECE, more_than
from spikesim.layers.doubled import doubled_conv, doubles, fits
from spikesim.layers.folded import foldable, run_folded


def drawn(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def measured(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """With statistics, and factors where it has them."""
    for buffer in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
        if buffer is not None:
            nn.init.uniform_(buffer, 0.3, 1.5)
    return norm.eval()


@pytest.mark.parametrize("size", [(5, 4), (1, 1), (1, 3), (8, 8)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_transposed_convolution_is_upsampling_and_convolution(size: tuple[int, int], bias: bool) -> None:
    torch.manual_seed(1)
    conv, x = nn.Conv2d(3, 5, 3, padding=1, bias=bias).double(), drawn(2, 3, *size).requires_grad_()
    wanted, y = conv(nn.functional.interpolate(x, scale_factor=2.0)), doubled_conv(x, conv.weight, conv.bias)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for other, one in zip(*(torch.autograd.grad(out, (x, *conv.parameters()), weights) for out in (wanted, y))):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
    torch.testing.assert_close(y, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("doubled", [True, False])
def test_folded_weights_are_convolution_and_normalisation(affine: bool, bias: bool, doubled: bool) -> None:
    torch.manual_seed(1)
    options: dict[str, Any] = {"padding": 1} if doubled else {"padding": 2, "stride": 2, "groups": 2}
    conv, norm = nn.Conv2d(4, 6, 3, bias=bias, **options).double(), measured(nn.BatchNorm2d(6, affine=affine).double())
    x = drawn(2, 4, 5, 7)
    wanted = norm(conv(nn.functional.interpolate(x, scale_factor=2.0) if doubled else x))
    torch.testing.assert_close(run_folded(x, conv, norm, doubled=doubled), wanted, rtol=0, atol=1e-12)


def test_only_what_doubles_and_keeps_the_size_and_has_statistics() -> None:
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
    assert foldable(nn.BatchNorm2d(2).eval()) and not foldable(nn.BatchNorm2d(2))
    assert not foldable(nn.BatchNorm2d(2, track_running_stats=False).eval()) and not foldable(nn.GroupNorm(2, 2))


def network(*, shared: bool = False, first: nn.Module | None = None) -> ss.Network:
    """Neurons - upsampling - convolution - normalisation - neurons."""
    torch.manual_seed(3)
    nodes = {
        "spikes": first or ss.IF(0.7), "twice": nn.Upsample(scale_factor=2), "conv": nn.Conv2d(2, 3, 3, padding=1),
        "norm": measured(nn.BatchNorm2d(3)), "out": ss.IF(1.1),
    }  # fmt: skip
    names = ["input", *nodes]
    edges = [ss.Edge(*pair) for pair in pairwise(names)]
    if shared:
        nodes["else"] = nn.Conv2d(2, 3, 1)
        edges += [ss.Edge("twice", "else"), ss.Edge("else", "out"), ss.Edge("conv", "out")]
    return ss.Network(nodes, edges, output="out").double()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, bool]]:
    """(doubled, with a normalisation) of every call."""
    found: list[tuple[bool, bool]] = []

    def seen(x: Tensor, conv: nn.Conv2d, norm: nn.Module | None, *, doubled: bool) -> Tensor:
        found.append((doubled, norm is not None))
        return run_folded(x, conv, norm, doubled=doubled)

    monkeypatch.setattr(fusion, "run_folded", seen)
    return found


def test_with_a_gradient_upsampling_and_convolution_run_as_one(calls: list[tuple[bool, bool]]) -> None:
    net, x = network(), drawn(6, 2, 2, 4, 5)
    grads = []
    for engine in (Fused(), Reference()):
        y, _, _ = net(x, engine=engine)
        grads.append((y, *torch.autograd.grad(y.square().sum(), tuple(net.parameters()))))
    assert calls == [(True, False)] and grads[0][0].any()
    for a, b in zip(*grads):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    counted = net.synapses(x[0])
    net(x[..., :3, :3], engine=Fused())
    assert net.synapses(x[0]) == counted


@pytest.mark.parametrize("density", [0.8, 0.002])
def test_without_one_normalisation_too_unless_events_are_few(density: float, calls: list[tuple[bool, bool]]) -> None:
    net = network(first=nn.Identity()).float()
    x = (drawn(4, 2, 2, 16, 16, dtype=torch.float32) < density).float()
    with torch.no_grad():
        wanted, _, _ = net(x, engine=Reference())
        y, _, found = net(x, engine=EventDriven(), record=["norm"])
        plain, _, _ = net(x, engine=EventDriven(), record=["twice", "conv"])
    assert calls == ([(True, True)] if density > 0.1 else []) and found["norm"].shape == (4, 2, 3, 32, 32)
    assert (y != wanted).float().mean() < 1e-3 and torch.equal(plain, wanted) and wanted.any()
    assert x.any()


def test_who_asks_for_what_is_between_gets_it(calls: list[tuple[bool, bool]]) -> None:
    net, x = network().float(), drawn(6, 2, 2, 4, 5, dtype=torch.float32)
    for engine in (Fused(), EventDriven()):
        with torch.set_grad_enabled(isinstance(engine, Fused)):
            _, _, found = net(x, record=["twice", "conv"], engine=engine)
            assert found["twice"].shape == (6, 2, 2, 8, 10) and found["conv"].shape == (6, 2, 3, 8, 10)
            _, _, found = net(x, record=["twice.events", "conv.events"], engine=engine)
            assert found["conv.events"].shape == (3, 8, 10) and found["twice.events"].shape == (2, 8, 10)
            net(x, ledger=Ledger(), engine=engine)
            network(shared=True).float()(x, engine=engine)
            for handle in (
                net.node("conv").register_full_backward_hook(lambda *_: None),
                net.node("conv").register_forward_hook(lambda *_: None),
            ):
                net(x, engine=engine)
                handle.remove()
                assert not calls
    with torch.no_grad():
        net.train()(x, engine=EventDriven())
    assert calls == [(True, False)]


class Doubled(nn.Conv2d):
    """Of another kind: twice the convolution."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def test_modules_that_were_exchanged_are_what_runs(calls: list[tuple[bool, bool]]) -> None:
    net, x = network().float(), drawn(6, 2, 2, 4, 5, dtype=torch.float32)
    net.conv = Doubled(2, 3, 3, padding=1)
    with torch.no_grad():
        assert torch.equal(net(x, engine=EventDriven())[0], net(x, engine=Reference())[0])
        net.conv = nn.Conv2d(2, 3, 3, padding=1)
        net.conv.forward = lambda given: torch.zeros(*given.shape[:1], 3, *given.shape[2:])  # type: ignore[method-assign]
        assert torch.equal(net(x, engine=EventDriven())[0], net(x, engine=Reference())[0])
    assert not calls


def test_what_does_not_fit_names_the_convolution() -> None:
    with pytest.raises(ShapeError, match=r"Network\.conv must be fed what Conv2d.*got \(5, 4, 4\)"):
        network(first=nn.Identity()).float()(torch.ones(2, 1, 5, 4, 4), engine=Fused())


def test_numbers_are_counted_as_they_lie() -> None:
    x = torch.zeros(2, 3, 4, 5, 6)
    x[0, :, 1, 2, 3], x[1, 0, 0, 0, :2] = 1.0, -0.0
    lying = x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    for given in (x, lying, x[:, 1:], x[:, :1].expand(2, 3, 4, 5, 6)):
        count = int((given != 0).sum())
        assert more_than(given, count - 1) and not more_than(given, count)
    late = torch.zeros(3 * PIECE)
    late[-1] = 2.0
    assert more_than(late, 0) and not more_than(late, 1)
