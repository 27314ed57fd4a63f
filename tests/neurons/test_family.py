"""The family beyond the plain equation: brute force, kernels against references, laws, gradients, refusals."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import spikesim as ss
from spikesim.neurons import Neuron, NormalisedLIF, _general, by_kernel, by_steps, synapse
from spikesim.neurons.general import Variant

FAMILY: dict[str, Callable[[], Neuron]] = {
    "refractory, held": lambda: ss.LIF(0.9, 0.7, refractory=3),
    "refractory, input ignored": lambda: ss.LIF(0.9, 0.7, refractory=2, hold=False),
    "many spikes": lambda: ss.LIF(0.9, 0.3, max_spikes=4),
    "many spikes, to zero": lambda: ss.LIF(0.9, 0.3, max_spikes=4, reset=ss.ToValue(0.0)),
    "floor": lambda: ss.IF(0.8, floor=-0.1, bias=-0.05),
    "adaptive": lambda: ss.AdaptiveLIF(0.9, 0.5, rho=0.9, strength=1.2),
    "adaptive, refractory": lambda: ss.AdaptiveLIF(0.9, 0.5, refractory=2),
    "analog": lambda: ss.LIAF(0.9, 0.6),
    "leaky analog": lambda: ss.LIAF(0.9, 0.6, f=0.2),
    "analog where it spikes": lambda: ss.LIAF(0.9, 0.6, f="spike"),
    "synapse": lambda: ss.CuBaLIF(0.7, 0.9, 0.8),
    "synapse, all decays": lambda: ss.CuBaLIF(0.7, 0.9, 0.8, decays="all"),
    "synapse, later": lambda: ss.CuBaLIF(0.7, 0.9, 0.8, decays="later"),
    "synapse, blend": lambda: ss.CuBaLIF(0.7, 0.9, 0.2, decays="blend", weight=1.5),
    "synapse, refractory": lambda: ss.CuBaLIF(0.7, 0.9, 0.8, refractory=2, max_spikes=2),
    "parametric": lambda: ss.ParametricLIF(3.0, 0.4),
    "parametric, one per neuron": lambda: ss.ParametricLIF(torch.linspace(1.5, 9, 24), 0.4, decay_input=False),
    "normalised": lambda: NormalisedLIF(0.9, 0.4),
    "normalised, one per neuron": lambda: NormalisedLIF(0.9, torch.linspace(0.2, 0.9, 24), bias=0.01, strict=False),
    "integrator": lambda: ss.Integrator(),
    "leaky integrator": lambda: ss.Integrator(torch.linspace(0.5, 1, 24)),
    "about a rest": lambda: ss.LIF.bindsnet(thresh=0.8, rest=0.1, reset=0.05, refrac=2, tc_decay=12.0),
    "divided": lambda: ss.LIF.spikingjelly(4.0, 0.3, -0.1),
    "residual": lambda: ss.LIF.snntorch(0.9, reset_delay=False),
}
EACH = pytest.mark.parametrize("make", FAMILY.values(), ids=FAMILY)


def drive(steps: int = 40, batch: int = 3, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(steps, batch, 24, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 0.5 + 0.25


@EACH
def test_kernel_equals_steps_and_a_run_may_be_cut_anywhere(make: Callable[[], Neuron]) -> None:
    neuron, x = make(), drive()
    before = x.clone()
    with torch.no_grad():
        whole, last = neuron(x, None, by_kernel)
        plain, plain_last = neuron(x, None, by_steps)
        first, state = neuron(x[:17], None, by_kernel)
        second, cut_last = neuron(x[17:], state, by_kernel)
        alone, _ = neuron(x[:, 1:2].contiguous(), None, by_kernel)
    assert whole.any() and torch.equal(whole, plain) and torch.equal(torch.cat([first, second]), whole)
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(last, plain_last, cut_last))
    assert torch.equal(alone, whole[:, 1:2]) and torch.equal(x, before)


@EACH
def test_autocast_leaves_membranes_in_float32(make: Callable[[], Neuron]) -> None:
    neuron, x = make(), drive().bfloat16()
    with torch.no_grad():
        with pytest.raises(ss.errors.ShapeError, match="float32 or float64, got"):
            neuron(x)
        wanted, last = neuron(x.float())
        with torch.autocast("cpu", torch.bfloat16):
            out, state = neuron(x)
    assert out.dtype == state.v.dtype == torch.float32 and torch.equal(out, wanted)
    assert all(torch.equal(a, b) for a, b in zip(state, last))


@EACH
def test_saved_and_loaded_it_is_the_same(make: Callable[[], Neuron], tmp_path: Path) -> None:
    network = ss.Network.chain(make())
    again = ss.load(ss.save(network, tmp_path / "net"))
    assert type(again.node("0")) is type(network.node("0"))
    with torch.no_grad():
        assert torch.equal(network(drive())[0], again(drive())[0])


@EACH
def test_silence_stays_silent(make: Callable[[], Neuron]) -> None:
    neuron = make()
    with torch.no_grad():
        out, _ = neuron(torch.zeros(20, 2, 24))
    assert not out.any()


@EACH
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_gradients_equal_autograd(make: Callable[[], Neuron], dtype: torch.dtype, tolerance: float) -> None:
    neuron = make().to(dtype)
    found = []
    for unroll in (by_kernel, by_steps):
        x = drive(60, dtype=dtype).requires_grad_()
        out, state = neuron(x, None, unroll)
        weights = torch.linspace(-1, 1, out.numel(), dtype=dtype).view_as(out)
        wanted = [x, *neuron.parameters()]
        found.append(torch.autograd.grad((out * weights).sum() + state.v.square().sum(), wanted))
    for fast, plain in zip(*found):
        assert float(plain.abs().max()) > 0
        assert float((fast - plain).abs().max() / plain.abs().max()) < tolerance


@pytest.mark.parametrize("decays", ["old", "all", "later", "blend"])
def test_learned_coefficients_have_gradients(decays: str) -> None:
    neuron = ss.CuBaLIF(0.7, 0.9, 0.8, decays=decays, learn=("alpha", "leak", "threshold", "gain", "bias")).double()
    grads = []
    for unroll in (by_kernel, by_steps):
        out, _ = neuron(drive(dtype=torch.float64), None, unroll)
        weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view_as(out)
        grads.append(torch.autograd.grad((out * weights).sum(), list(neuron.parameters())))
    assert len(grads[0]) == 5
    for fast, plain in zip(*grads):
        assert float(plain.abs()) > 0 and float((fast - plain).abs() / plain.abs()) < 1e-10


RULES = [
    _general.Rule(charge, reset, when, strict, multi, refractory, adaptive, clip, emit)
    for charge, reset, when in itertools.product(range(6), range(4), range(4))
    for strict, multi, refractory, adaptive, clip, emit in (
        (False, False, 0, False, 0, 0), (True, False, 1, True, 1, 1), (False, True, 2, False, 2, 2),
        (False, False, 2, True, 0, 1),
    )
    if when == _general.NOW or not (multi or refractory or adaptive or clip or reset == _general.REPLACED_AND_RAISED)
]  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda r: "-".join(str(int(n)) for n in r))
def test_general_kernel_equals_its_reference(rule: _general.Rule) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(0.4, 0.8, (9, 2, 33)).astype(np.float32)
    table = rng.uniform(0.5, 1.5, (7, 33)).astype(np.float32)
    numbers = _general.Numbers(*np.float32([0.9, 0.1, 1.3, 2, -0.2, 3, 0.2, 0.5, 0.7, 0, 1]))
    shape, runs = (2, 33), []
    for run in (_general.general_kernel, _general.general_reference):
        state = [np.full(shape, 0.1, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.float32)]
        out = np.empty_like(x)
        run(x, *state, table, numbers, rule, out)
        runs.append([out, *state])
    assert runs[0][0].any()
    for fast, slow in zip(*runs):
        np.testing.assert_array_equal(fast, slow)


@pytest.mark.parametrize("code", range(4))
def test_synapse_kernels_equal_their_references(code: int) -> None:
    rng = np.random.default_rng(2)
    x, first, leak = rng.normal(size=(9, 2, 33)), rng.normal(size=(2, 33)), rng.uniform(0.3, 1, 33)
    outs, backs = [], []
    for run in (synapse.synapse_kernel, synapse.synapse_reference):
        i, out = first.copy(), np.empty_like(x)
        run(code, x, i, leak, out)
        outs.append((out, i))
    grads, carry = rng.normal(size=x.shape), rng.normal(size=first.shape)
    for run in (synapse.synapse_back_kernel, synapse.synapse_back_reference):
        flow, drive_grads, total = carry.copy(), np.empty_like(x), np.zeros_like(first)
        run(code, grads, x, outs[0][0], first, flow, leak, drive_grads, total)
        backs.append((flow, drive_grads, total))
    for fast, slow in (*zip(*outs), *zip(*backs)):
        np.testing.assert_array_equal(fast, slow)


def test_adaptive_equals_brute_force() -> None:
    x = drive(50, 1)
    spikes, _ = ss.AdaptiveLIF(0.9, 0.5, rho=0.8, strength=2.0)(x)
    kind = np.float32
    for n in range(24):
        v = a = kind(0)
        for t in range(50):
            level = kind(0.5) + kind(2.0) * a
            v = kind(0.9) * v + kind(x[t, 0, n])
            s = kind(v >= level)
            v, a = v - s * level, kind(0.8) * a + kind(1 - 0.8) * s
            assert s == spikes[t, 0, n]


@pytest.mark.parametrize("hold", [True, False])
def test_refractory_neuron_is_silent_for_its_steps(hold: bool) -> None:
    spikes, state = ss.LIF(0.5, 1.0, refractory=3, hold=hold, reset=ss.ToValue(0.25))(torch.full((9, 1, 1), 5.0))
    assert spikes.ravel().tolist() == [1, 0, 0, 0, 1, 0, 0, 0, 1]
    _, after = ss.LIF(0.5, 1.0, refractory=3, hold=hold, reset=ss.ToValue(0.25))(torch.full((2, 1, 1), 5.0))
    assert float(after.v) == (0.25 if hold else 0.125) and float(state.k) == 3


def test_a_recurrent_edge_gives_any_neuron_feedback() -> None:
    net = ss.Network(
        {"in": torch.nn.Linear(5, 24), "back": torch.nn.Linear(24, 24, bias=False), "n": ss.CuBaLIF(0.6, 0.9)},
        [ss.Edge("input", "in"), ss.Edge("in", "n"), ss.Edge("n", "back", 2), ss.Edge("back", "n")], output="n",
    )  # fmt: skip
    x = torch.rand(12, 2, 5, generator=torch.Generator().manual_seed(0)) * 2
    with torch.no_grad():
        whole, _, _ = net(x)
        first, state, _ = net(x[:5])
        second, _, _ = net(x[5:], state)
        wanted, synaptic, past = [], net.node("n").initial_state((2, 24), x), []
        for t in range(12):
            drive_t = net.node("in")(x[t]) + (net.node("back")(past[t - 2]) if t >= 2 else 0)
            s, synaptic = net.node("n")(drive_t[None], synaptic, by_steps)
            past.append(s[0])
            wanted.append(s)
    assert whole.any() and torch.equal(torch.cat([first, second]), whole)
    assert torch.equal(torch.cat(wanted), whole)


REFUSED = {
    "LIF.refractory must be a whole number at least 0 steps, got -1": lambda: ss.LIF(refractory=-1),
    "LIF.max_spikes must be a whole number at least 1": lambda: ss.LIF(max_spikes=0),
    "LIF.strict must be False": lambda: ss.LIF(max_spikes=2, strict=True),
    "LIF.refractory must be left out where the reset acts": lambda: ss.LIF(reset=ss.BySubtraction(True), refractory=1),
    "LIF.floor must be a number": lambda: ss.LIF(floor=float("nan")),
    "LIF.tau must be a number above 1 steps, got -5": lambda: ss.LIF.spikingjelly(-5.0),
    "LIF.tau must be a number at least 0.001 s": lambda: ss.LIF.nir(tau=-0.1),
    "LIF.tau_mem must be a number above 0": lambda: ss.LIF.sinabs(-1.0),
    "LIF.threshold must be a number above -65": lambda: ss.LIF.bindsnet(thresh=-70.0),
    "CuBaLIF.alpha must be a number at least 0 and at most 1": lambda: ss.CuBaLIF(1.5),
    "CuBaLIF.decays must be one of old, all, later, blend": lambda: ss.CuBaLIF(decays="new"),
    "Adaptation.keep must be a number at least 0 and at most 1": lambda: ss.AdaptiveLIF(rho=1.5),
    "LIAF.f must be relu, spike or a number": lambda: ss.LIAF(f="tanh"),
    "ParametricLIF.tau must be a number above 1": lambda: ss.ParametricLIF(0.5),
    "Integrator.leak must be a number at least 0 and at most 1": lambda: ss.Integrator(-0.1),
}


@pytest.mark.parametrize("message", sorted(REFUSED))
def test_refusals(message: str) -> None:
    with pytest.raises(ss.SpikesimError) as caught:
        REFUSED[message]()
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_plain_neurons_stay_on_the_plain_kernels() -> None:
    assert ss.LIF().plain and ss.IF(floor=None).plain and ss.ParametricLIF().plain
    assert not any(n.plain for n in (ss.LIF(refractory=1), ss.CuBaLIF(), ss.LIAF(), ss.AdaptiveLIF()))
    assert Variant().is_plain
