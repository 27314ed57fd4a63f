"""Choosing thresholds: the one that errs least is found, on noise of its own."""

import pytest
import torch

from spikesim import diffusion
from spikesim.core.seeds import Seeds
from spikesim.diffusion import Sampling, UNet, chosen_threshold, denoising_error, swept
from spikesim.diffusion.experiment import DiffusionExperiment, training_images
from spikesim.diffusion.model import Description, DiffusionModel
from spikesim.errors import GraphError, ParameterError
from spikesim.training import Training


@pytest.fixture(scope="module")
def trained():
    experiment = DiffusionExperiment.of(
        size=8, width=8, multipliers=(1, 2), blocks=1, steps=2, batch_size=32, limit=480
    )
    model, _ = experiment.run(Training(epochs=6, learning_rate=5e-3, weight_decay=0.0, ema=0.5), seeds=Seeds(1))
    return model, training_images("digits", 8, limit=96)[0]


def test_the_error_is_one_where_nothing_is_known_and_less_after_training(trained):
    model, pictures = trained
    assert denoising_error(model, pictures, seeds=Seeds(0)) < 0.8
    network = UNet(size=8, width=4, multipliers=(1,), blocks=1, steps=1, activation="relu").network(Seeds(0)).eval()
    for parameter in network.node("tail.conv").parameters():
        torch.nn.init.zeros_(parameter)
    nothing = DiffusionModel(network, Description(1, 8, "none", 1))
    assert denoising_error(nothing, pictures, seeds=Seeds(0)) == pytest.approx(1, abs=0.05)


def test_wrong_thresholds_are_put_right(trained):
    model, pictures = trained
    wrong = model.with_network(diffusion.with_thresholds(model.network, 2.0))
    found = chosen_threshold(wrong, pictures, seeds=Seeds(3), factors=(0.5, 1.0, 2.0))
    assert found.threshold == 0.5 and found.value < found.unchanged
    assert found.value == pytest.approx(denoising_error(model, pictures, seeds=Seeds(3)), rel=1e-6)
    assert [factor for factor, _ in found.tried] == [0.5, 1.0, 2.0]


def test_by_layer_it_finds_the_one_that_is_wrong(trained):
    model, pictures = trained
    name = "stem.second.neuron"  # all else hangs on it
    wrong = model.with_network(diffusion.with_thresholds(model.network, {name: 10.0}))
    found = chosen_threshold(wrong, pictures, seeds=Seeds(3), factors=(0.1, 1.0), by_layer=True)
    assert isinstance(found.threshold, dict) and found.threshold.get(name) == 0.1
    right = denoising_error(model, pictures, seeds=Seeds(3))
    assert found.unchanged > 2 * right and found.value < 1.02 * right


def test_a_sweep_judges_pictures_of_the_same_noise(trained):
    model, _ = trained
    seen = []
    found = swept(
        model, Sampling(steps=3), lambda x: float(x.mean()), seeds=Seeds(5), count=3, factors=(0.9, 1.1),
        watch=lambda factor, value: seen.append((factor, value)),
    )  # fmt: skip
    assert [f for f, _ in found.tried] == [0.9, 1.0, 1.1] and sorted(seen) == list(found.tried)
    assert found.value == min(value for _, value in found.tried)
    assert found.unchanged == dict(found.tried)[1.0]


def test_what_has_no_thresholds_is_refused(trained):
    ann = UNet(size=8, width=4, multipliers=(1,), blocks=1, steps=1, activation="relu").network(Seeds(0)).eval()
    model, pictures = DiffusionModel(ann, Description(1, 8, "none", 1)), trained[1]
    with pytest.raises(GraphError, match="one with neurons that have thresholds"):
        chosen_threshold(model, pictures, seeds=Seeds(0))
    for factors in ((), (0.0,)):
        with pytest.raises(ParameterError, match=r"threshold\.factors"):
            chosen_threshold(trained[0], pictures, seeds=Seeds(0), factors=factors)
