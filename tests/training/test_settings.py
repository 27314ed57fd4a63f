"""Optimisers, schedules, averages, early stopping, precision: each resumes to the same bits; bad settings are named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import spikesim as ss
from spikesim.layers import SumPool2d
from spikesim.training import CrossEntropy, Epoch, ReadoutCrossEntropy, TensorBatches, Training, fit


def problem(size: int = 60) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(size) % 3
    return torch.rand(size, 1, 8, 8, generator=draw) + labels.view(-1, 1, 1, 1) * 0.4, labels


def model() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(144, 3)
    )


BATCHES = TensorBatches(*problem(), batch_size=16)


class Stopped(Exception):
    """The power goes."""


@pytest.mark.parametrize(
    "options",
    [
        {"optimiser": "sgd", "schedule": "steps", "milestones": (0.3, 0.5), "learning_rate": 0.05},
        {"optimiser": "amsgrad", "schedule": "cosine", "ema": 0.9, "keep": "best"},
        {"optimiser": "adam", "keep": "best", "precision": "bfloat16"},
    ],
)
def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path, options: dict[str, object]) -> None:
    training, seeds, path = Training(epochs=4, **options), ss.Seeds(5), tmp_path / "run.safetensors"  # type: ignore[arg-type]
    held = TensorBatches(*problem(30))
    whole, resumed, fresh = model(), model(), model()
    history = fit(whole, BATCHES, CrossEntropy(), training, seeds=seeds, validation=held)

    def stop(epoch: Epoch) -> None:
        if epoch.number == 2:
            raise Stopped

    with pytest.raises(Stopped):
        fit(resumed, BATCHES, CrossEntropy(), training, seeds=seeds, validation=held, checkpoint=path, watch=stop)
    assert fit(fresh, BATCHES, CrossEntropy(), training, seeds=seeds, validation=held, checkpoint=path) == history
    assert history[-1].loss < history[0].loss and all(e.validation is not None for e in history)
    for a, b in zip(whole.state_dict().values(), fresh.state_dict().values()):
        assert torch.equal(a, b)


def test_spiking_networks_train_in_bfloat16() -> None:
    def trained(precision: str) -> tuple[float, float]:
        torch.manual_seed(1)
        spiking = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), ss.LIF(0.9), SumPool2d(2), ss.IF()
        network = ss.Network.chain(*spiking, nn.Flatten(), nn.Linear(72, 3))
        training = Training(epochs=6, learning_rate=0.02, precision=precision)
        history = fit(network, BATCHES, ReadoutCrossEntropy(steps=4), training, seeds=ss.Seeds(2))
        return history[0].loss, history[-1].loss

    (whole_first, whole), (first, last) = trained("float32"), trained("bfloat16")
    assert first != whole_first and first == pytest.approx(whole_first, rel=0.1)
    assert last < first / 2 and last == pytest.approx(whole, abs=0.15)


def test_milestones_are_shares_of_the_run() -> None:
    training = Training(epochs=10, schedule="steps", milestones=(0.5, 0.8), factor=0.1, learning_rate=1e-3)
    rates = [e.learning_rate for e in fit(model(), BATCHES, CrossEntropy(), training, seeds=ss.Seeds(0))]
    assert rates == pytest.approx([1e-3] * 4 + [1e-4] * 3 + [1e-5] * 3)


def test_an_average_is_what_the_run_ends_with() -> None:
    plain, averaged = model(), model()
    common = {"epochs": 2, "schedule": "constant"}
    fit(plain, BATCHES, CrossEntropy(), Training(**common), seeds=ss.Seeds(0))  # type: ignore[arg-type]
    fit(averaged, BATCHES, CrossEntropy(), Training(**common, ema=0.9), seeds=ss.Seeds(0))  # type: ignore[arg-type]
    start, a, b = (m.state_dict()["5.weight"] for m in (model(), plain, averaged))
    assert 0 < float((b - start).norm()) < float((a - start).norm())


def test_patience_ends_a_run_and_the_best_is_kept(tmp_path: Path) -> None:
    x, labels = problem()
    held = TensorBatches(x, (labels + 1) % 3)  # the better the training, the worse here
    training = Training(epochs=30, patience=3, keep="best")
    trained, seen = model(), []
    history = fit(trained, BATCHES, CrossEntropy(), training, seeds=ss.Seeds(0), validation=held, watch=seen.append)
    scores = [e.validation for e in history]
    assert len(history) == len(seen) < 30 and len(scores) - 1 - scores.index(max(scores)) == 3  # type: ignore[type-var]
    with torch.no_grad():
        right = (trained(x).argmax(1) == held.labels).double().mean()
    assert float(right) == pytest.approx(max(scores))  # type: ignore[type-var]
    path = tmp_path / "run.safetensors"
    stopped = fit(model(), BATCHES, CrossEntropy(), training, seeds=ss.Seeds(0), validation=held, checkpoint=path)
    again = fit(model(), BATCHES, CrossEntropy(), training, seeds=ss.Seeds(0), validation=held, checkpoint=path)
    assert stopped == again == history, "a run that has ended does not go on"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimiser": "adamv"}, "Training.optimiser must be one of .*did you mean adam"),
        ({"precision": "float8"}, "Training.precision must be one of"),
        ({"ema": 1.0}, "Training.ema must be a number at least 0 and below 1"),
        ({"milestones": (0.5, 0.2)}, "Training.milestones must be rising shares"),
        ({"keep": "first"}, "Training.keep must be one of last, best"),
    ],
)
def test_bad_settings_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ss.SpikesimError, match=message):
        Training(**options)  # type: ignore[arg-type]


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(ss.SpikesimError, match=r"fit\.validation must be given with patience or keep = best"):
        fit(model(), BATCHES, CrossEntropy(), Training(patience=2), seeds=ss.Seeds(0))
    with pytest.raises(ss.SpikesimError, match=r"fit\.model must be a model with parameters that learn"):
        fit(nn.Flatten(), BATCHES, CrossEntropy(), Training(), seeds=ss.Seeds(0))


def test_momentum_is_what_was_asked_for() -> None:
    common = {"epochs": 2, "optimiser": "sgd", "learning_rate": 0.02}
    plain, heavy = (
        fit(model(), BATCHES, CrossEntropy(), Training(**common, momentum=m), seeds=ss.Seeds(0)) for m in (0.0, 0.9)
    )  # type: ignore[arg-type]
    assert plain[-1].loss != heavy[-1].loss
