"""replace_activations: what is replaced and where it starts; fine-tuning; conversion with the trained thresholds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import spikesim as ss
from spikesim.conversion import FastSnn, Qcfs, layer_synchronous, replace_activations
from spikesim.errors import ConversionError, ParameterError
from spikesim.layers import QuantisedReLU
from spikesim.training import CrossEntropy, TensorBatches, Training, fit


class Shared(nn.Module):
    """One in-place ReLU for two places, a functional one, a method, a ReLU6, a sum in place and a pool."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.conv3 = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.relu, self.six = nn.ReLU(inplace=True), nn.ReLU6()
        self.pool, self.fc1, self.fc2 = nn.MaxPool2d(2), nn.Linear(64, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        y = self.conv2(x)
        self.relu(y)  # y itself is changed
        y += x
        z = self.pool(functional.relu(self.conv3(y)))
        return self.fc2(self.six(self.fc1(z.flatten(1)).relu()))


def shared() -> nn.Module:
    torch.manual_seed(0)
    model = Shared()
    model.bn1.running_mean, model.bn1.running_var = torch.randn(4) * 0.1, torch.rand(4) + 0.5
    return model.eval()


def problem() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(96) % 3
    return torch.rand(96, 2, 8, 8, generator=draw) + labels.view(-1, 1, 1, 1) * 0.3, labels


def quantised(model: nn.Module) -> list[QuantisedReLU]:
    return [m for m in model.modules() if isinstance(m, QuantisedReLU)]


def test_every_relu_gets_its_own_and_the_model_stays_as_it_was() -> None:
    ann, (x, _) = shared(), problem()
    before = {k: v.clone() for k, v in ann.state_dict().items()}
    copy = replace_activations(ann, Qcfs(4), calibration=x)
    assert [tuple(q.threshold.shape) for q in quantised(copy)] == [(4, 1, 1)] * 3 + [(8,)] * 2
    assert not any(isinstance(m, (nn.ReLU, nn.ReLU6)) for m in copy.modules())
    assert all(torch.equal(v, before[k]) and torch.equal(v, copy.state_dict()[k]) for k, v in ann.state_dict().items())


def test_many_levels_are_the_network_itself() -> None:
    """Also where a ReLU in place changes what is read later."""
    ann, (x, _) = shared(), problem()
    wanted, off = ann(x.clone()).detach(), []
    for levels in (4, 64, 1024):
        got = replace_activations(ann, Qcfs(levels), calibration=x)(x).detach()
        off.append(float((got - wanted).norm() / wanted.norm()))
    assert off[0] > 4 * off[1] > 16 * off[2] and off[2] < 2e-3


@pytest.mark.parametrize("quantisation", [Qcfs(8), Qcfs(8, per_channel=False), FastSnn(3)])
def test_conversion_keeps_the_trained_thresholds(quantisation: Qcfs | FastSnn) -> None:
    """In the closed form the converted network is the quantised one, exactly, for T = levels."""
    x, _ = problem()
    copy = replace_activations(shared(), quantisation, calibration=x)
    with torch.no_grad():
        for q in quantised(copy):
            q.threshold *= 0.8  # as training might
    steps = quantisation.levels
    for recipe in ("signed", "binary", "max"):
        network, report = ss.convert(copy, calibration=x, steps=None if recipe == "binary" else steps, recipe=recipe)
        got = ss.run(layer_synchronous(network, steps), x, steps=1).readout
        torch.testing.assert_close(got, copy(x), rtol=1e-3, atol=1e-4)
        found = [layer.threshold[1] for layer in report.layers]
        assert found == pytest.approx([float(q.threshold.detach().median()) for q in quantised(copy)], rel=1e-5)
        assert all(layer.clipping >= 0 for layer in report.layers)


def test_fine_tuning_lowers_the_loss_and_moves_the_thresholds() -> None:
    x, labels = problem()
    copy = replace_activations(shared(), Qcfs(4), calibration=x)
    start = [q.threshold.detach().clone() for q in quantised(copy)]
    batches = TensorBatches(x, labels, batch_size=32)
    history = fit(copy, batches, CrossEntropy(), Training(epochs=20, learning_rate=2e-2), seeds=ss.Seeds(0))
    assert history[-1].loss < 0.7 * history[0].loss
    assert all(not torch.equal(a, q.threshold) for a, q in zip(start, quantised(copy)))
    network, _ = ss.convert(copy, calibration=x, steps=4, recipe="signed")
    assert len(ss.run(network, x, steps=4).readout) == len(x)


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x) if x.sum() > 0 else x


def test_refusals() -> None:
    x, _ = problem()
    with pytest.raises(ConversionError, match="traceable by torch"):
        replace_activations(Branching(), calibration=x)
    with pytest.raises(ConversionError, match="ReLU activations"):
        replace_activations(nn.Sequential(nn.Flatten(), nn.Linear(128, 3), nn.GELU()), calibration=x)
    with pytest.raises(ParameterError, match="levels"):
        Qcfs(0)
