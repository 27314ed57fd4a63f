"""Chips and energy of a picture: the paper's formula from counts that can be checked by hand, and sums that agree."""

import numpy as np
import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim import hardware
from spikesim.core.ledger import Ledger
from spikesim.core.seeds import Seeds
from spikesim.diffusion import UNet
from spikesim.diffusion.converted import noised_planes
from spikesim.diffusion.model import Description, DiffusionModel
from spikesim.diffusion.network_denoiser import planes
from spikesim.diffusion.on_chip import deployed, picture_energy
from spikesim.diffusion.sampling import Sampler, Sampling
from spikesim.errors import ShapeError
from spikesim.network import NetworkState
from spikesim.neurons import Neuron

SAMPLING = Sampling(steps=3)


def _pictures(count):
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture(scope="module")
def model():
    network = UNet(size=8, width=8, multipliers=(1, 2), blocks=1, steps=2).network(Seeds(0)).train()
    found = DiffusionModel(network, Description(1, 8, "none", 2))
    with torch.no_grad():
        x = noised_planes(found, _pictures(64), Seeds(9))
        for _ in range(30):
            network(x.expand(2, *x.shape))
    network.eval().requires_grad_(False)
    return found


@pytest.fixture(scope="module")
def chip(model):
    macro = hardware.load_macro("taox40-projected")
    return macro, *deployed(model, macro, _pictures(32), seeds=Seeds(0))


def test_the_papers_count_is_that_of_the_layers_that_spikes_drive(model):
    found = picture_energy(model, SAMPLING, seeds=Seeds(1), pictures=2)
    network, calls = model.network, []
    recorded = [n for n, m in network.nodes.items() if isinstance(m, Neuron)]

    def seen(module, arguments):
        calls.append(arguments[0].clone())

    handle = network.node("picture").register_forward_pre_hook(seen)
    Sampler(model, SAMPLING, Seeds(1))(range(2))
    handle.remove()
    operations, feeds = 0.0, {e.source: e.target for e in network.edges if e.source in recorded}
    for shown in calls:
        x = shown.reshape(2, 2, *shown.shape[1:])
        spikes = ss.run(network, x, record=recorded).recording
        for name, target in feeds.items():
            inputs = spikes[name].flatten(0, 1)
            if isinstance(network.node(target), nn.Upsample):
                inputs, target = (
                    network.node(target)(inputs),
                    next(e.target for e in network.edges if e.source == target),
                )
            conv = network.node(target)
            ones = nn.Conv2d(
                conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, bias=False
            )
            nn.init.ones_(ones.weight)
            operations += float(ones(inputs).detach().sum())
    stem = 8 * 9 * 64 - 8 * (9 * 64 - (3 * 8 - 2) ** 2)  # a padded 3 x 3 convolution of 8 x 8 pixels to 8 channels
    assert found.calls == 3 and found.pictures == 2
    assert found.paper == pytest.approx(0.9e-12 * operations / 2 + 3 * 4.6e-12 * stem, rel=1e-6)
    assert 0 < found.rate < 1 and found.analog > 0 and found.chip_J is None
    assert found.paper < found.ann


def test_guidance_asks_twice_and_costs_twice(model):
    network = UNet(size=8, width=4, multipliers=(1,), blocks=1, steps=2, classes=3).network(Seeds(0)).eval()
    guided = DiffusionModel(network.requires_grad_(False), Description(1, 8, "none", 2, 3))
    sampling = Sampling(steps=3, labels=(1,), guidance=2.0)
    assert picture_energy(guided, sampling, seeds=Seeds(0), pictures=2).calls == 6


def test_a_picture_on_a_chip_is_the_sum_of_its_calls(model, chip):
    macro, on, warnings = chip
    found = picture_energy(model, SAMPLING, seeds=Seeds(1), pictures=2, chip=on, macro=macro)
    ledger = Ledger()
    Sampler(on, SAMPLING, Seeds(1), ledger=ledger)(range(2))
    assert ledger.samples == 6 and found.chip_J is not None
    order, edges = on.network.order, [(e.source, e.target) for e in on.network.edges]
    whole = hardware.price(ledger, macro, steps=2, order=order, edges=edges)
    assert found.chip_J == pytest.approx(3 * whole.energy_J["total"], rel=1e-9)
    assert isinstance(warnings, tuple) and "paper's count" in str(found)
    assert found.as_dict()["chip_J"] == found.chip_J


def test_a_chips_reads_are_drawn_by_picture_and_time(model, chip):
    _, on, _ = chip
    together = Sampler(on, SAMPLING, Seeds(4))(range(4))
    assert torch.equal(together, Sampler(on, SAMPLING, Seeds(4))(range(4)))
    torch.testing.assert_close(Sampler(on, SAMPLING, Seeds(4))(range(2, 4)), together[2:], atol=1e-3, rtol=0)
    assert not torch.allclose(together, Sampler(model, SAMPLING, Seeds(4))(range(4)), atol=1e-2)
    x, t = torch.zeros(2, 1, 8, 8), torch.tensor([5, 5])
    rows = on.denoiser(ids=np.array([7, 8]))(x, t)
    assert not torch.equal(rows[0], rows[1])  # the same picture, other reads
    torch.testing.assert_close(on.denoiser(ids=np.array([8]))(x[:1], t[:1])[0], rows[1], atol=1e-4, rtol=0)
    shown = planes(x, t, None, 0)  # as the denoiser shows it, with the reads of diffusion time 0 and of time 5
    first, sixth = (
        ss.run(on.network, shown, steps=2, state=NetworkState(2 * time, {}, {}), sample_ids=np.array([7, 8])).readout
        for time in (0, 5)
    )
    torch.testing.assert_close(sixth, rows, atol=1e-4, rtol=0)
    assert not torch.allclose(first, rows, atol=1e-3)


def test_calibration_pictures_are_checked(model):
    with pytest.raises(ShapeError, match=r"deployed\.pictures must be \(N, 1, 8, 8\)"):
        deployed(model, hardware.load_macro("taox40-projected"), torch.zeros(4, 1, 9, 9), seeds=Seeds(0))
