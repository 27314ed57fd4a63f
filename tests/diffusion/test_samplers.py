"""Samplers on denoisers in closed form: what they converge to, how fast, and that a picture does not depend on its batch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import spikesim as ss
from spikesim.diffusion import (
    GaussianMixture,
    Guided,
    LinearBetas,
    Noise,
    Schedule,
    analytic_dpm,
    analytic_reverse,
    ddim,
    ddim_reverse,
    ddpm,
    ddpm_reverse,
    dpm_solver2,
    image_to_image,
    inpaint,
    mean_squared_noise,
    predicted_x0,
    quadratic,
    sampled,
    score,
)
from spikesim.errors import ParameterError, ShapeError

FULL = LinearBetas().schedule()
FINE = LinearBetas(100_000, 1e-6, 2e-4).schedule()
SHAPE = (1, 1, 2)


def doubles(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def mixture(schedule: Schedule = FULL) -> GaussianMixture:
    means = doubles([[-1.5, 0.5], [1.0, 1.0], [0.5, -1.5]]).view(3, *SHAPE)
    covariances = doubles([[[0.2, 0.1], [0.1, 0.1]], [[0.05, 0.0], [0.0, 0.2]], [[0.1, -0.05], [-0.05, 0.1]]])
    return GaussianMixture(means, covariances, doubles([0.5, 0.3, 0.2]), schedule)


def gaussian(schedule: Schedule, mean: float = 0.6, variance: float = 0.25) -> GaussianMixture:
    return GaussianMixture(torch.full((1, *SHAPE), mean), variance * torch.eye(2)[None], torch.ones(1), schedule)


def noise(count: int, seed: int = 0, dtype: torch.dtype = torch.float64, first: int = 0) -> Noise:
    return Noise(ss.Seeds(seed), range(first, first + count), SHAPE, dtype)


def statistics(mix: GaussianMixture, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, covariance and shares of the nearest component (by Mahalanobis distance and its weight)."""
    flat = x.double().flatten(1)
    away = flat[:, None] - mix.means.flatten(1)
    distance = torch.einsum("bjd,jde,bje->bj", away, torch.linalg.inv(mix.covariances), away)
    logs = mix.weights.log() - 0.5 * (distance + torch.logdet(mix.covariances))
    shares = torch.bincount(logs.argmax(1), minlength=len(mix.weights)) / len(flat)
    return flat.mean(0), torch.cov(flat.T), shares


def squared(mix: GaussianMixture, schedule: Schedule) -> np.ndarray:
    return mean_squared_noise(mix, schedule, mix.draw(3000, ss.Seeds(8))[0], seeds=ss.Seeds(7), batch=3000)


def test_the_mixtures_noise_is_its_score() -> None:
    """Against automatic differentiation of the log density of torch.distributions."""
    mix, x = mixture(), torch.randn(7, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for time in (0, 300, 999):
        kept = float(FULL.alphas_bar[time])
        components = torch.distributions.MultivariateNormal(
            kept**0.5 * mix.means.flatten(1), kept * mix.covariances + (1 - kept) * torch.eye(2, dtype=torch.float64)
        )
        density = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(mix.weights), components)
        flat = x.flatten(1).requires_grad_()
        (gradient,) = torch.autograd.grad(density.log_prob(flat).sum(), flat)
        told = mix(x, torch.full((7,), time))
        torch.testing.assert_close(score(told, kept), gradient.view_as(x), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    "sample",
    [
        lambda mix, n: ddim(mix, FULL.fewer(100, quadratic), n),
        lambda mix, n: ddim(mix, FULL.fewer(150), n, eta=0.7),
        lambda mix, n: ddpm(mix, FULL.fewer(150), n, large=False),
        lambda mix, n: analytic_dpm(mix, FULL.fewer(50, quadratic), n, squared(mix, FULL.fewer(50, quadratic))),
        lambda mix, n: dpm_solver2(mix, FULL, n, 25),
    ],
    ids=["ddim", "ddim-eta", "ddpm", "analytic-dpm", "dpm-solver-2"],
)
def test_samplers_reproduce_a_mixture(sample) -> None:  # type: ignore[no-untyped-def]
    mix = mixture()
    data, labels = mix.draw(200_000, ss.Seeds(9))
    mean, covariance, shares = statistics(mix, sample(mix, noise(20_000, dtype=torch.float32)))
    flat = data.flatten(1)
    assert torch.bincount(torch.as_tensor(labels)) / 2e5 == pytest.approx(mix.weights, abs=0.005)
    assert mean == pytest.approx(flat.mean(0), abs=0.03)
    assert covariance.flatten() == pytest.approx(torch.cov(flat.T).flatten(), abs=0.04)
    assert shares == pytest.approx(statistics(mix, data)[2], abs=0.015)


