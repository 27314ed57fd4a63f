"""The U-Net as a network: shapes, what spikes, what it refuses, and its two forms."""

import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim import diffusion
from spikesim.core.seeds import Seeds
from spikesim.diffusion import UNet, warm_start
from spikesim.diffusion.training import NEURONS
from spikesim.diffusion.unet import readout_gain
from spikesim.errors import ArtefactError, ParameterError, ShapeError
from spikesim.layers import TemporalScale
from spikesim.neurons import Neuron
from spikesim.readout import LeakySum

SMALL = {"size": 8, "width": 8, "multipliers": (1, 2), "blocks": 1, "steps": 2}


def _shown(network, batch=3, seed=0):
    x = torch.randn(batch, *network.input_shape, generator=torch.Generator().manual_seed(seed))
    x[:, 1] = torch.tensor([3.0, 500.0, 999.0])[:batch, None, None]
    if x.shape[1] > 2:
        x[:, 2] = 1.0
    return x


def test_the_answer_has_the_pictures_shape_and_every_activation_is_a_neuron():
    unet = UNet(**SMALL, classes=10)
    network = unet.network(Seeds(0)).eval()
    assert ss.run(network, _shown(network), steps=2).readout.shape == (3, 1, 8, 8)
    names = [name for name, node in network.nodes.items() if isinstance(node, Neuron)]
    convolutions = [name for name, node in network.nodes.items() if isinstance(node, nn.Conv2d)]
    before = {e.target: e.source for e in network.edges}
    spiking_in = [n for n in convolutions if before[n] in names or before.get(before[n]) in names]
    analog = set(convolutions) - set(spiking_in)
    assert analog == {n for n in convolutions if n.startswith(("stem.first", "tail")) or ".shortcut" in n}


def test_the_reference_net_has_the_size_that_is_published_with_its_figures():
    network = UNet().network(Seeds(0))
    assert sum(p.numel() for p in network.parameters()) == 1_531_501


@pytest.mark.parametrize(("norm", "kind"), [("batch", nn.BatchNorm2d), ("group", nn.GroupNorm)])
def test_maps_are_normalised_as_asked(norm, kind):
    network = UNet(**{**SMALL, "steps": 1}, activation="swish", norm=norm).network(Seeds(0))
    found = {type(node) for name, node in network.nodes.items() if name.endswith(".norm")}
    assert found == {kind}


def test_spikes_are_binary_and_the_stream_is_not():
    network = UNet(**SMALL).network(Seeds(1)).train()  # normalised by its own batch, so that some fire
    found = ss.run(network, _shown(network), steps=2, record=["down.0.0.second.neuron", "down.0.0.sum"]).recording
    assert set(found["down.0.0.second.neuron"].unique().tolist()) == {0.0, 1.0}
    assert len(found["down.0.0.sum"].unique()) > 100


@pytest.mark.parametrize("engine", [ss.Fused(), ss.EventDriven(), ss.Reference()])
def test_engines_and_memory_layouts_agree(engine):
    network = UNet(**SMALL).network(Seeds(1)).eval()
    x = _shown(network)
    expected = ss.run(network, x, steps=2, engine=ss.Reference()).readout
    torch.testing.assert_close(ss.run(network, x, steps=2, engine=engine).readout, expected, atol=1e-4, rtol=1e-4)
    network.to(memory_format=torch.channels_last)
    torch.testing.assert_close(ss.run(network, x, steps=2, engine=engine).readout, expected, atol=1e-4, rtol=1e-4)


def test_time_and_class_change_the_answer_and_rows_do_not_see_each_other():
    unet = UNet(**SMALL, classes=4)
    denoiser = diffusion.NetworkDenoiser(unet.network(Seeds(2)).eval(), 2, classes=4)
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(5)).expand(2, 1, 8, 8)
    x, t = x[:1].repeat(4, 1, 1, 1), torch.tensor([10, 10, 900, 10])
    found = denoiser(x, t, torch.tensor([1, 1, 1, 4]))
    torch.testing.assert_close(found[0], found[1])
    assert (found[0] - found[2]).abs().max() > 1e-3
    assert (found[0] - found[3]).abs().max() > 1e-3
    torch.testing.assert_close(found[3:], denoiser(x[3:], t[3:], None))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"size": 18, "multipliers": (1, 2, 2)}, "UNet.size must be divisible by 4: each of 3 levels"),
        ({"activation": "relo"}, "UNet.activation must be one of if, relu, swish, quantised, got relo"),
        ({"activation": "relu"}, "UNet.steps must be 1, without temporal scales, for an ANN, got 4; set steps = 1"),
        ({"norm": "group"}, "UNet.norm must be batch for a spiking U-Net"),
        ({"multipliers": ()}, "UNet.multipliers must be whole numbers at least 1"),
        ({"width": 1}, "UNet.width must be"),
        ({"threshold": 0.0}, "UNet.threshold must be"),
        ({"reset": "subtractio"}, "UNet.reset must be one of zero, subtraction, got subtractio"),
        (
            {"activation": "relu", "steps": 1, "threshold": 2.0},
            "UNet.threshold must be left alone, as reset is, for an ANN",
        ),
    ],
)
def test_bad_settings_are_refused_in_one_line(wanted, message):
    with pytest.raises(ParameterError) as caught:
        UNet(**wanted)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_conditions_are_checked():
    plain = diffusion.NetworkDenoiser(UNet(**SMALL).network(Seeds(0)).eval(), 2)
    x, t = torch.zeros(2, 1, 8, 8), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(ParameterError, match="absent: this network learned no classes"):
        plain(x, t, torch.zeros(2, dtype=torch.int64))
    asked = diffusion.NetworkDenoiser(UNet(**SMALL, classes=3).network(Seeds(0)).eval(), 2, classes=3)
    with pytest.raises(ParameterError, match="from 0 to 3"):
        asked(x, t, torch.tensor([0, 4]))
    with pytest.raises(ShapeError, match="class numbers"):
        asked(x, t, torch.tensor([0.5, 1.0]))


