"""Identities of schedules, and which steps spacings keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spikesim.diffusion import CosineBetas, LinearBetas, Schedule, even_log_snr, leading, quadratic, uniform
from spikesim.errors import ParameterError

SCHEDULES = {"linear": LinearBetas().schedule(), "cosine": CosineBetas(200).schedule()}
each = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)


@each
def test_alpha_bar_is_the_product(schedule: Schedule) -> None:
    np.testing.assert_allclose(schedule.alphas_bar, np.cumprod(1 - schedule.betas), rtol=1e-11)
    np.testing.assert_allclose(schedule.noise_variances, 1 - np.cumprod(1 - schedule.betas), rtol=1e-9)
    np.testing.assert_allclose(schedule.snr, np.exp(2 * schedule.log_snr), rtol=1e-12)
    assert (np.diff(schedule.snr) < 0).all()


@each
def test_single_steps_compose(schedule: Schedule) -> None:
    """Mean and variance carried through q(x_k | x_(k-1)), one step at a time, are those of q(x_k | x_0)."""
    scale, variance = 1.0, 0.0
    one, none = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for step, beta in enumerate(schedule.betas):
        scale, variance = scale * np.sqrt(1 - beta), variance * (1 - beta) + beta
        assert float(schedule.noised(one, step, none)) == pytest.approx(scale, rel=1e-10)
        assert float(schedule.noised(none, step, one)) ** 2 == pytest.approx(variance, rel=1e-10)
    assert float(schedule.noised(one, -1, one)) == 1


@each
def test_the_posterior_is_bayes_rule(schedule: Schedule) -> None:
    """Of N(x_(k-1); sqrt(abar') x_0, 1 - abar') and N(x_k; sqrt(1 - beta) x_(k-1), beta), by precisions."""
    x0, x = torch.tensor(0.7, dtype=torch.float64), torch.tensor(-1.3, dtype=torch.float64)
    for step in range(1, schedule.steps, 7):
        beta, before = schedule.betas[step], schedule.before[step]
        precision = 1 / (1 - before) + (1 - beta) / beta
        mean = (np.sqrt(before) * 0.7 / (1 - before) + np.sqrt(1 - beta) * -1.3 / beta) / precision
        assert schedule.posterior_variances[step] == pytest.approx(1 / precision, rel=1e-8)
        assert float(schedule.posterior_mean(x0, x, step)) == pytest.approx(mean, rel=1e-8)
    assert schedule.posterior_variances[0] == 0
    assert float(schedule.posterior_mean(x0, x, 0)) == pytest.approx(0.7)


def test_published_ends() -> None:
    assert SCHEDULES["linear"].betas[[0, -1]].tolist() == [1e-4, 0.02]
    assert SCHEDULES["linear"].alphas_bar[-1] == pytest.approx(4.04e-5, rel=1e-2)
    assert SCHEDULES["cosine"].betas.max() == 0.999
    f = np.cos((np.arange(201) / 200 + 0.008) / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(SCHEDULES["cosine"].alphas_bar[:-1], f[1:-1] / f[0], rtol=1e-10)


@each
@pytest.mark.parametrize("spacing", [uniform, leading, quadratic, even_log_snr])
@pytest.mark.parametrize("steps", [1, 2, 10, 50, 199, 200])
def test_fewer_steps_are_among_all(schedule: Schedule, spacing, steps: int) -> None:  # type: ignore[no-untyped-def]
    few = schedule.fewer(steps, spacing)
    assert few.steps == steps and (np.diff(few.times) > 0).all() and few.times[-1] < schedule.steps
    np.testing.assert_allclose(few.alphas_bar, schedule.alphas_bar[few.times], rtol=1e-8)
    if spacing is not leading:
        assert few.times[-1] == schedule.steps - 1
    np.testing.assert_array_equal(few.fewer(steps).times, few.times)


def test_spacings() -> None:
    full = SCHEDULES["linear"]
    assert full.fewer(10).times.tolist() == [99, 199, 299, 399, 499, 599, 699, 799, 899, 999]
    assert full.fewer(4, leading).times.tolist() == [0, 250, 500, 750]
    assert full.fewer(4, quadratic).times.tolist() == [62, 250, 562, 999]
    gaps = np.diff(full.fewer(8, even_log_snr).log_snr)
    assert gaps.max() / gaps.min() < 1.1
    assert full.fewer(100).fewer(10).times.tolist() == full.fewer(10).times.tolist()


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: Schedule(np.array([0.1, 1.0])), "Schedule.betas must be"),
        (lambda: Schedule(np.array([])), "Schedule.betas must be"),
        (lambda: Schedule(np.array([0.1, 0.1]), np.array([3, 3])), "Schedule.times must be"),
        (lambda: LinearBetas(0), "LinearBetas.steps must be a whole number at least 1"),
        (lambda: LinearBetas(10, 0.1, 0.01), "LinearBetas.last must be a number at least 0.1"),
        (lambda: CosineBetas(largest=1.0), "CosineBetas.largest must be"),
        (lambda: SCHEDULES["linear"].fewer(1001), "Schedule.steps must be a whole number at least 1 and at most 1000"),
        (lambda: SCHEDULES["linear"].fewer(0), "Schedule.steps must be"),
    ],
)
def test_refusals(make, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ParameterError, match=says):
        make()


def test_each_picture_may_have_a_step_of_its_own() -> None:
    schedule, drawn = LinearBetas(100).schedule(), torch.Generator().manual_seed(0)
    x0, noise = (torch.randn(3, 1, 4, 4, generator=drawn) for _ in range(2))
    steps = torch.tensor([0, 57, 99])
    found = schedule.noised(x0, steps, noise)
    for row, step in enumerate(steps.tolist()):
        torch.testing.assert_close(found[row], schedule.noised(x0[row], step, noise[row]))
