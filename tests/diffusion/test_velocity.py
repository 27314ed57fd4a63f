"""Networks that answer the velocity: samplers are told the noise all the same."""

from dataclasses import replace

import pytest
import torch

from spikesim import diffusion
from spikesim.core.seeds import Seeds
from spikesim.diffusion import Description, DiffusionModel, NoisedBatches
from spikesim.diffusion.denoiser import noise_of_velocity, velocity
from spikesim.diffusion.experiment import DiffusionExperiment
from spikesim.errors import ArtefactError, ParameterError
from spikesim.training import Training

TINY = {"data": "digits", "size": 8, "width": 8, "multipliers": (1, 2), "blocks": 1, "steps": 2, "limit": 128}
SCHEDULE = diffusion.LinearBetas(100).schedule()


def test_the_noise_follows_from_the_velocity_at_every_time():
    x0, noise, k = torch.rand(100, 1, 4, 4) * 2 - 1, torch.randn(100, 1, 4, 4), torch.arange(100)
    x, kept = SCHEDULE.noised(x0, k, noise), torch.as_tensor(SCHEDULE.alphas_bar)
    v = velocity(x0, noise, kept)
    torch.testing.assert_close(noise_of_velocity(x, v, kept), noise, atol=1e-5, rtol=1e-5)
    off = noise_of_velocity(x, v + 1, kept) - noise
    torch.testing.assert_close(off, kept.sqrt().float().reshape(-1, 1, 1, 1).expand_as(off), atol=1e-5, rtol=1e-4)


def test_batches_ask_for_it():
    x0 = torch.linspace(-1, 1, 64).reshape(4, 1, 4, 4)
    asked = {
        answer: next(NoisedBatches(x0, SCHEDULE, 4, answer=answer).epoch(Seeds(1))) for answer in ("noise", "velocity")
    }
    assert torch.equal(asked["noise"].x, asked["velocity"].x)
    x, t = asked["noise"].x[:, :1], asked["noise"].x[:, 1, 0, 0].long()
    kept = torch.as_tensor(SCHEDULE.alphas_bar)[t]
    torch.testing.assert_close(
        noise_of_velocity(x, asked["velocity"].labels, kept), asked["noise"].labels, atol=1e-5, rtol=0
    )
    with pytest.raises(ParameterError, match=r"NoisedBatches\.answer must be one of noise, velocity, got speed"):
        NoisedBatches(x0, SCHEDULE, answer="speed")


def test_a_models_denoiser_predicts_noise_and_files_say_what_the_network_answers(tmp_path):
    model, history = DiffusionExperiment.of(**TINY, answer="velocity").run(
        Training(epochs=3, learning_rate=4e-3, weight_decay=0.0), seeds=Seeds(0)
    )
    assert history[-1].loss < history[0].loss
    plain = DiffusionModel(model.network, replace(model.about, answer="noise"))
    x, t = torch.randn(5, 1, 8, 8), torch.tensor([0, 10, 300, 700, 999])
    kept = torch.as_tensor(model.about.whole_schedule().alphas_bar)[t]
    torch.testing.assert_close(model.denoiser()(x, t), noise_of_velocity(x, plain.denoiser()(x, t), kept))
    model.save(tmp_path / "new")
    assert DiffusionModel.load(tmp_path / "new").about == model.about
    plain.save(tmp_path / "old")
    described = tmp_path / "old" / "diffusion.json"
    described.write_text(described.read_text().replace(',\n  "answer": "noise"', "").replace('"answer": "noise",', ""))
    assert "answer" not in described.read_text()
    assert DiffusionModel.load(tmp_path / "old").about == plain.about
    with pytest.raises(ArtefactError, match=r"DiffusionExperiment\.start must be a model that answers noise"):
        DiffusionExperiment.of(**TINY, start=str(tmp_path / "new")).run(Training(epochs=1), seeds=Seeds(0))


def test_other_answers_are_refused():
    with pytest.raises(ParameterError, match=r"diffusion\.answer must be one of noise, velocity, got speed"):
        Description(1, 8, "none", 1, answer="speed")