def errors(sample, counts: list[int]) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Root mean square distance to the ODE's solution m + S (x - sqrt(abar) m) / sqrt(abar S^2 + 1 - abar) for a Gaussian."""
    told, given = gaussian(FINE), noise(64)
    kept = float(FINE.alphas_bar[-1])
    exact = 0.6 + 0.5 * (given.initial() - kept**0.5 * 0.6) / (kept * 0.25 + 1 - kept) ** 0.5
    return np.array([float((sample(told, given, n) - exact).square().mean().sqrt()) for n in counts])


@pytest.mark.parametrize(
    "sample, order",
    [(lambda d, z, n: ddim(d, FINE.fewer(n), z), 1), (lambda d, z, n: dpm_solver2(d, FINE, z, n), 2)],
    ids=["ddim", "dpm-solver-2"],
)
def test_orders_of_convergence(sample, order: int) -> None:  # type: ignore[no-untyped-def]
    counts = [10, 20, 40, 80, 160]
    found = errors(sample, counts)
    slope = np.polyfit(np.log(counts), np.log(found), 1)[0]
    assert slope == pytest.approx(-order, abs=0.15), found


def test_dpm_solver_is_of_second_order_wherever_its_middle_points_are() -> None:
    """On a schedule all of whose steps are used, its log SNR from 2 to -2 in gaps of 1 to 9: at its first step, no picture yet."""
    found = []
    for steps in (20, 40, 80, 160):
        gaps = np.tile([0.1, 0.9], steps) * 4 / steps
        kept = 1 / (1 + np.exp(-2 * (2 - np.concatenate([[0], np.cumsum(gaps)]))))
        schedule, seen = Schedule(1 - kept / np.concatenate([[1], kept[:-1]])), []
        dpm_solver2(gaussian(schedule), schedule, noise(64), steps, watch=lambda step, x, seen=seen: seen.append(x))
        low, high = kept[[-1, 0]]
        spread = ((high * 0.25 + 1 - high) / (low * 0.25 + 1 - low)) ** 0.5
        exact = high**0.5 * 0.6 + spread * (seen[0] - low**0.5 * 0.6)
        found.append(float((seen[-1] - exact).square().mean().sqrt()))
    assert np.diff(np.log2(found)) == pytest.approx(-2, abs=0.15), found


def test_the_analytic_variance_is_exact_for_a_gaussian() -> None:
    """v' - alpha v'^2 / v: the variance of x_(k-1) given x_k, v and v' the variances of either."""
    schedule, variance = FULL.fewer(20), 0.25
    after = variance * schedule.alphas_bar + schedule.noise_variances
    before = variance * schedule.before + schedule.variances_before
    exact = before - (1 - schedule.betas) * before**2 / after
    told = gaussian(FULL, variance=variance)
    for eta in (0.0, 0.5, 1.0):
        reverse = analytic_reverse(schedule, schedule.noise_variances / after, eta=eta)
        if eta == 1:
            np.testing.assert_allclose(reverse.drawn[1:], exact[1:], rtol=1e-9)
        assert (reverse.drawn >= reverse.left_out).all()
    data, _ = told.draw(4000, ss.Seeds(3))
    found = mean_squared_noise(told, schedule, data, seeds=ss.Seeds(4), batch=1500)
    np.testing.assert_allclose(found, schedule.noise_variances / after, rtol=0.06)
    again = mean_squared_noise(told, schedule, data, seeds=ss.Seeds(4), batch=4000)
    np.testing.assert_allclose(found, again, rtol=1e-12)
    made = analytic_dpm(told, schedule, noise(20_000), schedule.noise_variances / after)
    assert float(made.mean()) == pytest.approx(0.6, abs=0.01)
    left = (
        variance * variance * schedule.alphas_bar[0] / after[0]
    )  # the last step draws nothing: a posterior mean's variance
    assert left < 0.23 and float(made.var()) == pytest.approx(left, rel=0.03)


def test_the_bound_of_the_datas_range_is_met_by_two_points() -> None:
    """Pictures of -1 or 1, of which x = 0 says nothing: the variance is v and that of the posterior mean over both."""
    schedule = FULL.fewer(20)
    bounded, free = (analytic_reverse(schedule, np.zeros(20), data_range=r).drawn for r in ((-1, 1), None))
    assert (bounded <= free).all() and (bounded < free).sum() > 10
    moved = float(schedule.posterior_mean(doubles(1.0), doubles(0.0), 19))
    assert bounded[19] == pytest.approx(schedule.posterior_variances[19] + moved**2, rel=1e-9)


