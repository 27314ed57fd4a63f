"""Neurons: the equation against brute force, gradients against autograd, conventions against their frameworks."""

from __future__ import annotations

import math

import naive
import numpy as np
import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim.neurons import Neuron, State, by_kernel, by_steps
from spikesim.surrogate import Surrogate

SURROGATES = [
    ss.ATan(),
    ss.Rectangular(),
    ss.Triangular(),
    ss.FastSigmoid(),
    ss.Gaussian(),
    ss.SuperSpike(),
    ss.StraightThrough(),
]


def test_lif_equals_brute_force() -> None:
    x = np.random.default_rng(0).normal(0.3, 0.5, (40, 2, 6)).astype(np.float32)
    spikes, state = ss.LIF(0.8, 0.9, initial=0.4)(torch.from_numpy(x))
    wanted, last = naive.lif(x, 0.8, 0.9, 0.4)
    assert np.array_equal(spikes.numpy(), wanted) and np.array_equal(state.v.numpy(), last)


def test_leak_is_exponential() -> None:
    _, state = ss.LIF.from_tau("20 ms", "1 ms", threshold=10.0)(torch.zeros(7, 1, 1), State(torch.ones(1, 1)))
    assert float(state.v) == pytest.approx(math.exp(-7 / 20), rel=1e-6)


def test_integrate_and_fire_rounds_a_constant_drive() -> None:
    drive = torch.linspace(0, 1, 33)
    spikes, _ = ss.IF(1.0, initial=0.5)(drive.expand(16, 1, 33).contiguous())
    assert torch.equal(spikes.sum(0)[0], torch.floor(drive * 16 + 0.5).clamp(0, 16))


def test_a_neuron_that_did_not_fire_is_untouched_by_reset() -> None:
    x = torch.tensor([[[0.5, 1.5]]])
    for reset in (ss.BySubtraction(), ss.ToValue(0.25), ss.NoReset()):
        _, state = ss.IF(1.0, reset=reset)(x)
        assert float(state.v[0, 0]) == 0.5
    _, state = ss.IF(1.0, reset=ss.ToValue(0.25))(x)
    assert float(state.v[0, 1]) == 0.25


@pytest.mark.parametrize("strict", [False, True])
def test_at_the_threshold(strict: bool) -> None:
    spikes, _ = ss.IF(1.0, strict=strict)(torch.ones(1, 1, 1))
    assert bool(spikes) is not strict


def gradients(neuron: Neuron, x: torch.Tensor, unroll: object) -> list[torch.Tensor]:
    drive, v = x.clone().requires_grad_(), torch.full_like(x[0], 0.3).requires_grad_()
    spikes, state = neuron(drive, State(v), unroll)
    weights = torch.linspace(-1, 1, spikes.numel(), dtype=x.dtype).view_as(spikes)
    parameters = list(neuron.parameters())
    return list(torch.autograd.grad((spikes * weights).sum() + state.v.square().sum(), [drive, v, *parameters]))


@pytest.mark.parametrize("surrogate", SURROGATES, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("reset", [ss.BySubtraction(), ss.ToValue(0.1), ss.BySubtraction(True), ss.ToValue(0.0, True)])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_gradients_equal_autograd(
    surrogate: Surrogate, detach: bool, reset: ss.BySubtraction, dtype: torch.dtype, tolerance: float
) -> None:
    draw = torch.Generator().manual_seed(2)
    x = torch.rand((60, 2, 5), generator=draw, dtype=dtype)
    options = {"reset": reset, "surrogate": surrogate, "detach_reset": detach, "learn": ("leak", "threshold")}
    neuron = ss.LIF(torch.linspace(0.5, 0.9, 5), torch.linspace(0.8, 1.2, 5), **options).to(dtype)
    for fused, plain in zip(gradients(neuron, x, by_kernel), gradients(neuron, x, by_steps)):
        assert float(plain.abs().max()) > 0
        assert float((fused - plain).abs().max() / plain.abs().max()) < tolerance


@pytest.mark.parametrize("surrogate", SURROGATES, ids=lambda s: type(s).__name__)
def test_surrogate_slope_is_its_formula(surrogate: Surrogate) -> None:
    u = torch.linspace(-1.5, 1.5, 31, dtype=torch.float64)
    formulas = {
        ss.ATan: lambda: 1 / (1 + (math.pi * u) ** 2),
        ss.Rectangular: lambda: (u.abs() < 0.5).double(),
        ss.Triangular: lambda: 0.3 * (1 - u.abs()).clamp(min=0),
        ss.FastSigmoid: lambda: 1 / (1 + 25 * u.abs()) ** 2,
        ss.SuperSpike: lambda: 1 / (1 + 100 * u.abs()) ** 2,
        ss.Gaussian: lambda: torch.exp(-(u**2) / 0.5) / (0.5 * math.sqrt(2 * math.pi)),
        ss.StraightThrough: lambda: torch.ones_like(u),
    }
    torch.testing.assert_close(surrogate.slope(u), formulas[type(surrogate)]())


@pytest.mark.parametrize("delay", [True, False])
@pytest.mark.parametrize("mechanism", ["subtract", "zero", "none"])
def test_snntorch_leaky_spike_for_spike(delay: bool, mechanism: str) -> None:
    snntorch = pytest.importorskip("snntorch")
    x = torch.rand(100, 4, 256, generator=torch.Generator().manual_seed(0)) * 0.6
    theirs = snntorch.Leaky(beta=0.9, threshold=1.0, reset_mechanism=mechanism, reset_delay=delay)
    membrane, spikes = theirs.init_leaky(), []
    for drive in x:
        spike, membrane = theirs(drive, membrane)
        spikes.append(spike)
    ours, _ = ss.LIF.snntorch(0.9, reset=mechanism, reset_delay=delay)(x)
    assert ours.numel() >= 10**5 and 0.01 < float(ours.mean()) < 1
    assert torch.equal(ours, torch.stack(spikes).detach())


def test_compile_runs_and_agrees() -> None:
    network = ss.Network.chain(nn.Linear(6, 5), ss.LIF(0.9), nn.Linear(5, 3))
    x = torch.rand(8, 2, 6, generator=torch.Generator().manual_seed(0))
    compiled = torch.compile(network, backend="aot_eager")
    (compiled(x)[0].sum()).backward()
    fused = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    network.zero_grad()
    (network(x, engine=ss.Reference())[0].sum()).backward()
    plain = [p.grad for p in network.parameters() if p.grad is not None]
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(fused, plain)) and len(fused) == 4


