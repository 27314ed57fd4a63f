"""Training on emulated arrays: the ideal layer's gradient with noise off, and a network that learns to live with its chip."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import spikesim as ss
from spikesim import hardware
from spikesim.errors import ParameterError
from spikesim.hardware.mappings.offset import Mapping as Offset

NOISY = hardware.load_macro("taox40-projected")


def network() -> ss.Network:
    torch.manual_seed(0)
    return ss.Network.chain(
        nn.Conv2d(2, 4, 3, padding=1), ss.LIF(0.9, threshold=0.5), nn.Conv2d(4, 6, 3, groups=2), ss.LIF(0.9, threshold=0.5),
        nn.Flatten(), nn.Linear(6 * 16, 5),
    )  # fmt: skip


def inputs() -> Tensor:
    return torch.poisson(torch.full((5, 3, 2, 6, 6), 0.4), generator=torch.Generator().manual_seed(1))


def gradients(of: ss.Network, x: Tensor) -> dict[str, Tensor]:
    of.zero_grad()
    ss.run(of, x).readout.square().sum().backward()
    return {name: p.grad.clone() for name, p in of.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("design", [{}, {"mapping": Offset(), "by_pixel": 1, "rows": 16}])
@pytest.mark.parametrize("refresh", ["batch", "step", "chip"])
def test_without_noise_the_gradient_is_the_ideal_layers(design: dict[str, object], refresh: str) -> None:
    plain, x = network(), inputs()
    macro = hardware.load_macro("ideal").varied(**design)
    loop = hardware.in_the_loop(plain, macro, seeds=ss.Seeds(0), calibration=x, refresh=refresh)
    assert set(loop.state_dict()) - set(plain.state_dict()) == {"0.passes", "2.passes", "5.passes"}
    wanted, found = gradients(plain, x), gradients(loop, x)
    assert wanted.keys() == found.keys()
    for name, g in wanted.items():
        np.testing.assert_allclose(found[name], g, atol=2e-5 * float(g.abs().max()))


def test_chips_change_as_asked() -> None:
    plain, x = network(), inputs()
    outputs = {}
    for refresh in ("batch", "step", "chip"):
        loop = hardware.in_the_loop(plain, NOISY, seeds=ss.Seeds(0), calibration=x, refresh=refresh)
        cells = [loop.node("0")._programmed(n)[0].g for n in (1, 2)]
        assert np.array_equal(*cells) == (refresh == "chip")
        outputs[refresh] = [ss.run(loop, x).readout.detach() for _ in range(2)]
        assert not torch.equal(*outputs[refresh])  # read noise at least
        state = loop.state_dict()
        again = hardware.in_the_loop(plain, NOISY, seeds=ss.Seeds(0), calibration=x, refresh=refresh)
        again.load_state_dict(state)
        assert torch.equal(ss.run(again, x).readout, ss.run(loop, x).readout)
        loop.eval()
        assert torch.equal(ss.run(loop, x).readout, ss.run(loop, x).readout)
    assert not torch.equal(outputs["batch"][0], outputs["step"][0])


def test_a_network_learns_with_its_arrays() -> None:
    """Loss on coarse noisy arrays falls below half within forty passes; weights go back into the network."""
    plain, x = network(), inputs()
    goal = torch.eye(5)[:3]
    macro = NOISY.varied(adc=type(NOISY.adc)(5))
    loop = hardware.in_the_loop(plain, macro, seeds=ss.Seeds(0), calibration=x)
    optimiser, losses = torch.optim.Adam(loop.parameters(), 0.01), []
    for _ in range(40):
        loss = (ss.run(loop, x).readout - goal).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    plain.load_state_dict(loop.state_dict(), strict=False)
    assert torch.equal(plain.node("5").weight, loop.node("5").weight)


def test_an_unknown_refresh_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"in_the_loop\.refresh must be one of batch, step, chip, got epoch"):
        hardware.in_the_loop(network(), NOISY, seeds=ss.Seeds(0), refresh="epoch")
