"""Early exit: the same answers as a full run up to each sample's own end, and samples that are done cost nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim.datasets import load
from spikesim.datasets.base import ArrayDataset
from spikesim.early_exit import Lead, chosen_lead, evaluate_early, exits, run_until, running_readouts, upper_quantile
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


NEVER = float("inf")


def test_every_sample_ends_with_the_readout_of_its_own_run(trained: tuple) -> None:  # type: ignore[type-arg]
    ann, learn, test = trained
    snn, _ = ss.convert(ann, calibration=learn.x)
    x, rule = test.x[:40], Lead(tuple(20 / t for t in range(1, 17)))
    found = run_until(snn, x, rule, steps=16)
    output = ss.run(snn, x, steps=16).output
    assert 1.2 < float(found.steps.float().mean()) < 16 and len(set(found.steps.tolist())) >= 3
    for i, t in enumerate(found.steps.tolist()):
        running = output[:, i].cumsum(0) / torch.arange(1, 17)[:, None]
        first, second = running.sort(-1, descending=True).values[:, :2].T
        clear = first - second >= torch.tensor(rule.leads)
        assert t == (int(clear.nonzero()[0, 0]) + 1 if clear.any() else 16)
        assert torch.allclose(found.readout[i], running[t - 1], atol=1e-5)


def test_the_whole_run_where_nothing_is_ever_clear_and_one_step_where_everything_is(trained: tuple) -> None:  # type: ignore[type-arg]
    ann, learn, test = trained
    snn, _ = ss.convert(ann, calibration=learn.x)
    full = ss.run(snn, test.x[:20], steps=8).readout
    late = run_until(snn, test.x[:20], Lead((NEVER,) * 8), steps=8)
    early = run_until(snn, test.x[:20], Lead((0.0,) * 8), steps=8)
    assert torch.allclose(late.readout, full, atol=1e-5) and bool((late.steps == 8).all())
    assert bool((early.steps == 1).all())
    third = Lead((NEVER, NEVER, *(0.0,) * 6))
    assert bool((run_until(snn, test.x[:20], third, steps=8).steps == 3).all())


def test_the_chosen_leads_save_steps_and_keep_the_answers(trained: tuple) -> None:  # type: ignore[type-arg]
    ann, learn, test = trained
    snn, _ = ss.convert(ann, calibration=learn.x)
    rule = chosen_lead(snn, learn.subset(range(600)), steps=32)
    found, full = evaluate_early(snn, test, rule, steps=32), evaluate(snn, test, steps=32)
    assert found.mean_steps < 12 and found.steps.max() <= 32
    assert (found.scores.argmax(1) != full.scores.argmax(1)).mean() <= 0.004  # 2 of 597
    strict = chosen_lead(snn, learn.subset(range(600)), steps=32, tolerance=1e-4)
    fewer = chosen_lead(snn, learn.subset(range(100)), steps=32)
    assert strict.leads[0] > rule.leads[0] and fewer.leads[0] > rule.leads[0]
    assert rule.leads[0] > rule.leads[3] > rule.leads[15] > rule.leads[31] == 0


def test_too_few_inputs_choose_no_exit_at_all(trained: tuple) -> None:  # type: ignore[type-arg]
    ann, learn, test = trained
    snn, _ = ss.convert(ann, calibration=learn.x)
    rule = chosen_lead(snn, learn.subset(range(3)), steps=8)
    assert set(rule.leads[:-1]) == {NEVER}
    assert (evaluate_early(snn, test.subset(range(9)), rule, steps=8).steps == 8).all()


@pytest.mark.parametrize(("draw", "share"), [("exponential", 0.002), ("normal", 0.002), ("exponential", 0.05)])
@pytest.mark.parametrize("count", [100, 512, 2000])
def test_the_tolerated_share_is_exceeded_as_seldom_as_the_confidence_says(draw: str, share: float, count: int) -> None:
    """Values of known tails: 400 choices, of which 5 % may be too low, give or take three standard errors (1.1 %)."""
    from scipy.stats import expon, halfnorm

    beyond = {"exponential": expon, "normal": halfnorm}[draw].sf
    generator = np.random.default_rng(7)
    found = []
    for _ in range(400):
        values = getattr(generator, draw)(size=count) if draw == "exponential" else np.abs(generator.normal(size=count))
        found.append(beyond(upper_quantile(values, share, 0.95)))
    assert np.mean(np.array(found) > share) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert np.median(found) > share / (40 if count > 100 else 1000)  # a bound, not a refusal


def test_values_of_which_most_are_zero_and_too_few_values() -> None:
    zeros = np.zeros(2000)
    assert upper_quantile(zeros, 0.002, 0.95) == 0 and upper_quantile(zeros[:100], 0.002, 0.95) == NEVER
    zeros[7] = 3.0
    assert 0 < upper_quantile(zeros, 0.005, 0.95) <= 3.1 or upper_quantile(zeros, 0.005, 0.95) == 0
    assert upper_quantile(zeros, 0.0016, 0.95) == pytest.approx(3.0, rel=1e-3)


def test_exits_of_a_whole_run_are_those_of_a_run_that_stops(trained: tuple) -> None:  # type: ignore[type-arg]
    ann, learn, test = trained
    snn, _ = ss.convert(ann, calibration=learn.x)
    some, rule = test.subset(range(50)), Lead((NEVER, *(12 / t for t in range(2, 13))))
    late = exits(running_readouts(snn, some, steps=12), rule)
    early = run_until(snn, some.x, rule, steps=12)
    assert torch.equal(late.steps, early.steps) and len(set(early.steps.tolist())) > 3 and int(early.steps.min()) == 2
    assert torch.allclose(late.readout, early.readout, atol=1e-5)


def test_the_unit_of_the_outputs_does_not_matter(trained: tuple) -> None:  # type: ignore[type-arg]
    ann, learn, test = trained
    loud = nn.Sequential(ann[0], ann[1], nn.Linear(32, 10)).eval()
    with torch.no_grad():
        loud[2].weight.copy_(1024 * ann[2].weight)
        loud[2].bias.copy_(1024 * ann[2].bias)
    found = []
    for network in (ann, loud):
        snn, _ = ss.convert(network, calibration=learn.x)
        rule = chosen_lead(snn, learn.subset(range(600)), steps=16)
        found.append((rule, evaluate_early(snn, test.subset(range(99)), rule, steps=16)))
    (first, quiet), (second, loudly) = found
    assert np.allclose(second.leads, 1024 * np.array(first.leads), rtol=1e-4) and np.array_equal(
        quiet.steps, loudly.steps
    )


def test_recordings_end_early_too() -> None:
    data = load("digits").subset(range(12))
    ann = nn.Sequential(nn.Flatten(), nn.Linear(2312, 16), nn.ReLU(), nn.Linear(16, 10)).eval()
    snn, _ = ss.convert(ann, calibration=data.frames()[0:12])
    full = evaluate(snn, data, steps=6)
    found = evaluate_early(snn, data, Lead((NEVER,) * 6), steps=6, batch=5)
    assert np.allclose(found.scores, full.scores, atol=1e-4) and (found.steps == 6).all()


def test_networks_that_must_see_everything_first_are_refused(trained: tuple) -> None:  # type: ignore[type-arg]
    ann, learn, test = trained
    snn, _ = ss.convert(ann, calibration=learn.x, recipe="cos", steps=8)
    with pytest.raises(ParameterError, match=r"run_until\.network must be one that can be cut in time"):
        run_until(snn, test.x[:4], Lead((1.0,) * 8), steps=8)
    plain, _ = ss.convert(ann, calibration=learn.x)
    with pytest.raises(ParameterError, match=r"run_until\.rule must be for 8 steps, got 4"):
        run_until(plain, test.x[:4], Lead((1.0,) * 4), steps=8)
    with pytest.raises(ParameterError, match=r"Lead\.leads must be one number >= 0 per step"):
        Lead((1.0, float("nan")))
    with pytest.raises(ParameterError, match=r"chosen_lead\.tolerance"):
        chosen_lead(plain, learn, steps=8, tolerance=0.0)
    single, _ = ss.convert(nn.Sequential(ann[0], ann[1], nn.Linear(32, 1)).eval(), calibration=learn.x)
    with pytest.raises(ParameterError, match=r"chosen_lead\.network must be one with an output for each of two"):
        chosen_lead(single, learn.subset(range(8)), steps=4)