def test_signed_neuron_equals_brute_force_and_never_takes_back_what_it_did_not_give() -> None:
    x = np.random.default_rng(0).normal(0.05, 0.8, (60, 3, 7)).astype(np.float32)
    spikes, state = ss.SignedIF(0.9, initial=0.45)(torch.from_numpy(x))
    plain, _ = ss.SignedIF(0.9, initial=0.45)(torch.from_numpy(x), None, by_steps)
    wanted, last = naive.signed(x, 0.9, 0.45)
    assert np.array_equal(spikes.numpy(), wanted) and np.array_equal(state.v.numpy(), last)
    assert torch.equal(plain, spikes) and {-1.0, 0.0, 1.0} == set(spikes.unique().tolist())
    assert spikes.cumsum(0).min() >= 0 and torch.equal(state.m, spikes.sum(0))


def test_signed_total_is_the_rounded_sum_in_any_order() -> None:
    """The charge of 40 steps in a drawn order, then silence to settle: the total is that of the sum."""
    rng = np.random.default_rng(1)
    x = rng.integers(-3, 4, (40, 1, 50)).astype(np.float32) / 4
    x[:, 0, :25] += 0.25
    settled = np.concatenate([x, np.zeros((60, 1, 50), np.float32)])
    spikes, _ = ss.SignedIF(1.0, initial=0.5)(torch.from_numpy(settled))
    assert np.array_equal(spikes.sum(0).numpy(), np.maximum(np.floor(x.sum(0) + 0.5), 0))
    unsigned, _ = ss.IF(1.0, initial=0.5)(torch.from_numpy(settled))
    assert not np.array_equal(unsigned.sum(0).numpy(), np.maximum(np.floor(x.sum(0) + 0.5), 0))


REFUSED = {
    "LIF.threshold must be a number above 0": lambda: ss.LIF(0.9, -1.0),
    "LIF.leak must be a number at least 0 and at most 1": lambda: ss.LIF(1.5),
    "LIF.tau must be a number above 0 s": lambda: ss.LIF.from_tau("-20 ms", "1 ms"),
    "LIF.tau must be given in s": lambda: ss.LIF.from_tau("20 mV", "1 ms"),
    "LIF.reset must be one of subtract, zero, none": lambda: ss.LIF.snntorch(0.9, reset="soft"),
    "IF.learn must be a choice of leak, threshold": lambda: ss.IF(learn=("slope",)),
    "IF.x must be (T, B, *shape) in float32 or float64": lambda: ss.IF()(torch.zeros(3, dtype=torch.int64)),
    "IF.state must be (2, 4) as its drive": lambda: ss.IF()(torch.zeros(3, 2, 4), State(torch.zeros(1, 4))),
    "ATan.alpha must be a number above 0": lambda: ss.ATan(0.0),
}


@pytest.mark.parametrize("message", sorted(REFUSED))
def test_refusals(message: str) -> None:
    with pytest.raises(ss.SpikesimError) as caught:
        REFUSED[message]()
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
