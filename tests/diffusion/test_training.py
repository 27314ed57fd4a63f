"""Training a denoiser: what a batch is, that runs are the same and resumable, and that it learns."""

import numpy as np
import pytest
import torch

from spikesim import diffusion
from spikesim.core.seeds import Seeds
from spikesim.diffusion import DenoisingLoss, NoisedBatches
from spikesim.diffusion.experiment import DiffusionExperiment
from spikesim.diffusion.model import DiffusionModel, pictures
from spikesim.errors import ArtefactError, ParameterError, ShapeError
from spikesim.training import Training

TINY = {"data": "digits", "size": 8, "width": 8, "multipliers": (1, 2), "blocks": 1, "steps": 2, "limit": 128}
SCHEDULE = diffusion.LinearBetas(100).schedule()


def test_a_batch_is_pictures_noised_as_its_time_says():
    x0 = torch.linspace(-1, 1, 64).reshape(4, 1, 4, 4)
    for batch in NoisedBatches(x0, SCHEDULE, 2).epoch(Seeds(1)):
        x, t = batch.x[:, :1], batch.x[:, 1, 0, 0].long()
        kept = torch.tensor(SCHEDULE.alphas_bar[t], dtype=torch.float32)[:, None, None, None]
        torch.testing.assert_close(x, kept.sqrt() * x0[batch.ids] + (1 - kept).sqrt() * batch.labels)


def test_epochs_are_drawn_from_their_seeds_and_may_be_a_part():
    batches = NoisedBatches(torch.zeros(10, 1, 4, 4), SCHEDULE, 4, per_epoch=6)
    first, again, other = (list(batches.epoch(Seeds(n))) for n in (1, 1, 2))
    assert len(first) == len(batches) == 2 and sum(len(b.labels) for b in first) == 6
    assert all(torch.equal(a.x, b.x) for a, b in zip(first, again))
    assert not torch.equal(first[0].x, other[0].x)


def test_classes_are_left_out_as_often_as_asked():
    labels = torch.arange(2000) % 3
    batches = NoisedBatches(torch.zeros(2000, 1, 2, 2), SCHEDULE, 2000, labels, 3, without=0.25)
    (batch,) = batches.epoch(Seeds(0))
    told = batch.x[:, 2, 0, 0].long()
    assert abs(float((told == 3).float().mean()) - 0.25) < 0.04
    assert torch.equal(told[told != 3], labels[batch.ids][told != 3])


def test_the_score_is_the_share_of_the_noise_that_is_explained():
    noise = torch.randn(8, 1, 4, 4)
    loss = DenoisingLoss(1)
    assert loss.score(noise, noise) == 1
    assert loss.score(torch.zeros_like(noise), noise) == 0


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        ({"pictures": torch.zeros(3, 4, 4)}, ShapeError, "NoisedBatches.pictures"),
        ({"per_epoch": 9}, ParameterError, "NoisedBatches.per_epoch"),
        ({"classes": 3}, ParameterError, "NoisedBatches.labels"),
        ({"without": 2.0}, ParameterError, "NoisedBatches.without"),
    ],
)
def test_bad_batches_are_refused(wanted, error, message):
    with pytest.raises(error, match=message):
        NoisedBatches(**{"pictures": torch.zeros(4, 1, 4, 4), "schedule": SCHEDULE, **wanted})


def test_pictures_are_resized_and_scaled():
    assert pictures(torch.ones(2, 1, 28, 28), 8).shape == (2, 1, 8, 8)
    assert torch.equal(pictures(torch.zeros(1, 3, 8, 8), 8), torch.full((1, 3, 8, 8), -1.0))
    with pytest.raises(ShapeError, match=r"diffusion\.data must be images"):
        pictures(torch.zeros(2, 2, 8, 8), 8)


@pytest.mark.parametrize("kind", [{}, {"activation": "swish", "norm": "group", "steps": 1}])
def test_a_stopped_training_goes_on_to_the_same_bits_and_learns(tmp_path, kind):
    experiment = DiffusionExperiment.of(**{**TINY, **kind}, batch_size=32, validation=32, conditional=True)
    training = Training(epochs=4, learning_rate=4e-3, weight_decay=0.0, ema=0.5)
    whole, history = experiment.run(training, seeds=Seeds(3))
    assert history[-1].loss < history[0].loss

    def stop(epoch):
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        experiment.run(training, seeds=Seeds(3), checkpoint=tmp_path / "c.safetensors", watch=stop)
    again, resumed = experiment.run(training, seeds=Seeds(3), checkpoint=tmp_path / "c.safetensors")
    assert resumed == history
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name


