"""Early exit: the same answers as a full run up to each sample's own end, and samples that are done cost nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim.datasets import load
from spikesim.datasets.base import ArrayDataset
from spikesim.early_exit import Confidence, chosen_confidence, evaluate_early, exits, run_until, running_readouts
from spikesim.errors import ParameterError
from spikesim.evaluation import evaluate


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, ArrayDataset, ArrayDataset]:
    """A small network that knows scikit-learn's digits well, its training images and test images."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = torch.tensor(digits.data / 16, dtype=torch.float32)
    data = ArrayDataset(x, digits.target.astype(np.int64), np.arange(len(x)), "digits")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ann = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        optimiser = torch.optim.Adam(ann.parameters(), 1e-2)
        for _ in range(60):
            loss = nn.functional.cross_entropy(ann(x[:1200]), torch.tensor(data.labels[:1200]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return ann.eval(), data.subset(range(1200)), data.subset(range(1200, 1797))


def test_every_sample_ends_with_the_readout_of_its_own_run(trained: tuple) -> None:  # type: ignore[type-arg]
    ann, learn, test = trained
    snn, _ = ss.convert(ann, calibration=learn.x)
    x = test.x[:40]
    found = run_until(snn, x, Confidence(0.999), steps=16)
    output = ss.run(snn, x, steps=16).output
    assert 1.2 < float(found.steps.float().mean()) < 16 and len(set(found.steps.tolist())) >= 2
    for i, t in enumerate(found.steps.tolist()):
        running = output[:, i].cumsum(0) / torch.arange(1, 17)[:, None]
        confident = running.softmax(-1).amax(-1) >= 0.999
        assert t == (int(confident.nonzero()[0, 0]) + 1 if confident.any() else 16)
        assert torch.allclose(found.readout[i], running[t - 1], atol=1e-5)


def test_the_whole_run_where_nothing_is_ever_confident_and_one_step_where_everything_is(trained: tuple) -> None:  # type: ignore[type-arg]
    ann, learn, test = trained
    snn, _ = ss.convert(ann, calibration=learn.x)
    full = ss.run(snn, test.x[:20], steps=8).readout
    late = run_until(snn, test.x[:20], Confidence(1.0, least=8), steps=8)
    early = run_until(snn, test.x[:20], Confidence(0.0), steps=8)
    assert torch.allclose(late.readout, full, atol=1e-5) and bool((early.steps == 1).all())
    assert bool((run_until(snn, test.x[:20], Confidence(0.0, least=3), steps=8).steps == 3).all())


def test_the_chosen_threshold_saves_steps_and_keeps_the_answers(trained: tuple) -> None:  # type: ignore[type-arg]
    ann, learn, test = trained
    snn, _ = ss.convert(ann, calibration=learn.x)
    confidence = chosen_confidence(snn, learn.subset(range(600)), steps=32)
    found, full = evaluate_early(snn, test, confidence, steps=32), evaluate(snn, test, steps=32)
    assert found.mean_steps < 24 and found.steps.max() <= 32
    assert (found.scores.argmax(1) != full.scores.argmax(1)).mean() <= 0.01
    assert abs(found.accuracy - full.accuracy) <= 0.01
    strict = chosen_confidence(snn, learn.subset(range(600)), steps=32, tolerance=0.0)
    assert strict.threshold >= confidence.threshold


def test_exits_of_a_whole_run_are_those_of_a_run_that_stops(trained: tuple) -> None:  # type: ignore[type-arg]
    ann, learn, test = trained
    snn, _ = ss.convert(ann, calibration=learn.x)
    some = test.subset(range(50))
    late = exits(running_readouts(snn, some, steps=12), Confidence(0.7, least=2))
    early = run_until(snn, some.x, Confidence(0.7, least=2), steps=12)
    assert torch.equal(late.steps, early.steps) and len(set(early.steps.tolist())) > 3 and int(early.steps.min()) == 2
    assert torch.allclose(late.readout, early.readout, atol=1e-5)


def test_the_unit_of_the_outputs_does_not_matter(trained: tuple) -> None:  # type: ignore[type-arg]
    ann, learn, test = trained
    loud = nn.Sequential(ann[0], ann[1], nn.Linear(32, 10)).eval()
    with torch.no_grad():
        loud[2].weight.copy_(1000 * ann[2].weight)
        loud[2].bias.copy_(1000 * ann[2].bias)
    found = []
    for network in (ann, loud):
        snn, _ = ss.convert(network, calibration=learn.x)
        confidence = chosen_confidence(snn, learn.subset(range(600)), steps=16)
        found.append((confidence, evaluate_early(snn, test.subset(range(99)), confidence, steps=16)))
    (first, quiet), (second, loudly) = found
    assert second.scale == pytest.approx(1000 * first.scale, rel=1e-3) and first.threshold < 1
    assert second.threshold == pytest.approx(first.threshold) and np.array_equal(quiet.steps, loudly.steps)


def test_recordings_end_early_too() -> None:
    data = load("digits").subset(range(12))
    ann = nn.Sequential(nn.Flatten(), nn.Linear(2312, 16), nn.ReLU(), nn.Linear(16, 10)).eval()
    snn, _ = ss.convert(ann, calibration=data.frames()[0:12])
    full = evaluate(snn, data, steps=6)
    found = evaluate_early(snn, data, Confidence(1.0, least=6), steps=6, batch=5)
    assert np.allclose(found.scores, full.scores, atol=1e-4) and (found.steps == 6).all()


def test_networks_that_must_see_everything_first_are_refused(trained: tuple) -> None:  # type: ignore[type-arg]
    ann, learn, test = trained
    snn, _ = ss.convert(ann, calibration=learn.x, recipe="cos", steps=8)
    with pytest.raises(ParameterError, match=r"run_until\.network must be one that can be cut in time"):
        run_until(snn, test.x[:4], Confidence(0.9), steps=8)
    with pytest.raises(ParameterError, match=r"Confidence\.threshold"):
        Confidence(1.5)
