"""Sampling by name into a folder: pictures by number, resumed runs, and what is refused."""

import numpy as np
import pytest
import torch

from spikesim.core.seeds import Seeds
from spikesim.diffusion import UNet, sampling
from spikesim.diffusion.model import Description, DiffusionModel
from spikesim.diffusion.sampling import SAMPLERS, Given, Sampler, Sampling
from spikesim.errors import ArtefactError, GraphError, ParameterError

UNIT = UNet(size=8, width=4, multipliers=(1, 2), blocks=1, steps=2, classes=3)


@pytest.fixture(scope="module")
def model():
    network = UNIT.network(Seeds(0)).train()
    with torch.no_grad():  # running statistics that are not the first ones
        shown = torch.randn(2, 64, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        shown[:, :, 1], shown[:, :, 2] = 500, 1
        network(shown)
    return DiffusionModel(network.eval().requires_grad_(False), Description(1, 8, "none", 2, 3))


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_picture_depends_on_its_number_alone(model, name):
    wanted = Sampling(name, 6, labels=(0, 2))
    squared = np.full(6, 0.5)
    sampler = Sampler(model, wanted, Seeds(1), squared)
    together = sampler(range(5))
    torch.testing.assert_close(sampler(range(3, 5)), together[3:], atol=1e-4, rtol=0)
    assert together.abs().max() <= 1
    assert not torch.equal(Sampler(model, wanted, Seeds(2), squared)(range(5)), together)


def test_a_stopped_run_keeps_its_pictures_and_goes_on(model, tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "BATCH", 2)
    sampler = Sampler(model, Sampling(steps=4), Seeds(1))
    whole, frames = sampler.into(tmp_path / "whole", 5)
    assert whole.shape == (5, 1, 8, 8) and frames.shape == (5, 2, 1, 8, 8)
    calls = []

    def stop():
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sampler.into(tmp_path / "cut", 5, stop)
    kept = sorted(p.name for p in (tmp_path / "cut" / "parts").glob("pictures-*.npy"))
    assert kept == ["pictures-000000.npy"]
    calls.clear()
    assert sampler.calls(5) == 12 and sampler.calls(5, tmp_path / "cut") == 8
    again, same_frames = sampler.into(tmp_path / "cut", 5, lambda: calls.append(1))
    assert torch.equal(again, whole) and np.array_equal(frames, same_frames)
    assert len(calls) == 8


def test_more_pictures_may_be_added_and_other_settings_may_not(model, tmp_path):
    sampler = Sampler(model, Sampling(steps=3), Seeds(1))
    few, _ = sampler.into(tmp_path, 3)
    more, _ = sampler.into(tmp_path, 5)
    torch.testing.assert_close(more[:3], few, atol=1e-4, rtol=0)
    for other in (Sampling(steps=4), Sampling(steps=3, threshold=0.99), Sampling("ddpm", 3)):
        with pytest.raises(ArtefactError, match=r"sample\.out must be empty, or of the same model"):
            Sampler(model, other, Seeds(1)).into(tmp_path, 3)
    with pytest.raises(ArtefactError, match=r"sample\.out"):
        Sampler(model, Sampling(steps=3), Seeds(2)).into(tmp_path, 3)


def test_thresholds_by_layer_change_pictures_and_unknown_layers_are_refused(model):
    plain = Sampler(model, Sampling(steps=3), Seeds(1))(range(2))
    guided = Sampler(model, Sampling(steps=3, threshold={"middle.0.first.neuron": 0.5}), Seeds(1))(range(2))
    assert not torch.equal(plain, guided)
    with pytest.raises(GraphError, match="a layer with thresholds"):
        Sampler(model, Sampling(steps=3, threshold={"middle.9": 0.5}), Seeds(1))


def test_guidance_asks_for_the_class(model):
    one = Sampler(model, Sampling(steps=3, labels=(1,)), Seeds(1))(range(2))
    same = Sampler(model, Sampling(steps=3, labels=(1,), guidance=1.0), Seeds(1))(range(2))
    more = Sampler(model, Sampling(steps=3, labels=(1,), guidance=3.0), Seeds(1))(range(2))
    assert torch.equal(one, same) and not torch.equal(one, more)


def test_from_a_picture_and_around_one(model):
    image = torch.linspace(-1, 1, 64).reshape(1, 8, 8)
    like = Sampler(model, Sampling(steps=10), Seeds(1), given=Given(image, strength=0.1))(range(2))
    assert (like - image).abs().mean() < 0.3
    known = torch.zeros(1, 8, 8, dtype=torch.bool)
    known[:, :4] = True
    sampler = Sampler(model, Sampling(steps=5), Seeds(1), given=Given(image, known=known))
    filled = sampler(range(2))
    torch.testing.assert_close(filled[:, :, :4], image[None].expand(2, 1, 8, 8)[:, :, :4])
    assert not torch.allclose(filled[:, :, 4:], image[None, :, 4:].expand(2, 1, 4, 8))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"sampler": "ddin"}, "sample.sampler must be one of ddim, ddpm, analytic, dpm-solver-2, got ddin; did you"),
        ({"steps": 0}, "Sampling.steps"),
        ({"threshold": 0.0}, "sample.threshold must be a number above 0"),
        ({"threshold": {"a": -1.0}}, "sample.threshold must be a number above 0"),
        ({"guidance": 2.0}, "sample.guidance must be 1 without labels"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(wanted, message):
    with pytest.raises(ParameterError) as caught:
        Sampling(**wanted)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_what_the_model_did_not_learn_is_refused(model):
    with pytest.raises(ParameterError, match="the model learned 1000 steps"):
        Sampler(model, Sampling(steps=1001), Seeds(0))
    with pytest.raises(ParameterError, match=r"sample\.labels must be a whole number at least 0 and below 3"):
        Sampler(model, Sampling(labels=(3,)), Seeds(0))
    plain = DiffusionModel(model.network, Description(1, 8, "none", 2))
    with pytest.raises(ParameterError, match="the model learned no classes"):
        Sampler(plain, Sampling(labels=(1,)), Seeds(0))
    with pytest.raises(ParameterError, match="given training pictures for analytic"):
        Sampler(model, Sampling("analytic", 3), Seeds(0))(range(1))
    with pytest.raises(ParameterError, match=r"sample\.measured\.labels must be given"):
        Sampler(model, Sampling("analytic", 3, labels=(1,)), Seeds(0)).measured(torch.zeros(2, 1, 8, 8))
    with pytest.raises(ParameterError, match="to start from a picture"):
        Sampler(model, Sampling("dpm-solver-2", 5), Seeds(0), given=Given(torch.zeros(1, 8, 8)))
