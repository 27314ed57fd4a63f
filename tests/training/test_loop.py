"""The training loop: learns, resumes to the same bits, keeps its thread count, refuses what it must."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import spikesim as ss
from spikesim.training import CrossEntropy, LoaderBatches, ReadoutCrossEntropy, TensorBatches, Training, fit
from spikesim.training.augment import RandomAffine


def problem() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    return torch.rand(60, 1, 8, 8, generator=draw) + labels.view(-1, 1, 1, 1) * 0.4, labels


def model() -> nn.Module:
    torch.manual_seed(1)
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(144, 3)]
    return nn.Sequential(*layers)


def batches() -> TensorBatches:
    return TensorBatches(*problem(), batch_size=16, augment=RandomAffine())


class Stopped(Exception):
    """The power goes."""


@pytest.mark.parametrize("schedule", ["one-cycle", "constant"])
@pytest.mark.parametrize("stop_after", [1, 3])
def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path, schedule: str, stop_after: int) -> None:
    training, seeds = Training(epochs=4, schedule=schedule, clip=1.0), ss.Seeds(5)
    whole, resumed = model(), model()
    history = fit(whole, batches(), CrossEntropy(0.1), training, seeds=seeds)

    def stop(epoch: object) -> None:
        if epoch.number == stop_after:  # type: ignore[attr-defined]
            raise Stopped

    path = tmp_path / "run.safetensors"
    with pytest.raises(Stopped):
        fit(resumed, batches(), CrossEntropy(0.1), training, seeds=seeds, checkpoint=path, watch=stop)
    fresh = model()
    again = fit(fresh, batches(), CrossEntropy(0.1), training, seeds=seeds, checkpoint=path)
    assert again == history and history[-1].loss < history[0].loss
    for a, b in zip(whole.state_dict().values(), fresh.state_dict().values()):
        assert torch.equal(a, b)


def test_the_thread_count_belongs_to_the_run() -> None:
    before = torch.get_num_threads()
    seen = []
    fit(
        model(), batches(), CrossEntropy(), Training(epochs=1, threads=1), seeds=ss.Seeds(0),
        watch=lambda e: seen.append(torch.get_num_threads()),
    )  # fmt: skip
    assert seen == [1] and torch.get_num_threads() == before


def test_a_spiking_network_learns_from_a_loader() -> None:
    x, labels = problem()
    torch.manual_seed(0)
    network = ss.Network.chain(nn.Flatten(), nn.Linear(64, 16), ss.LIF(0.8), nn.Linear(16, 3))
    loader = DataLoader([(image.expand(6, 1, 8, 8), int(label)) for image, label in zip(x, labels)], 20, shuffle=True)
    training = Training(epochs=25, learning_rate=2e-2)
    history = fit(network, LoaderBatches(loader), ReadoutCrossEntropy(), training, seeds=ss.Seeds(0))
    assert history[-1].accuracy > 0.85 > history[0].accuracy


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"

    def poison(x: Tensor, generator: torch.Generator) -> Tensor:
        return x * (float("nan") if path.exists() else 1.0)

    data = TensorBatches(*problem(), batch_size=30, augment=poison)
    with pytest.raises(
        ss.SpikesimError, match=r"loss must be finite in epoch 2, step 1 \(first in the input\), got nan"
    ):
        fit(model(), data, CrossEntropy(), Training(epochs=3), seeds=ss.Seeds(0), checkpoint=path)
    assert path.exists()


def test_a_checkpoint_of_another_training_or_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    fit(model(), batches(), CrossEntropy(), Training(epochs=1), seeds=ss.Seeds(0), checkpoint=path)
    with pytest.raises(ss.SpikesimError, match="must be a checkpoint of this training"):
        fit(model(), batches(), CrossEntropy(), Training(epochs=2), seeds=ss.Seeds(0), checkpoint=path)
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    with pytest.raises(ss.SpikesimError, match="must be a checkpoint of this model"):
        fit(other, batches(), CrossEntropy(), Training(epochs=1), seeds=ss.Seeds(0), checkpoint=path)
    path.write_bytes(b"half")
    with pytest.raises(ss.SpikesimError, match="must be a readable checkpoint"):
        fit(model(), batches(), CrossEntropy(), Training(epochs=1), seeds=ss.Seeds(0), checkpoint=path)


def test_settings_are_read_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("[training]\nepochs = 3\nlearning_rate = 0.1\n")
    assert Training.from_toml(path) == Training(epochs=3, learning_rate=0.1)
    path.write_text("[training]\nepoch = 3\n")
    with pytest.raises(ss.SpikesimError, match="did you mean epochs"):
        Training.from_toml(path)
    for wrong in ({"epochs": 0}, {"learning_rate": -1.0}, {"schedule": "cosin"}, {"threads": 0}):
        with pytest.raises(ss.SpikesimError, match=f"Training.{next(iter(wrong))} must be"):
            Training(**wrong)  # type: ignore[arg-type]
