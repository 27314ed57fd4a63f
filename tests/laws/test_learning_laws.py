"""The chain that learns as one operation: kernels against their references, gradients against the reference engine."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from laws.test_event_kernels import VALUES, drawn, layer, rows, same
from torch import Tensor, nn

import spikesim as ss
from spikesim.layers.linear import blocks_of
from spikesim.stages import adjoint, by_input, learning

SURROGATES = (ss.surrogate.ATan(), ss.surrogate.Rectangular(), ss.surrogate.Triangular(), ss.surrogate.FastSigmoid())
"""Those without an exponential, which numpy rounds otherwise."""


@VALUES
@pytest.mark.parametrize("per_neuron", [False, True])
@pytest.mark.parametrize("outputs", [10, 70])
def test_forward_kernel(outputs: int, per_neuron: bool, graded: bool) -> None:
    x, (weight, _) = drawn((5, 3, 40), graded), layer(outputs, 40)
    blocks = blocks_of(weight)
    count, lanes = len(blocks), blocks.shape[2]
    c, bias = rows(count * lanes, per_neuron), np.linspace(0, 0.1, count * lanes).astype(np.float32)
    valid, ran = np.full(count, 2**64 - 1 if lanes == 64 else 2**16 - 1, np.uint64), []
    for run in (learning.charged_kernel, learning.charged_reference):
        v, bits = np.full((3, count * lanes), 0.1, np.float32), np.zeros((3, 5, count), np.uint64)
        charge = np.zeros((count, 3, 5, lanes), np.float32)
        run(x.ptr, x.idx, x.values, blocks, bias, c, valid, 2, v, charge, bits)
        ran.append((v, charge, bits))
    assert ran[0][2].any()
    same(*zip(*ran))


def given(kind: str, rng: np.random.Generator, blocks: int) -> adjoint.Grads:
    """dL/ds of 3 samples, 5 steps, as it comes from a wide or a narrow stage, or 70 classes."""
    nothing = np.empty((0, 0), np.float32)
    if kind == "dense":
        return adjoint.Grads(rng.normal(size=(3, 5, 70)).astype(np.float32), nothing, nothing[None][:0])
    after, back = rng.normal(size=(15, 6)), rng.normal(size=(blocks, 6, 64))
    return adjoint.Grads(nothing[None][:0], after.astype(np.float32), back.astype(np.float32))


@pytest.mark.parametrize("kind", ["dense", "few"])
@pytest.mark.parametrize("per_neuron", [False, True])
@pytest.mark.parametrize("surrogate", SURROGATES, ids=lambda s: type(s).__name__)
def test_backward_kernels(surrogate: ss.surrogate.Surrogate, per_neuron: bool, kind: str) -> None:
    rng, x = np.random.default_rng(4), drawn((5, 3, 40), True)
    charge = rng.normal(0.7, 0.5, size=(2, 3, 5, 64)).astype(np.float32)
    c, rise = rows(128, per_neuron), surrogate.coefficients(np.float32)
    rule = charge, c, np.float32(1), surrogate.code, rise
    grads, order = given(kind, rng, 2), by_input.by_input(x, 40)
    start, ran = rng.normal(size=(3, 128)).astype(np.float32), []
    for back, gathered, entry in (
        (adjoint.adjoint_kernel, adjoint.gathered_kernel, adjoint.entry_kernel),
        (adjoint.adjoint_reference, adjoint.gathered_reference, adjoint.entry_reference),
    ):
        flow, drive, weight = start.copy(), np.zeros_like(charge), np.zeros((70, 40), np.float32)
        back(*rule, 2, grads, flow, drive)
        gathered(x.ptr, x.idx, x.values, *order, drive.reshape(2, 15, 64), weight)
        again, bias, same_weight = start.copy(), np.zeros(128, np.float32), np.zeros((70, 40), np.float32)
        entry(x.ptr, x.idx, x.values, *order, *rule, grads, again, bias, same_weight)
        same((weight, same_weight), (flow, again))
        ran.append((flow, drive, weight, bias))
    same(*zip(*ran))


def test_backward_kernels_of_few_outputs() -> None:
    rng, x = np.random.default_rng(4), drawn((5, 3, 40), True)
    nothing, ran = np.empty(0, np.int32), []
    drive = rng.normal(size=(1, 15, 16)).astype(np.float32)
    for run in (adjoint.gathered_kernel, adjoint.gathered_reference):
        weight = np.zeros((10, 40), np.float32)
        run(x.ptr, x.idx, x.values, nothing.astype(np.int64), nothing, nothing.astype(np.float32), drive, weight)
        ran.append((weight,))
    same(*zip(*ran))


@VALUES
def test_events_in_the_order_of_their_inputs(graded: bool) -> None:
    x, ran = drawn((9, 4, 40), graded), []
    first, row, value = by_input.by_input(x, 40)
    for i in range(40):
        mine = np.flatnonzero(x.idx == i)
        owner = np.repeat(np.arange(x.ptr.size - 1), np.diff(x.ptr))[mine]
        same((row[first[i] : first[i + 1]], owner))
        same((value[first[i] : first[i + 1]], x.values[mine] if graded else value[:0]))
    for count, start, place in (
        (by_input.counted_kernel, by_input.started_kernel, by_input.placed_kernel),
        (by_input.counted_reference, by_input.started_reference, by_input.placed_reference),
    ):
        counts, found, values = np.zeros((3, 40), np.int64), np.zeros_like(row), np.zeros_like(value)
        begun, free = np.zeros(41, np.int64), np.zeros_like(counts)
        count(x.ptr, x.idx, counts)
        start(counts, begun, free)
        place(x.ptr, x.idx, x.values, free, found, values)
        ran.append((counts, begun, free, found, values))
    same(*zip(*ran))


def chain(sizes: tuple[int, ...], **options: Any) -> ss.Network:
    torch.manual_seed(1)
    linears = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    return ss.Network.chain(*[m for linear in linears for m in (linear, ss.LIF(0.9, 0.5, **options))])


def learned(network: ss.Network, x: Any, engine: ss.Engine | None, state: Any = None) -> tuple[Tensor, list[Tensor]]:
    """Spikes, and gradients of a loss on spikes and last membranes."""
    network.zero_grad()
    y, after, _ = network(x, state, engine=engine)
    loss = (y * torch.arange(y.numel()).view_as(y).cos()).sum()
    loss = loss + sum(s.v.square().sum() for s in after.nodes.values() if s is not None)
    loss.backward()
    return y.detach(), [p.grad.clone() for p in network.parameters() if p.grad is not None]


OPTIONS: dict[str, dict[str, Any]] = {
    "detached": {"detach_reset": True}, "through": {}, "strict": {"strict": True},
    "to zero": {"reset": ss.ToValue(0.0)}, "gaussian": {"surrogate": ss.surrogate.Gaussian()},
    "per neuron": {"bias": 0.1, "initial": 0.2},
}  # fmt: skip


@VALUES
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("sizes", [(30, 70, 10), (30, 130, 40, 70), (30, 8), (30, 12, 5)], ids=str)
def test_gradients_are_the_references(
    sizes: tuple[int, ...], options: dict[str, Any], graded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, network, asked = drawn((7, 5, 30), graded), chain(sizes, **options), []
    plain = learning.Learned.apply
    monkeypatch.setattr(learning.Learned, "apply", lambda *a: asked.append(1) or plain(*a))
    spikes, grads = learned(network, x, None)
    assert asked and spikes.any()
    wanted, theirs = learned(network, x.dense(), ss.Reference())
    assert torch.equal(spikes, wanted)
    for mine, reference in zip(grads, theirs, strict=True):
        assert (mine - reference).abs().max() <= 1e-5 * reference.abs().max()


def test_a_cut_run_learns_on_from_its_state() -> None:
    x, network = drawn((8, 5, 30), False), chain((30, 70, 10))
    dense = x.dense()
    whole, _, _ = network(x)
    first, state, _ = network(ss.SparseRaster.from_dense(dense[:3]))
    state = state._replace(nodes={name: s and type(s)(s.v.detach()) for name, s in state.nodes.items()})
    second, grads = learned(network, ss.SparseRaster.from_dense(dense[3:]), None, state)
    assert torch.equal(torch.cat([first, second]), whole)
    _, theirs = learned(network, dense[3:], ss.Reference(), state)
    assert all((a - b).abs().max() <= 1e-5 * b.abs().max() for a, b in zip(grads, theirs, strict=True))


def test_weights_changed_before_the_way_back_are_refused() -> None:
    x, network = drawn((7, 5, 30), False), chain((30, 70, 10))
    y, _, _ = network(x)
    with torch.no_grad():
        network.node("2").weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_nothing_and_graphs_may_be_kept(threads: int) -> None:
    x, network, before = drawn((7, 40, 30), True), chain((30, 130, 40)), torch.get_num_threads()
    _, wanted = learned(network, x, None)
    try:
        torch.set_num_threads(threads)
        _, found = learned(network, x, None)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted))
    y, _, _ = network(x)
    first = torch.autograd.grad(y.sum(), list(network.parameters()), retain_graph=True)
    other, _, _ = network(x)  # takes arrays of its own while the first graph is alive
    second = torch.autograd.grad(y.sum(), list(network.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(first, second)) and torch.equal(other, y)


@pytest.mark.parametrize(
    "network",
    [chain((30, 20), reset=ss.BySubtraction(delayed=True)), chain((30, 20), learn=("leak",))],
    ids=["delayed reset", "learnt leak"],
)
def test_what_it_does_not_know_is_left_to_the_other_way(network: ss.Network) -> None:
    x = drawn((7, 5, 30), False)
    program = network._compiled((30,))
    assert program is not None and not learning.can_learn(program, {})
    spikes, grads = learned(network, x, None)
    wanted, theirs = learned(network, x.dense(), ss.Reference())
    assert torch.equal(spikes, wanted) and len(grads) == len(theirs)