def test_the_optimal_variance_is_between_ddpms_two() -> None:
    schedule = FULL.fewer(20)
    after = 0.25 * schedule.alphas_bar + schedule.noise_variances
    found = analytic_reverse(schedule, schedule.noise_variances / after).drawn[1:]
    assert (ddpm_reverse(schedule, large=False).drawn[1:] < found).all()
    assert (found < ddpm_reverse(schedule).drawn[1:]).all()


def test_the_step_of_ddpm_is_the_posteriors() -> None:
    x0, x = torch.rand(2, *SHAPE, dtype=torch.float64), torch.rand(2, *SHAPE, dtype=torch.float64)
    reverse = ddpm_reverse(FULL)
    for step in (0, 1, 500, 999):
        torch.testing.assert_close(reverse.mean(x, x0, step), FULL.posterior_mean(x0, x, step), rtol=1e-9, atol=1e-9)


def elementwise(x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
    """No sum over anything, so that a batch cannot round differently."""
    return x * (0.2 + 0.7 * t.view(-1, 1, 1, 1) / 1000)


FEW = FULL.fewer(10)
SHOWN = torch.linspace(-1, 1, 12 * 18).view(12, 2, 3, 3)
KNOWN = torch.zeros(1, 1, 3, 3, dtype=torch.bool)
KNOWN[..., 0] = True
BATCHED = {
    "ddpm": lambda n: ddpm(elementwise, FEW, n, clip=(-1, 1)),
    "ddim": lambda n: ddim(elementwise, FEW, n, eta=0.5),
    "analytic": lambda n: analytic_dpm(elementwise, FEW, n, np.full(10, 0.5)),
    "solver": lambda n: dpm_solver2(elementwise, FULL, n, 5),
    "inpaint": lambda n: inpaint(elementwise, ddpm_reverse(FEW), n, SHOWN[list(n.images)], KNOWN, repeats=2),
    "image_to_image": lambda n: image_to_image(elementwise, ddpm_reverse(FEW), n, SHOWN[list(n.images)], 0.5),
}


@pytest.mark.parametrize("name", BATCHED)
def test_a_picture_is_the_same_in_any_batch(name: str) -> None:
    def made(images: range | list[int], seed: int = 0) -> Tensor:
        return BATCHED[name](Noise(ss.Seeds(seed), images, (2, 3, 3)))  # type: ignore[no-any-return]

    whole = made(range(12))
    assert whole.isfinite().all() and whole.dtype == torch.float32
    assert torch.equal(whole, torch.cat([made(range(5)), made(range(5, 12))]))
    assert torch.equal(whole[[7, 2]], made([7, 2]))
    assert not torch.equal(whole, made(range(12), 1))
    assert len({tuple(picture.flatten().tolist()) for picture in whole}) == 12


def test_noise_is_normal_and_apart() -> None:
    one = Noise(ss.Seeds(1), range(2000), (3, 5, 7))
    drawn = [one.initial(), one.step(3), one.step(4), one.step(3, 1), one.known(3), one.again(3)]
    for x in drawn:
        assert abs(float(x.mean())) < 0.01 and float(x.std()) == pytest.approx(1, abs=0.01)
    correlations = torch.corrcoef(torch.stack([x.flatten() for x in drawn])) - torch.eye(len(drawn))
    assert correlations.abs().max() < 0.012
    assert torch.corrcoef(drawn[0].flatten(1).T).fill_diagonal_(0).abs().max() < 0.12
    far = Noise(ss.Seeds(1), [5, 5 + 2**32], (1, 2, 2)).initial()
    assert not torch.equal(far[0], far[1])


def test_given_pixels_stay_and_the_rest_follows_them() -> None:
    """Of two correlated pixels one is given: the other's mean, rho times it, is met the closer the more repeats."""
    rho, given = 0.9, 1.5
    told = GaussianMixture(torch.zeros(1, *SHAPE), doubles([[[1, rho], [rho, 1]]]), torch.ones(1), FULL)
    image = torch.full((4000, *SHAPE), given, dtype=torch.float64)
    known = torch.tensor([True, False]).view(1, *SHAPE)
    reverse, apart = ddpm_reverse(FULL.fewer(50), large=False), []
    for repeats in (1, 8):
        made = inpaint(told, reverse, noise(4000), image, known, repeats=repeats)
        assert (made[..., 0] == given).all()
        apart.append(abs(float(made[..., 1].mean()) - rho * given))
    assert apart[1] < 0.1 < apart[0] < rho * given, apart


def test_a_strength_keeps_that_much() -> None:
    """A Gaussian's pictures by the ODE: what they are from a middle step is the noised picture's own way down."""
    told, reverse = gaussian(FULL), ddim_reverse(FULL.fewer(100))
    image = torch.full((2000, *SHAPE), 1.4, dtype=torch.float64)
    away = [
        float((image_to_image(told, reverse, noise(2000), image, s) - image).square().mean().sqrt())
        for s in (0.1, 0.4, 1.0)
    ]
    assert away[0] < 0.35 < away[1] < away[2]
    assert away[2] == pytest.approx(math.hypot(0.8, 0.5), abs=0.05)


def test_guidance() -> None:
    mix, few = mixture(), FULL.fewer(25)
    t, x = torch.full((6,), 400), torch.randn(6, *SHAPE, generator=torch.Generator().manual_seed(1))
    one, none = torch.ones(6, dtype=torch.int64), torch.tensor(-1)
    torch.testing.assert_close(Guided(mix, 0, none)(x, t, one), mix(x, t))
    torch.testing.assert_close(Guided(mix, 1, none)(x, t, one), mix(x, t, one))
    twice = 2 * mix(x, t, one) - mix(x, t)
    torch.testing.assert_close(Guided(mix, 2, none)(x, t, one), twice)
    labels = torch.ones(2000, dtype=torch.int64)
    plain, guided = (ddim(Guided(mix, s, none), few, noise(2000), condition=labels) for s in (1.0, 3.0))
    assert plain.flatten(1).mean(0) == pytest.approx(mix.means[1].flatten(), abs=0.05)
    assert guided.flatten(1).var(0).sum() < plain.flatten(1).var(0).sum()


def test_watching() -> None:
    seen: dict[str, list[int]] = {}
    last: dict[str, Tensor] = {}

    def watch(name: str):  # type: ignore[no-untyped-def]
        def look(step: int, x: Tensor) -> None:
            seen.setdefault(name, []).append(step)
            last[name] = x

        return look

    made = ddim(elementwise, FEW, noise(2), watch=watch("ddim"))
    dpm_solver2(elementwise, FULL, noise(2), 5, watch=watch("solver"))
    image_to_image(elementwise, ddim_reverse(FEW), noise(2), torch.zeros(2, *SHAPE), 0.35, watch=watch("middle"))
    assert seen == {"ddim": list(range(11)), "solver": list(range(6)), "middle": list(range(5))}
    assert torch.equal(last["ddim"], made)


def test_clipping_holds_the_predicted_picture() -> None:
    x = torch.full((1, *SHAPE), 2.0)
    assert float(predicted_x0(x, x, 0.25)[0, 0, 0, 0]) == pytest.approx((2 - 0.75**0.5 * 2) / 0.5)
    far = gaussian(FULL, mean=3.0)
    assert ddim(far, FEW, noise(50), clip=(-1, 1)).max() <= 1
    assert ddim(far, FEW, noise(50)).min() > 1


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: dpm_solver2(elementwise, FEW, noise(1), 5), "dpm_solver2.steps must be a whole number at least 1 and at most 4"),
        (lambda: ddim(elementwise, FEW, noise(1), eta=1.5), "ddim.eta must be"),
        (lambda: analytic_dpm(elementwise, FEW, noise(1), np.ones(9)), "analytic_dpm.squared must be"),
        (lambda: image_to_image(elementwise, ddpm_reverse(FEW), noise(1), SHOWN[:1], 0.5), "image_to_image.image must be"),
        (lambda: image_to_image(elementwise, ddpm_reverse(FEW), noise(1), SHOWN[:1], 0), "image_to_image.strength must be"),
        (lambda: inpaint(elementwise, ddpm_reverse(FEW), noise(1), SHOWN[:1], KNOWN), "inpaint.image must be"),
        (lambda: inpaint(elementwise, ddpm_reverse(FEW), noise(1), torch.ones(1, *SHAPE), KNOWN * 1), "inpaint.known must be"),
        (lambda: sampled(elementwise, ddpm_reverse(FEW), noise(1), start=(torch.zeros(1, *SHAPE), 11)), "sampled.start must be"),
        (lambda: Noise(ss.Seeds(0), [], SHAPE), "Noise.images must be"),
        (lambda: Noise(ss.Seeds(0), [0], (2, 2)), "Noise.shape must be"),
        (lambda: ddim(lambda x, t, condition=None: x[:, :, :, :1], FEW, noise(1)), "denoiser.output must be"),
        (lambda: ddim(Guided(elementwise, 1, torch.zeros(())), FEW, noise(1)), "Guided.condition must be given"),
        (lambda: Guided(elementwise, -1, torch.zeros(())), "Guided.scale must be"),
        (lambda: GaussianMixture(torch.zeros(1, 1, 1, 2), torch.eye(3)[None], torch.ones(1), FULL), "GaussianMixture must be"),
    ],
)  # fmt: skip
def test_refusals(make, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises((ParameterError, ShapeError), match=says):
        make()
