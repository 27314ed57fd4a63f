"""IIR-SNN: thresholds as the paper finds them, stages that lose little, the network others take, resume, refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import spikesim as ss
from spikesim import hardware
from spikesim.architectures import architecture
from spikesim.neurons import LIF, NormalisedLIF
from spikesim.training import CrossEntropy, MembraneCrossEntropy, TensorBatches, Training, accuracy_on, fit
from spikesim.training.single_timestep import Schedule, Stage, initialise_thresholds, plain, retrain, spiking_twin
from spikesim.training.state import Epoch

IMAGES, LABELS = (torch.tensor(part) for part in load_digits(return_X_y=True))
IMAGES = (IMAGES / 8 - 1).float().reshape(-1, 1, 8, 8)
TRAIN, HELD = TensorBatches(IMAGES[:1200], LABELS[:1200]), TensorBatches(IMAGES[1200:], LABELS[1200:])


def small(name: str = "vgg5", **options: object) -> nn.Module:
    torch.manual_seed(0)
    settings = {"width": 0.25, "hidden": 200, **options}
    return architecture(name, (1, 8, 8), 10, **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def ann() -> nn.Module:
    model = small(batch_norm=True)
    fit(model, TRAIN, CrossEntropy(), Training(epochs=6, learning_rate=5e-3), seeds=ss.Seeds(0))
    return model


@pytest.mark.parametrize("name", ["vgg5", "vgg9", "vgg11", "vgg16", "resnet20"])
def test_architectures_have_the_layers_of_their_names(name: str) -> None:
    torch.manual_seed(0)
    model = architecture(name, (3, 32, 32), 10, width=0.05, hidden=40)
    weighted = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    layers = [m for m in weighted if not (isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1))]
    assert len(layers) == int(name.removeprefix("vgg").removeprefix("resnet"))
    assert all(m.bias is None for m in weighted) and not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 10)
    twin = spiking_twin(model, torch.rand(40, 3, 32, 32), dropout=0.2)
    x = torch.rand(40, 3, 32, 32)
    found = initialise_thresholds(twin, x[:8], steps=3)
    assert len(found) == sum(isinstance(m, NormalisedLIF) for m in twin.modules()) and min(found.values()) > 0
    assert ss.run(plain(twin), x, steps=2).readout.shape == (40, 10)


def test_vgg16_is_as_large_as_the_papers() -> None:
    with torch.device("meta"):
        model = architecture("vgg16", (3, 32, 32), 10)
    shapes = [tuple(m.weight.shape[:2]) for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert shapes[0] == (64, 3) and shapes[12] == (512, 512)
    assert [s[0] for s in shapes[-3:]] == [4096, 4096, 10]


def test_thresholds_are_the_percentile_of_what_reaches_them_through_the_spiking_network(ann: nn.Module) -> None:
    twin, x = spiking_twin(ann, IMAGES[:100]), IMAGES[:50]
    found = initialise_thresholds(twin, x, steps=7, percentile=90)
    thresholds = {n: float(m.threshold.detach()) for n, m in twin.nodes.items() if isinstance(m, NormalisedLIF)}
    assert thresholds == pytest.approx(found)
    previous, (first, second, *_) = IMAGES[:50], found
    drives = {}
    for name in (first, second):
        source = next(e.source for e in twin.edges if e.target == name)
        recorded = ss.run(twin, x, steps=7, record=[source]).recording[source].flatten(1)
        drives[name] = recorded
        k = 1 + round(0.9 * (recorded.shape[1] - 1))
        assert found[name] == pytest.approx(float(recorded.sort(1).values[:, k - 1].max()), rel=1e-5)
    assert not torch.equal(drives[first], drives[second]) and previous is not None


def test_a_stage_loses_little_and_ends_plain(ann: nn.Module, tmp_path: Path) -> None:
    schedule = Schedule(
        Training(epochs=3, learning_rate=2e-3, optimiser="amsgrad", weight_decay=0), (3, 2, 1), steps=20
    )
    told: list[tuple[int, Epoch]] = []
    stages = list(
        retrain(
            ann, TRAIN, schedule, IMAGES[:1200], seeds=ss.Seeds(0), folder=tmp_path,
            watch=lambda steps, epoch: told.append((steps, epoch)),
        )
    )  # fmt: skip
    reference = accuracy_on(ann, CrossEntropy(), HELD)
    scores = {}
    for stage in stages:
        scores[stage.steps] = accuracy_on(stage.network, MembraneCrossEntropy(steps=stage.steps), HELD)
        assert all(type(m) is not NormalisedLIF and not isinstance(m, nn.Dropout) for m in stage.network.nodes.values())
        assert len(stage.history) == 3 and stage.history[-1].spikes is not None
    assert reference > 0.9 and scores[3] > reference - 0.05 and scores[1] > reference - 0.08, (reference, scores)
    assert [steps for steps, _ in told] == [3, 3, 3, 2, 2, 2, 1, 1, 1]
    last = stages[-1].network
    leaks = [float(m.leak) for m in stages[0].network.nodes.values() if isinstance(m, LIF)]
    assert all(0 <= leak <= 1 for leak in leaks) and any(leak < 1 for leak in leaks)
    again = ss.load(ss.save(last, tmp_path / "net"))
    assert torch.equal(ss.run(again, IMAGES[:20], steps=1).readout, ss.run(last, IMAGES[:20], steps=1).readout)
    chip = hardware.deploy(last, hardware.load_macro("ideal"), seeds=ss.Seeds(0), calibration=IMAGES[None, :100])
    on_chip = ss.run(chip, IMAGES[:100], steps=1).readout.argmax(1)
    assert float((on_chip == ss.run(last, IMAGES[:100], steps=1).readout.argmax(1)).float().mean()) > 0.97


def test_a_stopped_schedule_goes_on_in_the_middle_of_a_stage(ann: nn.Module, tmp_path: Path) -> None:
    schedule = Schedule(Training(epochs=2, learning_rate=1e-3), (2, 1), steps=5, epochs=(1, 3))

    def all_of(folder: Path | None, stop: tuple[int, int] | None = None) -> list[Stage]:
        def watch(steps: int, epoch: Epoch) -> None:
            if (steps, epoch.number) == stop:
                raise KeyboardInterrupt

        part = TensorBatches(IMAGES[:200], LABELS[:200])
        return list(retrain(ann, part, schedule, IMAGES[:200], seeds=ss.Seeds(0), folder=folder, watch=watch))

    whole = all_of(None)
    assert [len(stage.history) for stage in whole] == [1, 3], "each stage has epochs of its own"
    for stop in ((2, 1), (1, 1)):
        with pytest.raises(KeyboardInterrupt):
            all_of(tmp_path, stop)
    resumed = all_of(tmp_path)
    for a, b in zip(whole, resumed):
        assert a.history == b.history
        for x, y in zip(a.network.state_dict().values(), b.network.state_dict().values()):
            assert torch.equal(x, y)


def test_what_cannot_be_retrained_is_refused() -> None:
    for stages in ((), (1, 2), (3, 0), (2.0, 1)):
        with pytest.raises(ss.SpikesimError, match=r"Schedule\.stages must be falling numbers of steps"):
            Schedule(Training(), stages)  # type: ignore[arg-type]
    for epochs in ((1,), (1, 0), (1, 2.0), 2):
        with pytest.raises(ss.SpikesimError, match=r"Schedule\.epochs must be 2 numbers of epochs, one for each stage"):
            Schedule(Training(), (2, 1), epochs=epochs)  # type: ignore[arg-type]
    x = IMAGES[:40]
    with pytest.raises(ss.SpikesimError, match="ReLU without a ceiling"):
        spiking_twin(nn.Sequential(nn.Flatten(), nn.Linear(64, 9), nn.ReLU6(), nn.Linear(9, 3)), x)
    with pytest.raises(ss.SpikesimError, match="ann's output must be a linear layer"):
        spiking_twin(nn.Sequential(nn.Flatten(), nn.Linear(64, 9), nn.ReLU()), x)
    with pytest.raises(ss.SpikesimError, match="must be a network with ReLU activations"):
        spiking_twin(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), x)
    with pytest.raises(ss.SpikesimError, match=r"architecture\.name must be one of .*did you mean vgg1"):
        architecture("vgg10", (1, 8, 8), 10)
    with pytest.raises(ss.SpikesimError, match=r"architecture\.shape must be at least 16 pixels"):
        architecture("vgg16", (1, 8, 8), 10)
