"""Sparse weights: as the dense product, with delays as brute force says, in every engine, saved and refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim.core import philox
from spikesim.layers import sparse
from spikesim.layers.sparse import Drawn, Synapses
from spikesim.neurons._membrane import Coefficients
from spikesim.stages import sparse as stage


def drawn_edges(inputs: int, outputs: int, n: int, longest: int | None = None, seed: int = 0) -> ss.SparseLinear:
    rng = np.random.default_rng(seed)
    source, target = rng.integers(0, inputs, n), rng.integers(0, outputs, n)
    weight = rng.choice([-2.0, -1.0, 1.0, 2.0, 3.0], n)
    delay = None if longest is None else rng.integers(0, longest + 1, n)
    return ss.SparseLinear.from_edges(source, target, weight, inputs=inputs, outputs=outputs, delay=delay)


def events(shape: tuple[int, ...], seed: int = 1, rate: float = 0.2) -> torch.Tensor:
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < rate).float()


def by_brute_force(layer: ss.SparseLinear, x: torch.Tensor) -> np.ndarray:
    """y[t, b, target] += weight x[t - delay, b, source], synapse by synapse."""
    steps, batch, _ = x.shape
    lists, out = layer.synapses, np.zeros((steps, batch, layer.out_features), np.float32)
    for part in lists.first:
        for i in range(layer.in_features):
            for q in range(part[i], part[i + 1]):
                d = int(lists.delay[q]) if lists.delay.size else 0
                for t in range(d, steps):
                    out[t, :, lists.target[q]] += lists.weight[q] * x[t - d, :, i].numpy()
    return out


@pytest.mark.parametrize("outputs", [7, 5000])
@pytest.mark.parametrize("longest", [None, 4])
def test_product_equals_brute_force_and_may_be_cut(outputs: int, longest: int | None) -> None:
    layer, x = drawn_edges(30, outputs, 400, longest), events((9, 2, 30))
    net = ss.Network.chain(layer)
    whole = ss.run(net, x).output
    assert np.array_equal(whole.numpy(), by_brute_force(layer, x)) and whole.any()
    first = ss.run(net, x[:4])
    kept = None if longest is None else first.state.nodes["0"].ring.clone()
    second = ss.run(net, x[4:], state=first.state)
    assert torch.equal(torch.cat([first.output, second.output]), whole)
    assert kept is None or torch.equal(kept, first.state.nodes["0"].ring)


def test_from_dense_is_nn_linear() -> None:
    linear = nn.Linear(12, 9, bias=False).requires_grad_(False)
    linear.weight.data = torch.randint(-2, 3, (9, 12), generator=torch.Generator().manual_seed(0)).float()
    x = events((5, 3, 12))
    net = ss.Network.chain(ss.SparseLinear.from_dense(linear.weight))
    assert torch.equal(ss.run(net, x).output, linear(x))
    assert net.synapses(x[0]) == {"0": int((linear.weight != 0).sum())}


def looped(longest: int | None, delay: int = 2) -> ss.Network:
    nodes = {
        "in": drawn_edges(12, 70, 300, longest), "back": drawn_edges(70, 70, 500, longest, seed=1), "n": ss.LIF(0.5, 4.0),
        "out": nn.Linear(70, 5, bias=False).requires_grad_(False), "m": ss.IF(6.0),
    }  # fmt: skip
    nodes["out"].weight.data = torch.randint(-2, 3, (5, 70), generator=torch.Generator().manual_seed(0)).float()
    edges = [
        ss.Edge("input", "in"), ss.Edge("in", "n"), ss.Edge("n", "back", delay), ss.Edge("back", "n"),
        ss.Edge("n", "out"), ss.Edge("out", "m"),
    ]  # fmt: skip
    return ss.Network(nodes, edges, output="m")


@pytest.mark.parametrize("longest", [None, 3])
def test_loops_agree_in_every_engine_and_hand_over(longest: int | None) -> None:
    net, x = looped(longest), events((14, 3, 12), rate=0.3)
    ways = [ss.Reference(), ss.Fused(), ss.EventDriven(stages=False), ss.EventDriven()]
    with torch.no_grad():
        runs = [ss.run(net, x, engine=way, record=["n"]) for way in ways]
        assert 0 < runs[0].recording["n"].mean() < 1 and any(net._programs.values())
        assert all(torch.equal(run.recording["n"], runs[0].recording["n"]) for run in runs)
        for before in ways:
            first = ss.run(net, x[:5], engine=before)
            for after in ways:
                assert torch.equal(ss.run(net, x[5:], state=first.state, engine=after).output, runs[0].output[5:])
        alone = torch.cat([ss.run(net, x[:, b : b + 1]).output for b in range(3)], 1)
    assert torch.equal(alone, runs[0].output)


@pytest.mark.parametrize("longest", [None, 3])
def test_kernels_equal_their_references(longest: int | None) -> None:
    inward, around = drawn_edges(30, 5000, 2000, longest), drawn_edges(5000, 5000, 20_000, longest, seed=2)
    x = ss.SparseRaster.from_dense(events((6, 2, 30)))
    rng, slots, words = np.random.default_rng(3), (longest or 0) + 1, 79
    at = np.array([0, slots - 1])
    ran = []
    for run in (sparse.scattered_kernel, sparse.scattered_reference):
        ring, out = np.ones((2, slots, 5000), np.float32), np.empty((6, 2, 5000), np.float32)
        run(x.ptr, x.idx, x.values, inward.synapses, ring, at, out)
        ran.append((ring, out))
    past = rng.integers(0, 2**20, (2, 2, words)).astype(np.uint64)
    past[..., -1] &= np.uint64(255)
    c, loops = Coefficients(*(np.float32(n) for n in (0.9, 1, 0.05, 2.5, 0, 2.5))), []
    for run in (stage.sparse_kernel, stage.sparse_reference):
        rings = [np.zeros((2, slots, 5000), np.float32) for _ in range(2)]
        v, bits = np.full((2, 5000), 0.1, np.float32), np.zeros((2, 6, words), np.uint64)
        lists = inward.synapses, around.synapses
        run(x.ptr, x.idx, x.values, *lists, c, False, past, at, rings[0], at, rings[1], v, bits)
        loops.append((*rings, v, bits))
    assert loops[0][3].any()
    for fast, slow in (*zip(*ran), *zip(*loops)):
        np.testing.assert_array_equal(fast, slow)


@pytest.mark.parametrize("delays", [None, (1, 5)])
def test_random_synapses_are_their_reference_whatever_the_threads(delays: tuple[int, int] | None) -> None:
    layer = ss.SparseLinear.random(
        40, 5000, 9, seeds=ss.Seeds(3), low=0.5, high=1.5, inhibitory=0.25, factor=-2.0, delays=delays
    )  # fmt: skip
    lists, f = layer.synapses, np.float32
    assert lists.target.size == 360 and np.array_equal(layer.row_fanout(), np.full(40, 9))
    assert (lists.weight < 0).sum() == 90 and lists.weight.max() <= 1.5 and lists.weight.min() >= -3
    plain = Synapses(*(np.zeros_like(part) for part in lists))
    numbers = Drawn(9, f(0.5), f(1.0), f(-2), 30, *(delays or (0, 0)))
    key = philox.split(ss.Seeds(3).key)
    sparse.drawn_reference(numbers, *key, sparse.part_size(5000), 5000, False, *plain)
    sparse._to_starts(plain.first)
    sparse.drawn_reference(numbers, *key, sparse.part_size(5000), 5000, True, *plain)
    for fast, slow in zip(lists, plain):
        np.testing.assert_array_equal(fast, slow)


@pytest.mark.parametrize("longest", [None, 3])
def test_saved_and_loaded(longest: int | None, tmp_path: Path) -> None:
    net, x = looped(longest), events((6, 2, 12), rate=0.4)
    again = ss.load(ss.save(net, tmp_path / "net"))
    assert torch.equal(ss.run(again, x).output, ss.run(net, x).output)


def test_a_ledger_counts_the_synapses_that_were_reached() -> None:
    x = events((6, 2, 12), rate=0.4)
    found = []
    for longest in (None, 3):
        ledger, net = ss.Ledger(), ss.Network.chain(drawn_edges(12, 70, 300, longest), ss.LIF(0.5, 4.0))
        ss.run(net, x, ledger=ledger)
        found.append(ledger.count(ss.Action.digital_add))
    assert found[0] == found[1] != 0


REFUSED = {
    "SparseLinear.source must be from 0 to 3": lambda: one(source=[4]),
    "SparseLinear.target must be from 0 to 2": lambda: one(target=[-1]),
    "SparseLinear.target must be (1,) whole numbers": lambda: one(target=[0.5]),
    "SparseLinear.weight must be (1,), finite": lambda: one(weight=[np.nan]),
    "SparseLinear.delay must be (1,) whole steps from 0 to 255": lambda: one(delay=np.array([256])),
    "SparseLinear.fan_out must be a whole number at least 1": lambda: ss.SparseLinear.random(3, 3, 0, seeds=ss.Seeds()),
    "SparseLinear.x must be (T, B, 4), float32": lambda: ss.Network.chain(one())(torch.zeros(2, 1, 5)),
    "SparseLinear.x must be without gradient": lambda: ss.Network.chain(one())(torch.zeros(2, 1, 4).requires_grad_()),
}


def one(
    source: object = (0,), target: object = (0,), weight: object = (1.0,), delay: np.ndarray | None = None
) -> ss.SparseLinear:
    return ss.SparseLinear.from_edges(
        np.array(source), np.array(target), np.array(weight), inputs=4, outputs=3, delay=delay
    )  # fmt: skip


@pytest.mark.parametrize("message", sorted(REFUSED))
def test_refusals(message: str) -> None:
    with pytest.raises(ss.SpikesimError) as caught:
        REFUSED[message]()
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
