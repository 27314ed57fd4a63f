"""Network: names, graph rules, binding to T, saving; and what `run` refuses."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import spikesim as ss
from spikesim.core.files import read_json, write_json
from spikesim.execution import Engine, Reference
from spikesim.graph import planned
from spikesim.layers import Upsample
from spikesim.network import INPUT, Conversion


def small() -> ss.Network:
    torch.manual_seed(0)
    return ss.Network.chain(
        nn.Conv2d(2, 3, 3), ss.IF(torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1), initial=0.5), ss.LIF(0.8, strict=True),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 4), input_shape=(2, 6, 6), readout=ss.DelayedMean(1),
    ).requires_grad_(False)  # fmt: skip


def test_state_dict_keys_are_the_users_names() -> None:
    nodes = {
        "features.conv": nn.Conv2d(1, 2, 3),
        "features.act": ss.IF(),
        "output": nn.Flatten(),
        "readout": nn.Linear(8, 2),
    }
    names = [INPUT, *nodes]
    network = ss.Network(nodes, [ss.Edge(a, b) for a, b in pairwise(names)])
    assert {"features.conv.weight", "readout.bias"} <= set(network.state_dict())
    assert network.node("output") is nodes["output"]
    assert ss.run(network, torch.ones(3, 2, 1, 4, 4)).output.shape == (3, 2, 2)


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    network, x = small(), torch.rand(5, 2, 2, 6, 6)
    network.calibration = torch.rand(3, 2, 6, 6)
    again = ss.load(ss.save(network, tmp_path / "net"))
    again.requires_grad_(False)
    assert torch.equal(ss.run(network, x).readout, ss.run(again, x).readout)
    assert again.readout == network.readout and torch.equal(again.calibration, network.calibration)
    assert repr(again) == repr(network)


def test_bound_divides_what_stands_before_the_first_spikes() -> None:
    network = small().replaced({}, conversion=Conversion(("0",), ("1",)))
    bound = network.bound(4)
    assert torch.equal(bound.node("0").bias, network.node("0").bias / 4)
    assert bound.node("0").weight is network.node("0").weight
    assert torch.equal(bound.node("1").threshold, network.node("1").threshold / 4)
    assert torch.equal(bound.node("1").initial, network.node("1").initial / 4)
    assert torch.equal(bound.bound(8).node("1").threshold, network.node("1").threshold / 8)
    assert bound.node("5") is network.node("5") and network.conversion.steps is None


def test_data_parallel_gradient_is_the_one_process_gradient(tmp_path: Path) -> None:
    """Two gloo processes of half a batch each give the gradient of the whole."""
    import subprocess
    import sys

    script = tmp_path / "ddp.py"
    script.write_text(
        "import sys, torch, torch.distributed as dist, spikesim as ss\n"
        "from torch import nn\n"
        "rank = int(sys.argv[1])\n"
        f"dist.init_process_group('gloo', init_method='file://{tmp_path}/meet', rank=rank, world_size=2)\n"
        "torch.manual_seed(0)\n"
        "net = ss.Network.chain(nn.Linear(6, 8), ss.LIF(0.9), nn.Linear(8, 3))\n"
        "x, y = torch.rand(10, 4, 6) * 2, torch.tensor([0, 1, 2, 0])\n"
        "loss = lambda out, y: nn.functional.cross_entropy(out.mean(0), y)\n"
        "loss(net(x)[0], y).backward()\n"
        "whole = [p.grad.clone() for p in net.parameters()]; net.zero_grad()\n"
        "ddp = nn.parallel.DistributedDataParallel(net)\n"
        "part = slice(2 * rank, 2 * rank + 2)\n"
        "loss(ddp(x[:, part])[0], y[part]).backward()\n"
        "assert all(torch.allclose(p.grad, g, atol=1e-6) for p, g in zip(net.parameters(), whole))\n"
        "assert any(g.abs().max() > 0 for g in whole)\n"
    )
    processes = [subprocess.Popen([sys.executable, str(script), str(rank)]) for rank in range(2)]
    assert [p.wait(timeout=120) for p in processes] == [0, 0]


def chain_edges(*names: str) -> list[ss.Edge]:
    return [ss.Edge(a, b) for a, b in zip((INPUT, *names), names)]


REFUSED: dict[str, Callable[[], object]] = {
    "Network.x must be (T, B, 2, 6, 6), got (5, 1, 2, 6, 5)": lambda: ss.run(small(), torch.zeros(5, 1, 2, 6, 5)),
    "Network.x must be (T, B, 2, 6, 6), got (0, 1, 2, 6, 6)": lambda: ss.run(small(), torch.zeros(0, 1, 2, 6, 6)),
    "Network.x must be (T, B, 2, 6, 6), got (1, 0, 2, 6, 6)": lambda: ss.run(small(), torch.zeros(1, 0, 2, 6, 6)),
    "run.x must be finite, got nan at (0, 0, 1, 0, 0)": lambda: ss.run(
        small(), torch.zeros(1, 1, 2, 6, 6).index_fill(2, torch.tensor([1]), float("nan"))
    ),
    "run.steps must be a whole number at least 1, got 0": lambda: ss.run(small(), torch.zeros(1, 2, 6, 6), steps=0),
    "run.record must be a node of the network, got 9": lambda: ss.run(small(), torch.zeros(1, 1, 2, 6, 6), record=["9"]),
    "run.sample_ids must be (1,), one per batch row": lambda: ss.run(
        small(), torch.zeros(1, 1, 2, 6, 6), sample_ids=[1, 2]
    ),
    "run.network must be bound to its T before a run is cut": lambda: ss.run(
        small().replaced({}, conversion=Conversion(("0",), ("1",))), torch.zeros(1, 1, 2, 6, 6),
        state=small().initial_state(),
    ),
    "Network.edges must be between its nodes": lambda: ss.Network({"a": ss.IF()}, [ss.Edge("b", "a")]),
    "Network.edges must be without a cycle that has no delay": lambda: ss.Network(
        {"a": ss.IF(), "b": ss.IF()}, [ss.Edge(INPUT, "a"), ss.Edge("a", "b"), ss.Edge("b", "a")]
    ),
    "Network.a must be reached by an edge": lambda: ss.Network({"a": ss.IF(), "b": ss.IF()}, [ss.Edge(INPUT, "b")]),
    "Network.output must be a node, got c": lambda: ss.Network({"a": ss.IF()}, chain_edges("a"), output="c"),
    "Network.replaced must be a node of the network": lambda: small().replaced({"x": ss.IF()}),
    "file must be there": lambda: ss.load("no-such-folder"),
}  # fmt: skip


@pytest.mark.parametrize("message", sorted(REFUSED))
def test_refusals(message: str) -> None:
    with pytest.raises(ss.SpikesimError) as caught:
        REFUSED[message]()
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_a_folder_of_a_newer_format_or_unknown_kind_is_refused(tmp_path: Path) -> None:
    path = ss.save(small(), tmp_path) / "network.json"
    described = read_json(path)
    write_json(path, {**described, "format": 99})
    with pytest.raises(ss.SpikesimError, match="format must be 1, got 99"):
        ss.load(tmp_path)
    described["nodes"]["4"]["kind"] = "Pickle"
    write_json(path, described)
    with pytest.raises(ss.SpikesimError, match="must be of a known kind, got Pickle"):
        ss.load(tmp_path)


def test_a_node_that_cannot_be_described_is_not_saved(tmp_path: Path) -> None:
    network = ss.Network.chain(nn.Linear(3, 3), nn.GLU())
    with pytest.raises(ss.SpikesimError, match=r"network\.1 must be one of"):
        ss.save(network, tmp_path / "net")
    assert not (tmp_path / "net").exists()


def test_a_plan_says_how_many_read_each_value_and_which_outlive_a_chunk() -> None:
    ends = [("input", "a"), ("a", "b"), ("a", "c"), ("b", "c"), ("b", "a", 2), ("c", "d")]
    edges = tuple(ss.Edge(*each) for each in ends)
    plan = planned(("a", "b", "c", "d"), edges, "d")
    assert dict(plan.readers) == {"input": 1, "a": 2, "b": 1, "c": 1, "d": 0}
    assert plan.kept == {"b", "d"}


def test_synapses_are_those_of_the_input_that_is_asked_about() -> None:
    net = ss.Network.chain(nn.Conv2d(1, 2, 3), ss.IF(), nn.Conv2d(2, 2, 3))
    large, small = torch.rand(2, 1, 9, 9), torch.rand(2, 1, 6, 6)
    first = net.synapses(large)
    assert first == {"0": 9 * 2 * 49, "2": 18 * 2 * 25}
    assert net.synapses(small) == {"0": 9 * 2 * 16, "2": 18 * 2 * 4}
    assert net.synapses(large) == first


@pytest.mark.parametrize("name", ["0.events", "1.events", "2.events"])
def test_events_of_nodes_that_events_enter_are_recorded(name: str) -> None:
    torch.manual_seed(0)
    net, x = (
        ss.Network.chain(nn.Flatten(), nn.Linear(12, 5), ss.IF(0.3), nn.Sigmoid()),
        (torch.rand(4, 2, 3, 4) < 0.3).float(),
    )
    with torch.no_grad():
        _, _, found = net(ss.SparseRaster.from_dense(x), record=[name])
        _, _, wanted = net(x, record=[name], engine=Reference())
    torch.testing.assert_close(found[name].dense(), wanted[name].dense())


@pytest.mark.parametrize("engine", [None, ss.EventDriven(stages=False), ss.Fused(), ss.Reference()])
def test_a_module_that_is_exchanged_in_place_is_what_runs(engine: Engine | None) -> None:
    torch.manual_seed(0)
    net, x = ss.Network.chain(nn.Flatten(), nn.Linear(12, 5), ss.IF(0.3)), (torch.rand(4, 2, 3, 4) < 0.3).float()
    with torch.no_grad():
        net(x, engine=engine)
        setattr(net, "1", nn.Linear(12, 7))
        y, _, _ = net(x, engine=engine)
        setattr(net, "2", ss.IF(0.1))
        z, _, _ = net(x, engine=engine)
        assert torch.equal(y, ss.IF(0.3)(net.node("1")(x.flatten(2)))[0]) and y.shape == (4, 2, 7)
        assert torch.equal(z, ss.IF(0.1)(net.node("1")(x.flatten(2)))[0]) and not torch.equal(y, z)


def test_the_shape_of_a_sum_is_that_of_all_its_parts() -> None:
    edges = [("input", "a"), ("input", "b"), ("a", "c"), ("b", "c")]
    parts = {"a": nn.AdaptiveAvgPool2d(1), "b": nn.Identity(), "c": nn.Conv2d(1, 2, 3)}
    net = ss.Network(parts, [ss.Edge(*edge) for edge in edges])
    assert net.shapes(torch.rand(1, 1, 1, 9, 9))["c"] == (2, 7, 7) and net.synapses(torch.rand(1, 1, 9, 9)) == {
        "c": 9 * 2 * 49
    }


@pytest.mark.parametrize("stages", [True, False])
@pytest.mark.parametrize("wrap", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_parametrized_weights_are_looked_at_anew(wrap: Callable[[nn.Module], nn.Module], stages: bool) -> None:
    """Each is a tensor of its own, and may lie where the one before did."""
    torch.manual_seed(0)
    layer, x = wrap(nn.Linear(200, 100)), (torch.rand(10, 4, 200) < 0.05).float()
    net = ss.Network.chain(layer, ss.IF()).eval()
    with torch.no_grad():
        for _ in range(8):
            next(p for name, p in layer.named_parameters() if "original" in name).mul_(1.3)
            y, _, _ = net(x, engine=ss.EventDriven(stages=stages))
            assert torch.equal(y, net(x, engine=ss.Reference())[0])


def test_bilinear_upsampling_is_saved_as_what_it_is(tmp_path: Path) -> None:
    net, x = ss.Network.chain(Upsample((4, 6), True), nn.Upsample(scale_factor=2)), torch.rand(2, 1, 3, 2, 3)
    again = ss.load(ss.save(net, tmp_path / "net"))
    assert type(again.node("0")) is Upsample and type(again.node("1")) is nn.Upsample
    assert torch.equal(again(x)[0], net(x)[0])
