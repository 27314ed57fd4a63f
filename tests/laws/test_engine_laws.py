"""Laws of running: three engines agree, a run may be cut anywhere, rows are independent, nothing is mutated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import spikesim as ss
from spikesim.layers import SumPool2d
from spikesim.network import INPUT
from spikesim.neurons import Neuron
from spikesim.stages.narrow import dequantised


def whole(network: ss.Network, seed: int = 0) -> ss.Network:
    """Small whole weights, whose sums are exact in any order, and no gradient."""
    draw = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.data = torch.randint(-3, 4, parameter.shape, generator=draw).float()
    return network.requires_grad_(False).eval()


def convolutional() -> ss.Network:
    return whole(
        ss.Network.chain(
            nn.Conv2d(2, 4, 5, stride=2, padding=1),
            ss.IF(torch.tensor([2.0, 3.0, 4.0, 5.0]).view(4, 1, 1), initial=1.0),
            nn.Conv2d(4, 6, 3, padding=1),
            ss.LIF(0.5, 4.0, reset=ss.ToValue(0.0)),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(6 * 9, 5),
            ss.LIF.snntorch(0.5, 6.0),
        )
    )


def recurrent() -> ss.Network:
    nodes = {"fc.in": nn.Linear(12, 8), "fc.back": nn.Linear(8, 8), "lif": ss.LIF(0.5, 3.0), "out": nn.Linear(8, 3)}
    edges = [
        ss.Edge(INPUT, "fc.in"), ss.Edge("fc.in", "lif"), ss.Edge("lif", "fc.back", 2), ss.Edge("fc.back", "lif"),
        ss.Edge("lif", "out"), ss.Edge("lif", "out", 3),
    ]  # fmt: skip
    return whole(ss.Network(nodes, edges, output="out"))


def grouped() -> ss.Network:
    return whole(
        ss.Network.chain(
            SumPool2d(2), nn.Conv2d(2, 8, 3, groups=2, dilation=2, padding=2), ss.LIF(0.5, 5.0, initial=1.0),
            nn.AvgPool2d(2), nn.Conv2d(8, 6, (2, 3), padding="same", bias=False), ss.LIF.snntorch(0.5, 3.0),
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(6 * 4, 5), ss.IF(torch.arange(4.0, 9.0)),
        )
    )  # fmt: skip


def reservoir() -> ss.Network:
    nodes = {
        "in": nn.Linear(12, 70),
        "back": nn.Linear(70, 70),
        "n": ss.LIF(0.5, 9.0),
        "out": nn.Linear(70, 3),
        "m": ss.IF(20.0),
    }
    edges = [
        ss.Edge(INPUT, "in"), ss.Edge("in", "n"), ss.Edge("n", "back", 2), ss.Edge("back", "n"), ss.Edge("n", "out"),
        ss.Edge("out", "m"),
    ]  # fmt: skip
    return whole(ss.Network(nodes, edges, output="m"))


def residual() -> ss.Network:
    """Branches, an add, batch norm and neurons that are not plain: node by node."""
    nodes = {
        "stem": nn.Conv2d(2, 4, 3, padding=1), "a": ss.LIF(0.5, 3.0, refractory=1), "conv": nn.Conv2d(4, 4, 3, padding=1),
        "norm": nn.BatchNorm2d(4), "b": ss.CuBaLIF(0.5, 0.5, 4.0), "pool": nn.AvgPool2d(2), "flat": nn.Flatten(),
        "fc": nn.Linear(4 * 12, 3), "c": ss.IF(12.0, max_spikes=3),
    }  # fmt: skip
    ways = [(INPUT, "stem"), ("stem", "a"), ("a", "conv"), ("conv", "norm"), ("norm", "b"), ("a", "b"), ("b", "pool"),
            ("pool", "flat"), ("flat", "fc"), ("fc", "c")]  # fmt: skip
    net = whole(ss.Network(nodes, [ss.Edge(*way) for way in ways], output="c"))
    norm = net.node("norm")
    norm.weight.data, norm.running_var, norm.eps = torch.full((4,), 2.0), torch.ones(4), 0.0  # type: ignore[union-attr]
    return net


def drawn(shape: tuple[int, ...], seed: int = 1, rate: float = 0.15) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=draw) < rate).float() * torch.randint(1, 3, shape, generator=draw)


NETWORKS = {
    "convolutional": (convolutional, (2, 15, 14)), "recurrent": (recurrent, (12,)), "grouped": (grouped, (2, 18, 17)),
    "reservoir": (reservoir, (12,)), "residual": (residual, (2, 8, 6)),
}  # fmt: skip
ENGINES = [
    ss.Reference(), ss.Fused(), ss.EventDriven(always=True), ss.EventDriven(), ss.Fused(budget_mb=0.001),
    ss.EventDriven(always=True, stages=False), ss.EventDriven(budget_mb=0.01),
]  # fmt: skip


@pytest.fixture(params=sorted(NETWORKS))
def case(request: pytest.FixtureRequest) -> tuple[ss.Network, torch.Tensor]:
    make, shape = NETWORKS[request.param]
    return make(), drawn((12, 3, *shape))


@pytest.mark.parametrize(
    "engine",
    ENGINES,
    ids=lambda e: f"{type(e).__name__}{e.budget_mb:g}{getattr(e, 'always', '')}{getattr(e, 'stages', '')}",
)
def test_engines_agree_spike_for_spike(case: tuple[ss.Network, torch.Tensor], engine: ss.Fused) -> None:
    network, x = case
    spiking = [name for name, node in network.nodes.items() if isinstance(node, Neuron)]
    wanted = ss.run(network, x, engine=ss.Reference(), record=spiking)
    got = ss.run(network, x, engine=engine, record=spiking)
    events = ss.run(
        network, ss.SparseRaster.from_dense(x), engine=engine, record=[f"{name}.events" for name in spiking]
    )
    assert torch.equal(events.output, wanted.output)
    assert all(torch.equal(events.recording[f"{n}.events"].dense(), wanted.recording[n]) for n in spiking)
    assert all(0 < wanted.recording[name].mean() < 1 for name in spiking)
    assert all(torch.equal(got.recording[name], wanted.recording[name]) for name in spiking)
    assert torch.equal(got.output, wanted.output)


@pytest.mark.parametrize("name", sorted(set(NETWORKS) - {"recurrent", "residual"}))
def test_chains_run_as_stages(name: str) -> None:
    make, shape = NETWORKS[name]
    network = make()
    ss.run(network, drawn((2, 1, *shape)))
    assert any(network._programs.values())


SIDES = st.integers(1, 3)


@settings(max_examples=25, deadline=None)
@given(
    kernel=st.tuples(SIDES, SIDES),
    stride=st.tuples(SIDES, SIDES),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    groups=st.sampled_from([1, 2, 4]),
    pool=st.integers(1, 2),
)
def test_any_convolution_agrees(kernel, stride, padding, dilation, groups, pool) -> None:  # type: ignore[no-untyped-def]
    conv = nn.Conv2d(4, 8, kernel, stride, padding, dilation, groups)
    network = whole(ss.Network.chain(conv, ss.LIF(0.5, 3.0), *[nn.MaxPool2d(pool)] * (pool > 1)))
    x = drawn((5, 2, 4, 9, 10))
    if min(conv(x[0]).shape[2:]) < pool:
        return
    wanted = ss.run(network, x, engine=ss.Reference()).output
    for engine in (ss.EventDriven(always=True), ss.EventDriven(always=True, stages=False)):
        assert torch.equal(ss.run(network, x, engine=engine).output, wanted)


@settings(max_examples=15, deadline=None)
@given(cut=st.integers(1, 11), name=st.sampled_from(sorted(NETWORKS)))
def test_a_run_cut_anywhere_equals_the_whole(cut: int, name: str) -> None:
    make, shape = NETWORKS[name]
    network, x = make(), drawn((12, 3, *shape))
    first = ss.run(network, x[:cut])
    second = ss.run(network, x[cut:], state=first.state)
    assert torch.equal(torch.cat([first.output, second.output]), ss.run(network, x).output)


def test_batch_rows_are_independent(case: tuple[ss.Network, torch.Tensor]) -> None:
    network, x = case
    together = ss.run(network, x).output
    assert torch.equal(torch.cat([ss.run(network, x[:, b : b + 1]).output for b in range(3)], 1), together)


def test_threads_change_nothing(case: tuple[ss.Network, torch.Tensor]) -> None:
    network, x = case
    before, outputs = torch.get_num_threads(), []
    for threads in (1, before):
        torch.set_num_threads(threads)
        outputs.append(ss.run(network, x, engine=ss.EventDriven(always=True)).output)
    torch.set_num_threads(before)
    assert torch.equal(*outputs)


def test_silence_stays_silent() -> None:
    network = ss.Network.chain(nn.Linear(5, 4, bias=False), ss.LIF(0.9), nn.Linear(4, 3, bias=False), ss.IF())
    assert not ss.run(network, torch.zeros(20, 2, 5)).output.any()


def test_inputs_and_states_are_never_mutated(case: tuple[ss.Network, torch.Tensor]) -> None:
    network, x = case
    kept = x.clone()
    first = ss.run(network, x[:4])
    states = {k: [t.clone() for t in v] for k, v in first.state.nodes.items() if v is not None}
    ss.run(network, x[4:], state=first.state)
    assert torch.equal(x, kept)
    for name, tensors in states.items():
        assert all(torch.equal(a, b) for a, b in zip(first.state.nodes[name], tensors))


def test_constant_drive_equals_the_repeated_input(case: tuple[ss.Network, torch.Tensor]) -> None:
    network, x = case
    shown = ss.run(network, x[0], steps=6).output
    assert torch.equal(shown, ss.run(network, x[:1].repeat(6, *[1] * (x.ndim - 1))).output)


def test_recorded_membrane_is_the_state(case: tuple[ss.Network, torch.Tensor]) -> None:
    network, x = case
    name = next(name for name, node in network.nodes.items() if isinstance(node, Neuron))
    run = ss.run(network, x, record=[f"{name}.v"])
    assert run.recording[f"{name}.v"].shape[:2] == x.shape[:2]
    assert torch.equal(run.recording[f"{name}.v"][-1], run.state.nodes[name].v)
    assert torch.equal(run.output, ss.run(network, x).output)


def test_strided_inputs_give_the_same(case: tuple[ss.Network, torch.Tensor]) -> None:
    network, x = case
    batch_first = x.transpose(0, 1).contiguous()
    assert torch.equal(ss.run(network, batch_first.transpose(0, 1)).output, ss.run(network, x).output)


def test_hooked_layers_are_called(case: tuple[ss.Network, torch.Tensor]) -> None:
    network, x = case
    name, module = next((n, m) for n, m in network.nodes.items() if isinstance(m, (nn.Linear, nn.Conv2d)))
    seen = []
    handle = module.register_forward_hook(lambda module, args, output: seen.append(output.shape))
    ss.run(network, x, engine=ss.EventDriven(always=True))
    handle.remove()
    assert seen, name


def test_numpy_and_integers_are_taken(case: tuple[ss.Network, torch.Tensor]) -> None:
    network, x = case
    assert torch.equal(ss.run(network, x.numpy().astype(np.int64)).output, ss.run(network, x).output)


def narrow_network(outputs: int = 70) -> ss.Network:
    """Weights that int8 holds exactly: whole multiples of 2^-7 up to 127 / 128 in every row."""
    rng = np.random.default_rng(9)
    layers: list[torch.nn.Module] = []
    for n_out, n_in in ((outputs, 40), (10, outputs)):
        linear = torch.nn.Linear(n_in, n_out)
        q = rng.integers(-127, 128, (n_out, n_in))
        q[:, 0] = 127
        linear.weight.data = torch.from_numpy(q / 128).float()
        linear.bias.data = torch.from_numpy(rng.integers(-64, 64, n_out) / 128).float()
        layers += [linear, ss.LIF(0.5, torch.full((n_out,), 1.5), gain=0.5, strict=True)]
    return ss.Network.chain(*layers).eval().requires_grad_(False)


@pytest.mark.parametrize("kind", [torch.float16, torch.int8])
@pytest.mark.parametrize("rate", [0.05, 0.6])
def test_narrow_rows_spike_as_the_weights_they_hold(kind: torch.dtype, rate: float) -> None:
    network, x = narrow_network(), drawn((9, 4, 40), rate=rate)
    engine = ss.EventDriven(weights=kind)
    wide, narrow = ss.run(network, x), ss.run(network, x, engine=engine)
    assert 0 < wide.output.mean() < 1
    assert torch.equal(wide.output, narrow.output)
    first = ss.run(network, x[:4], engine=engine)
    rest = ss.run(network, x[4:], state=first.state, engine=engine)
    assert torch.equal(torch.cat([first.output, rest.output]), narrow.output)
    network.nodes["0"].weight.mul_(0.5)  # a changed parameter is packed again
    assert torch.equal(ss.run(network, x, engine=engine).output, ss.run(network, x).output)


@pytest.mark.parametrize("kind", [torch.float16, torch.int8])
def test_narrow_rows_spike_as_dequantised_weights(kind: torch.dtype) -> None:
    network = ss.Network.chain(torch.nn.Linear(40, 70, bias=False), ss.LIF(0.9)).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(3)
    network.nodes["0"].weight.copy_(torch.randn(70, 40, generator=generator) * torch.logspace(-2, 0, 70)[:, None])
    x = drawn((50, 8, 40))
    narrow = ss.run(network, x, engine=ss.EventDriven(weights=kind)).output
    wide = ss.run(network, x).output
    network.nodes["0"].weight.copy_(dequantised(network.nodes["0"].weight, kind))
    held = ss.run(network, x).output
    assert (held != narrow).float().mean() < 1e-4  # sums in another unit are rounded elsewhere
    assert (held != wide).float().mean() > 1e-4 or kind == torch.float16
