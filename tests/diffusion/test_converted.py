"""The route by conversion: quantised U-Net -> spiking, tuned block by block."""

import pytest
import torch

import spikesim as ss
from spikesim.conversion.block_finetuning import MeanCount, Tuning, finetune_blocks
from spikesim.core.seeds import Seeds
from spikesim.diffusion import UNet
from spikesim.diffusion.converted import converted, noised_planes, tuned
from spikesim.diffusion.model import Description, DiffusionModel
from spikesim.errors import ConversionError, ParameterError
from spikesim.layers import QuantisedReLU


def _model(activation="quantised"):
    network = UNet(size=8, width=8, multipliers=(1, 2), blocks=1, steps=1, activation=activation).network(Seeds(0))
    for module in network.nodes.values():
        if isinstance(module, QuantisedReLU):
            torch.nn.init.constant_(module.threshold, 2.0)
    model = DiffusionModel(network.train(), Description(1, 8, "none", 1))
    x = noised_planes(model, _pictures(64), Seeds(9))
    with torch.no_grad():
        for _ in range(30):
            network(x[None])
    network.eval().requires_grad_(False)
    return model


def _pictures(count):
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture(scope="module")
def pair():
    model = _model()
    return model, converted(model, _pictures(64), seeds=Seeds(1))[0]


def _error(model, spiking):
    x = noised_planes(model, _pictures(32), Seeds(5))
    want = ss.run(model.network, x, steps=1).readout
    return float(
        (ss.run(spiking.network, x, steps=spiking.about.steps).readout - want).square().mean() / want.square().mean()
    )


def test_t_is_the_number_of_levels_and_the_network_spikes(pair):
    model, spiking = pair
    assert spiking.about.steps == 3 and model.about.steps == 1
    kinds = {type(m).__name__ for m in spiking.network.nodes.values()}
    assert "QuantisedReLU" not in kinds and kinds & {"SignedIF", "IF"}
    assert spiking.denoiser()(torch.zeros(2, 1, 8, 8), torch.tensor([3, 900])).shape == (2, 1, 8, 8)


def test_the_first_neuron_says_exactly_the_quantised_activation(pair):
    model, spiking = pair
    x = noised_planes(model, _pictures(16), Seeds(2))
    recorded = ss.run(spiking.network, x, steps=3, record=["stem.second.neuron"]).recording["stem.second.neuron"]
    _, _, of_ann = model.network(x[None], record=["stem.second.neuron"])
    counts = (of_ann["stem.second.neuron"][0] / 2.0 * 3).round()
    assert torch.equal(recorded.sum(0), counts)


def test_tuning_brings_blocks_and_the_answer_nearer_and_leaves_the_given_network(pair):
    model, spiking = pair
    before = {k: v.clone() for k, v in spiking.network.state_dict().items()}
    better, blocks = tuned(spiking, _pictures(128), seeds=Seeds(3), tuning=Tuning(10, 32, 5e-3))
    assert all(torch.equal(v, before[k]) for k, v in spiking.network.state_dict().items())
    names = [b.name for b in blocks]
    assert names[-1] == "tail" and names.index("down.0.0") < names.index("middle.0") < names.index("up.0.1")
    assert all(b.after <= b.before for b in blocks)
    assert _error(model, better) < 0.97 * _error(model, spiking)


def test_a_mean_count_is_what_the_neuron_counts():
    neuron = ss.IF(0.7, initial=0.35)
    z = torch.linspace(-1, 2, 301)[None]
    counts = ss.run(ss.Network.chain(neuron), z, steps=5).output.sum(0)
    exact = (z * 5 + 0.35) % 0.7
    sure = (exact > 1e-4) & (exact < 0.7 - 1e-4)
    assert torch.equal((MeanCount(neuron, 5)(z) * 5).round()[sure], counts[sure])


def test_without_levels_t_must_be_given():
    model = _model("relu")
    with pytest.raises(ConversionError, match=r"converted\.steps must be given"):
        converted(model, _pictures(64), seeds=Seeds(0))
    assert converted(model, _pictures(64), seeds=Seeds(0), steps=4)[0].about.steps == 4


def test_what_cannot_be_tuned_is_refused(pair):
    chain = ss.Network.chain(torch.nn.Linear(4, 4), ss.LIF())
    with pytest.raises(ConversionError, match="an IF, SignedIF or stateless layer, got LIF"):
        finetune_blocks(chain, torch.zeros(64, 4), steps=2, block_of=lambda n: "all", seeds=Seeds(0))
    with pytest.raises(ParameterError, match=r"finetune_blocks\.x must be at least 32"):
        tuned(pair[1], _pictures(8), seeds=Seeds(0))


def test_a_spiking_network_is_no_ann():
    with pytest.raises(ConversionError, match="a layer without state, got IF"):
        ss.convert(
            UNet(size=8, width=4, multipliers=(1,), blocks=1).network(Seeds(0)), calibration=torch.zeros(64, 2, 8, 8)
        )
