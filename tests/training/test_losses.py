"""Losses against their formulas, and what a run says of spikes and of numbers that are not finite."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

import spikesim as ss
from spikesim.datasets import load
from spikesim.training import (
    CrossEntropy,
    MembraneCrossEntropy,
    RasterBatches,
    RateCrossEntropy,
    ReadoutCrossEntropy,
    Regularised,
    Step,
    TensorBatches,
    Tet,
    Training,
    fit,
    spikes_per_neuron,
)
from spikesim.training.losses import Loss

X, LABELS = torch.rand(5, 3, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0, 1])


def network(spiking: bool = False) -> ss.Network:
    torch.manual_seed(0)
    last = [ss.LIF(0.9)] if spiking else []
    return ss.Network.chain(nn.Linear(8, 12), ss.LIF(0.8, 0.3), nn.Linear(12, 3), *last)


def outputs(net: ss.Network, x: torch.Tensor) -> torch.Tensor:
    return ss.run(net, x).output


def test_losses_are_their_formulas() -> None:
    net, x, ce = network(), X.transpose(0, 1), functional.cross_entropy
    o = outputs(net, x).detach()
    cases: list[tuple[Loss, torch.Tensor]] = [
        (ReadoutCrossEntropy(), ce(o.mean(0), LABELS)),
        (MembraneCrossEntropy(smoothing=0.1), ce(o.sum(0), LABELS, label_smoothing=0.1)),
        (RateCrossEntropy(gain=4), ce(4 * o.mean(0), LABELS)),
        (Tet(share=0.2), 0.8 * torch.stack([ce(step, LABELS) for step in o]).mean() + 0.2 * (o - 1).square().mean()),
    ]
    for loss, wanted in cases:
        value, scores = loss(net, X, LABELS)
        torch.testing.assert_close(value, wanted)
        assert scores.shape == (5, 3) and value.requires_grad
    spikes = ss.run(net, x, record=["1"]).recording["1"]
    value, _ = Regularised(ReadoutCrossEntropy(), rate=0.7, weight=3)(net, X, LABELS)
    torch.testing.assert_close(value, cases[0][1] + 3 * (spikes.mean() - 0.7) ** 2)


def test_a_frame_is_shown_at_every_step() -> None:
    net, loss = network(), ReadoutCrossEntropy(steps=4)
    value, _ = loss(net, X[:, 0], LABELS)
    o = outputs(net, X[:, 0].expand(4, 5, 8))
    torch.testing.assert_close(value, functional.cross_entropy(o.mean(0), LABELS))
    assert spikes_per_neuron(net, loss, X[:, 0]) == pytest.approx(
        float(ss.run(net, X[:, 0], steps=4, record=["1"]).recording["1"].detach().sum() / 5 / 12)
    )


def test_regularising_moves_rates() -> None:
    x, labels = load_digits(return_X_y=True)
    data = TensorBatches(torch.tensor(x[:300] / 16, dtype=torch.float32), torch.tensor(labels[:300]))
    found = []
    for rate in (0.02, 0.6):
        torch.manual_seed(0)
        net = ss.Network.chain(nn.Linear(64, 40), ss.LIF(0.8), nn.Linear(40, 10))
        loss = Regularised(ReadoutCrossEntropy(steps=4), rate=rate, weight=500)
        history = fit(net, data, loss, Training(epochs=8, learning_rate=3e-2), seeds=ss.Seeds(0))
        found.append(history[-1].spikes or 0.0)
        assert history[-1].loss < history[0].loss
    assert found[0] < 0.6 < 1.2 < found[1]


def test_recordings_are_learned_from_rasters() -> None:
    data = load("digits").part("train").subset(range(0, 1200, 10))
    torch.manual_seed(0)
    net = ss.Network.chain(
        nn.Conv2d(2, 6, 5, stride=3), ss.LIF(0.7, 0.5), nn.Flatten(), nn.Linear(600, 10), input_shape=(2, 34, 34)
    )
    steps: list[Step] = []
    batches = RasterBatches(data, 4, 30, largest=3)
    history = fit(
        net, batches, ReadoutCrossEntropy(), Training(epochs=6), seeds=ss.Seeds(0), watch_steps=steps.append
    )  # fmt: skip
    assert history[-1].accuracy > 0.6 > history[0].accuracy and history[-1].spikes is not None
    assert len(steps) == 6 * len(batches) and steps[-1].done == steps[-1].of == 4
    assert steps[-1].accuracy == history[-1].accuracy
    for batch in batches.epoch(ss.Seeds(0)):
        assert batch.x.shape == (30, 4, 2, 34, 34) and batch.x.max() == 3
        assert {int(i) for i in batch.ids} <= {int(i) for i in data.sample_ids}


def test_a_layer_that_overflows_is_named() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(24, 4), nn.Linear(4, 3))
    with torch.no_grad():
        net[1].weight.fill_(1e38)
    with pytest.raises(ss.SpikesimError, match=r"finite in epoch 1, step 1 \(first in layer 1\), got (nan|inf)"):
        fit(net, TensorBatches(X + 1, LABELS), CrossEntropy(), Training(), seeds=ss.Seeds(0))
    with torch.no_grad():
        net[2].bias.fill_(torch.nan)
    with pytest.raises(ss.SpikesimError, match=r"first in parameter 2.bias"):
        fit(net, TensorBatches(X + 1, LABELS), CrossEntropy(), Training(), seeds=ss.Seeds(0))


def test_batches_without_recordings_are_refused() -> None:
    with pytest.raises(ss.SpikesimError, match=r"RasterBatches\.data must be recordings, at least one"):
        RasterBatches(load("digits").subset([]), 4)