def test_a_checkpoint_of_another_size_is_refused(tmp_path):
    training = Training(epochs=1)
    path = tmp_path / "c.safetensors"
    DiffusionExperiment.of(**TINY).run(training, seeds=Seeds(0), checkpoint=path)
    with pytest.raises(ArtefactError, match="a checkpoint of this model"):
        DiffusionExperiment.of(**{**TINY, "width": 4}).run(training, seeds=Seeds(0), checkpoint=path)


def test_a_model_is_saved_with_all_that_sampling_needs(tmp_path):
    model, _ = DiffusionExperiment.of(**TINY, schedule="cosine").run(Training(epochs=1), seeds=Seeds(0))
    model.save(tmp_path / "out" / "model")
    again = DiffusionModel.load(tmp_path / "out")
    assert again.about == model.about
    noise = diffusion.Noise(Seeds(4), range(3), model.about.shape)
    few = model.about.whole_schedule().fewer(4)
    made = [diffusion.ddim(m.denoiser(), few, noise, clip=(-1, 1)) for m in (model, again)]
    torch.testing.assert_close(*made, atol=1e-4, rtol=0)
    described = tmp_path / "out" / "model" / "diffusion.json"
    described.write_text(described.read_text().replace('"classes": 0', '"classes": 3'))
    with pytest.raises(ArtefactError, match=r"network\.json must be of input \(3, 8, 8\)"):
        DiffusionModel.load(tmp_path / "out")
    described.write_text('{"format": 7}')
    with pytest.raises(ArtefactError, match="format 1 with"):
        DiffusionModel.load(tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[diffusion]\nsice = 8\n", "made of known keys, got sice; did you mean size"),
        ('[diffusion]\nsize = "8"\n', "of the kind of 16"),
        ("[diffusion]\nsize = 10\n", "UNet.size must be divisible by 4"),
        ('[diffusion]\nschedule = "linea"\n', "diffusion.schedule must be one of linear, cosine"),
        ("[diffusion]\nlimit = -1\n", "DiffusionExperiment.limit"),
        ("[sampling]\nsize = 8\n", "made of [diffusion] and [training]"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "d.toml"
    path.write_text(text)
    with pytest.raises(ParameterError) as caught:
        DiffusionExperiment.from_toml(path)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_all_pictures_cannot_be_held_back():
    with pytest.raises(ParameterError, match=r"DiffusionExperiment\.validation must be below 128"):
        DiffusionExperiment.of(**TINY, validation=128).run(Training(epochs=1), seeds=Seeds(0))


def test_labels_of_batches_are_noise_of_variance_one():
    batches = NoisedBatches(torch.zeros(500, 1, 8, 8), SCHEDULE, 500)
    (batch,) = batches.epoch(Seeds(0))
    assert np.isclose(float(batch.labels.var()), 1, atol=0.03)


def test_a_teachers_answers_are_learned_and_the_score_is_still_of_the_noise(tmp_path):
    ann = {**TINY, "activation": "swish", "norm": "group", "steps": 1}
    teacher, _ = DiffusionExperiment.of(**ann).run(Training(epochs=1), seeds=Seeds(0))
    teacher.save(tmp_path / "teacher")
    x0 = torch.rand(8, 1, 8, 8)
    answer = teacher.denoiser().answer
    plain, taught = (next(NoisedBatches(x0, SCHEDULE, 8, teacher=t).epoch(Seeds(1))) for t in (None, answer))
    assert torch.equal(plain.x, taught.x)
    torch.testing.assert_close(taught.labels, answer(plain.x[:, :1], plain.x[:, 1, 0, 0].long()))
    taught_by = DiffusionExperiment.of(**TINY, teacher=str(tmp_path / "teacher"), validation=32, batch_size=32)
    alone = DiffusionExperiment.of(**TINY, validation=32, batch_size=32)
    training = Training(epochs=1, learning_rate=1e-9)
    (one,), (other,) = (e.run(training, seeds=Seeds(3))[1] for e in (taught_by, alone))
    assert one.loss != pytest.approx(other.loss) and one.validation == pytest.approx(other.validation, abs=1e-4)
    for wrong in ({"answer": "velocity"}, {"conditional": True}, {"schedule": "cosine"}):
        with pytest.raises(ArtefactError, match=r"DiffusionExperiment\.teacher must be a model of the same pictures"):
            DiffusionExperiment.of(**TINY, **wrong, teacher=str(tmp_path / "teacher")).run(training, seeds=Seeds(0))


def test_pictures_must_be_in_0_to_1() -> None:
    with pytest.raises(
        ParameterError, match=r"diffusion\.data must be images in 0\.\.1, got 0 to 255; divide bytes by 255"
    ):
        pictures(torch.tensor([0.0, 255.0, 3.0, 4.0]).reshape(1, 1, 2, 2), 2)