def test_a_spiking_net_starts_from_an_anns_weights_and_temporal_scales_from_a_plain_one():
    ann = UNet(**{**SMALL, "steps": 1}, activation="relu").network(Seeds(3))
    spiking = UNet(**SMALL).network(Seeds(4))
    kept = warm_start(spiking, ann)
    assert all(name.endswith(NEURONS) for name in kept)
    assert torch.equal(spiking.node("middle.0.first.conv").weight, ann.node("middle.0.first.conv").weight)
    timed = UNet(**SMALL, temporal=True).network(Seeds(5))
    assert all(name.endswith((".scale.factor", *NEURONS)) for name in warm_start(timed, spiking))
    x = _shown(timed)
    timed.eval(), spiking.eval()
    torch.testing.assert_close(ss.run(timed, x, steps=2).readout, ss.run(spiking, x, steps=2).readout)


def test_a_start_keeps_the_size_of_the_answer_and_the_neurons_own_thresholds():
    ann = UNet(**{**SMALL, "steps": 1}, activation="relu").network(Seeds(3))
    spiking = UNet(**{**SMALL, "steps": 4}, threshold=2.0, reset="subtraction").network(Seeds(4))
    warm_start(spiking, ann, readout_gain(4) / readout_gain(1))
    assert readout_gain(4) == pytest.approx(1 + 0.8 + 0.64 + 0.512) and readout_gain(1) == 1
    torch.testing.assert_close(spiking.node("tail.conv").weight * readout_gain(4), ann.node("tail.conv").weight)
    torch.testing.assert_close(spiking.node("tail.again.norm").weight * readout_gain(4), torch.ones(1))
    assert torch.equal(spiking.node("middle.0.first.conv").weight, ann.node("middle.0.first.conv").weight)
    again = UNet(**{**SMALL, "steps": 4}).network(Seeds(5))
    warm_start(again, spiking)
    neuron, other = spiking.node("stem.second.neuron"), again.node("stem.second.neuron")
    assert (float(neuron.threshold), float(neuron.initial), float(other.threshold)) == (2, 1, 1)


def test_thresholds_that_both_have_learned_are_taken_over():
    first, again = (UNet(**{**SMALL, "steps": 1}, activation="quantised").network(Seeds(n)) for n in (6, 7))
    first.node("stem.second.neuron").threshold.data.fill_(2.5)
    warm_start(again, first)
    assert float(again.node("stem.second.neuron").threshold) == 2.5


def test_another_size_to_start_from_is_refused():
    with pytest.raises(ArtefactError, match=r"start\.time\.first\.weight must be \(32, 8\) as in this network"):
        warm_start(UNet(**SMALL).network(Seeds(0)), UNet(**{**SMALL, "width": 4}).network(Seeds(0)))
    with pytest.raises(ArtefactError, match="a model of the same layers"):
        warm_start(UNet(**SMALL).network(Seeds(0)), nn.Sequential(nn.Linear(2, 2)))


def test_temporal_scales_multiply_each_step_cut_anywhere_and_learn():
    scale = TemporalScale(3)
    with torch.no_grad():
        scale.factor.copy_(torch.tensor([1.0, 2.0, 3.0]))
    x = torch.ones(3, 2, 4)
    whole, _ = scale(x)
    first, state = scale(x[:1])
    rest, _ = scale(x[1:], state)
    assert torch.equal(whole[:, 0, 0], torch.tensor([1.0, 2.0, 3.0]))
    assert torch.equal(torch.cat([first, rest]), whole)
    whole.sum().backward()
    assert torch.equal(scale.factor.grad, torch.full((3,), 8.0))
    with pytest.raises(ShapeError, match="at most 3 steps"):
        scale(torch.ones(4, 2, 4))


def test_the_readout_is_a_leaky_membrane():
    output = torch.tensor([1.0, 10.0, 100.0])[:, None]
    assert LeakySum(0.5)(output).item() == pytest.approx(0.25 + 5 + 100)
    assert LeakySum(1.0)(output).item() == 111


@pytest.mark.parametrize(
    "wanted", [{}, {"temporal": True, "classes": 2}, {"steps": 1, "activation": "swish", "norm": "group"},
               {"steps": 1, "activation": "quantised"}],
)  # fmt: skip
def test_every_kind_is_saved_and_loaded(tmp_path, wanted):
    unet = UNet(**{**SMALL, **wanted})
    network = unet.network(Seeds(6)).eval().requires_grad_(False)
    ss.save(network, tmp_path / "net")
    x = _shown(network)
    again = ss.load(tmp_path / "net")
    assert torch.equal(ss.run(again, x, steps=unet.steps).readout, ss.run(network, x, steps=unet.steps).readout)
