"""NIR: what goes out comes back spike for spike, and reads as the format says where our metadata are gone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim.graph import Edge
from spikesim.interop.nir import ForeignReading, describe, from_nir, read, to_nir, write, write_graph
from spikesim.layers import Gain, Reduce, Reshape, Scale, Shift, SumPool2d

nir = pytest.importorskip("nir")
DT = 1e-3


def drive(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(20, 2, *shape, generator=torch.Generator().manual_seed(seed)) * 0.6 + 0.3


def spikes(network: ss.Network, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return ss.run(network, x, engine=ss.Reference()).output


def quietly(network: ss.Network, **options: object) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ForeignReading)
        return to_nir(network, **options)  # type: ignore[arg-type]


def stripped(graph: object) -> object:
    """The graph as another program would read it: without metadata of the nodes."""
    for node in graph.nodes.values():  # type: ignore[attr-defined]
        node.metadata = {}
    return graph


each = torch.linspace(0.3, 0.95, 24)
NEURONS: dict[str, Callable[[], nn.Module]] = {
    "if, subtract": lambda: ss.IF(0.8, initial=0.4),
    "if, hard, one per neuron": lambda: ss.IF(each, reset=ss.ToValue(0.0), initial=each / 2),
    "if, gain": lambda: ss.IF(0.8, gain=0.3, reset=ss.ToValue(0.1)),
    "lif": lambda: ss.LIF(each, 0.7, reset=ss.ToValue(-0.1)),
    "lif, bias": lambda: ss.LIF(0.9, 0.7, bias=0.01, gain=0.5),
    "lif, tau": lambda: ss.LIF.from_tau("5 ms", "1 ms", 0.3, normalised=True),
    "lif, never reset": lambda: ss.LIF(0.5, 0.7, reset=ss.neurons.NoReset()),
    "lif, as nir": lambda: ss.LIF.nir(0.004 + each / 100, 1.5, 0.05, 0.4, dt=DT),
    "lif, at snntorch": lambda: ss.LIF.snntorch(0.9, 0.6),
    "lif, residual": lambda: ss.LIF.snntorch(0.9, 0.6, reset_delay=False),
    "lif, spikingjelly": lambda: ss.LIF.spikingjelly(4.0, 0.3, -0.1),
    "lif, spikingjelly, undecayed": lambda: ss.LIF.spikingjelly(4.0, 0.7, None, decay_input=False),
    "lif, norse": lambda: ss.LIF.norse_box(200.0, 0.1, 0.4),
    "lif, about a rest": lambda: ss.LIF.bindsnet(thresh=0.8, rest=0.1, reset=0.05, refrac=0, tc_decay=12.0),
    "parametric": lambda: ss.ParametricLIF(torch.linspace(1.5, 9, 24), 0.4, decay_input=False),
    "synapse": lambda: ss.CuBaLIF(0.7, each, 0.8),
    "synapse, all": lambda: ss.CuBaLIF(0.7, 0.9, 0.8, decays="all"),
    "synapse, later": lambda: ss.CuBaLIF(0.7, 0.9, 0.8, decays="later"),
    "synapse, blend": lambda: ss.CuBaLIF(each, 0.9, 0.2, decays="blend", weight=1.5),
    "synapse, norse": lambda: ss.CuBaLIF.norse(300.0, 200.0, v_th=0.3),
    "synapse, snntorch": lambda: ss.CuBaLIF.snntorch(0.7, 0.9, 0.8, reset="zero"),
    "threshold": lambda: ss.LIF(0.0, 0.6, reset=ss.neurons.NoReset(), strict=True),
    "sum": lambda: ss.Integrator(),
    "leaky readout": lambda: ss.Integrator(each),
}


@pytest.mark.parametrize("make", NEURONS.values(), ids=NEURONS)
def test_a_neuron_comes_back_bit_for_bit(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    network, x = ss.Network.chain(make(), input_shape=(24,), dt=DT, readout=ss.Sum()), drive(24)
    before = spikes(network, x)
    assert before.any()
    again = from_nir(quietly(network))
    assert torch.equal(spikes(again, x), before)
    assert again.dt == DT and again.readout == network.readout and again.input_shape == (24,)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ForeignReading)
        path = write(network, tmp_path / "net.nir")
    assert torch.equal(spikes(read(path), x), before)
    assert type(read(path).node("0")) is type(network.node("0"))


SAYABLE = [name for name in NEURONS if not any(word in name for word in ("never", "snntorch", "residual"))]


@pytest.mark.parametrize("name", SAYABLE)
def test_the_fields_alone_say_the_same(name: str) -> None:
    """Without our metadata the equations of the format remain: same spikes but for rounding (reset as it was)."""
    network, x = ss.Network.chain(NEURONS[name](), input_shape=(24,), dt=DT), drive(24)
    neuron = network.node("0")
    reset = "subtract" if isinstance(getattr(neuron, "reset", None), ss.BySubtraction) else None
    graph = stripped(quietly(network))
    again = from_nir(graph, reset=reset)
    if "initial" in neuron._buffers and not isinstance(again.node("0"), ss.Integrator):
        again.node("0").initial = neuron.initial
    a, b = spikes(network, x), spikes(again, x)
    if isinstance(neuron, ss.Integrator):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    else:
        assert (a != b).float().mean() < 0.01, (a != b).float().mean()


def test_a_threshold_that_fires_when_reached_is_written_as_the_float_below() -> None:
    network = ss.Network.chain(ss.IF(1.0, reset=ss.ToValue(0.0)), input_shape=(3,))
    graph = to_nir(network)
    assert (graph.nodes["0"].v_threshold == np.nextafter(np.float32(1), np.float32(0))).all()
    x = torch.ones(4, 1, 3)
    assert torch.equal(spikes(from_nir(stripped(graph)), x), x)


def _conv1d() -> ss.Network:
    nodes = {
        "a": Reshape((2, 1, 9)),
        "c": nn.Conv2d(2, 3, (1, 4), (1, 2), (0, 1)),
        "b": Reshape((3, 4)),
        "f": nn.Flatten(),
        "n": ss.IF(0.3),
    }
    return ss.Network(nodes, [Edge(s, t) for s, t in zip(["input", *nodes], nodes)], input_shape=(2, 9))


def _branches() -> ss.Network:
    nodes = {"a": nn.Linear(6, 5), "b": nn.Linear(6, 5), "drop": nn.Dropout(), "n": ss.IF(0.4), "end": nn.Identity()}
    edges = [
        Edge("input", "a"),
        Edge("input", "b"),
        Edge("a", "n"),
        Edge("b", "drop"),
        Edge("drop", "n"),
        Edge("n", "end"),
        Edge("a", "end"),
    ]
    return ss.Network(nodes, edges, input_shape=(6,))


def _loops() -> ss.Network:
    nodes = {
        "fc": nn.Linear(6, 5),
        "n.lif": ss.LIF(0.8, 0.4),
        "n.rec": nn.Linear(5, 5),
        "far": nn.Linear(5, 4),
        "o": ss.LIF(0.7, 0.2),
    }
    edges = [
        Edge("input", "fc"), Edge("fc", "n.lif"), Edge("n.lif", "n.rec"), Edge("n.rec", "n.lif", 1), Edge("n.lif", "far", 3),
        Edge("far", "o"), Edge("o", "o", 1), Edge("n.lif", "n.lif", 2),
    ][:-2]  # fmt: skip
    return ss.Network(nodes, edges, input_shape=(6,), dt=DT)


def _maps(*layers: nn.Module) -> Callable[[], ss.Network]:
    return lambda: ss.Network.chain(
        *layers, ss.IF(0.3), nn.Flatten(), nn.Linear(_size(layers), 3), ss.IF(0.05), input_shape=(4, 8, 7)
    )


def _size(layers: tuple[nn.Module, ...]) -> int:
    x = torch.zeros(1, 4, 8, 7)
    with torch.no_grad():
        for layer in layers:
            x = x if isinstance(layer, ss.SparseLinear) else layer(x)
    return x[0].numel()


def _normed(kind: type[nn.Module], size: int) -> nn.Module:
    norm = kind(size).eval()
    norm.running_mean.uniform_(-1, 1)
    norm.running_var.uniform_(0.5, 2)
    return norm


def _shifted(shape: tuple[int, ...]) -> nn.Module:
    shift = Shift(shape)
    shift.bias.uniform_(-0.2, 0.2)
    return shift


def _sparse() -> nn.Module:
    return ss.SparseLinear.from_dense(torch.randn(5, 6) * (torch.rand(5, 6) < 0.5))


def _gain() -> nn.Module:
    gain = Gain()
    gain.gain.fill_(0.7)
    return gain


torch.manual_seed(0)
LAYERS: dict[str, Callable[[], ss.Network]] = {
    "conv": _maps(nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0))),
    "conv, groups, dilated": _maps(nn.Conv2d(4, 8, 3, padding=2, dilation=2, groups=4, bias=False)),
    "conv, same": _maps(nn.Conv2d(4, 6, (3, 2), padding="same")),
    "conv, valid": _maps(nn.Conv2d(4, 6, 3, padding="valid")),
    "sum pool": _maps(SumPool2d(2)),
    "average pool": _maps(nn.AvgPool2d((3, 2), (2, 1), 1)),
    "adaptive pool": _maps(nn.AdaptiveAvgPool2d((4, 1))),
    "sum over the map": lambda: ss.Network.chain(Reduce((2, 3), mean=False), ss.IF(2.0), input_shape=(4, 8, 7)),
    "batch norm": _maps(_normed(nn.BatchNorm2d, 4)),
    "shift": _maps(_shifted((4, 1, 1))),
    "shift and norm of vectors": lambda: ss.Network.chain(_shifted((6,)), _normed(nn.BatchNorm1d, 6), ss.IF(0.4), input_shape=(6,)),
    "gain": lambda: ss.Network.chain(_gain(), ss.IF(0.4), input_shape=(6,)),
    "scale": _maps(Scale((4, 1, 1))),
    "partial flatten": lambda: ss.Network.chain(nn.Flatten(2), ss.IF(0.4), input_shape=(4, 8, 7)),
    "conv1d": _conv1d,
    "sparse": lambda: ss.Network.chain(_sparse(), ss.IF(0.4), input_shape=(6,)),
    "branches": _branches,
    "loops and delays": _loops,
}  # fmt: skip


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_layers_and_graphs_come_back(make: Callable[[], ss.Network], tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = make().eval()
    x = drive(*network.input_shape or ())
    before = spikes(network, x)
    graph = quietly(network)
    assert before.any() and torch.equal(spikes(from_nir(graph), x), before)
    assert torch.equal(spikes(read(write_graph(graph, tmp_path / "net.nir")), x), before)


def test_conv1d_is_written_as_one_and_its_reshapes_are_not() -> None:
    graph = quietly(_conv1d())
    kinds = [type(node).__name__ for node in graph.nodes.values()]  # type: ignore[attr-defined]
    assert sorted(kinds) == ["Conv1d", "Flatten", "IF", "Input", "Output"]


def _recurrent_graph(rng: np.random.Generator) -> object:
    def full(value: float) -> np.ndarray:
        return np.full(5, value)

    cuba = nir.CubaLIF(
        tau_syn=full(0.002), tau_mem=full(0.004), r=full(3.0), v_leak=full(0.05), v_threshold=full(0.4),
        v_reset=full(-0.1), w_in=full(1.5),
    )  # fmt: skip
    nodes = {
        "in": nir.Input(input_type=np.array([4])), "fc": nir.Affine(rng.normal(size=(5, 4)), rng.normal(size=5)), "lif": cuba,
        "rec": nir.Affine(rng.normal(size=(5, 5)), rng.normal(size=5)), "out": nir.Output(output_type=np.array([5])),
    }  # fmt: skip
    edges = [("in", "fc"), ("fc", "lif"), ("lif", "rec"), ("rec", "lif"), ("lif", "out")]
    return nir.NIRGraph(nodes, edges, type_check=False)


@pytest.mark.parametrize("reset", ["value", "subtract", "none"])
@pytest.mark.parametrize("integration", ["euler", "exponential"])
def test_a_recurrent_graph_against_brute_force(reset: str, integration: str) -> None:
    """The equations of the format in float64, step by step; spikes of one step are fed back in the next."""
    graph = _recurrent_graph(np.random.default_rng(3))
    network = from_nir(graph, dt="1 ms", integration=integration, reset=reset)
    assert {(e.source, e.target) for e in network.edges if e.delay} == {("lif", "rec")}
    x = drive(4, seed=5)
    fc, rec = graph.nodes["fc"], graph.nodes["rec"]  # type: ignore[attr-defined]
    syn, mem = (dt / tau if integration == "euler" else 1 - np.exp(-dt / tau) for dt, tau in ((DT, 0.002), (DT, 0.004)))
    i, v, s = np.zeros((2, 5)), np.full((2, 5), 0.05), np.zeros((2, 5))
    expected = []
    for step in x.double().numpy():
        i = i + syn * (1.5 * (step @ fc.weight.T + fc.bias + s @ rec.weight.T + rec.bias) - i)
        v = v + mem * (3.0 * i + 0.05 - v)
        s = (v > 0.4).astype(float)
        v = {"value": np.where(s > 0, -0.1, v), "subtract": v - 0.4 * s, "none": v}[reset]
        expected.append(s)
    assert np.sum(expected) > 20
    np.testing.assert_array_equal(spikes(network, x).numpy(), np.array(expected))


def test_delays_subgraphs_and_leaky_integrators() -> None:
    """A delay that differs between neurons, a LI and a CubaLI from their rest, in a subgraph."""
    two = np.ones(2)
    inner = nir.NIRGraph(
        {
            "i": nir.Input(input_type=np.array([2])), "d": nir.Delay(np.array([0.002, 0.005])),
            "li": nir.LI(0.004 * two, 2 * two, 0.3 * two), "o": nir.Output(output_type=np.array([2])),
        },
        [("i", "d"), ("d", "li"), ("li", "o")], type_check=False,
    )  # fmt: skip
    cuba = nir.CubaLI(0.002 * two, 0.004 * two, 2 * two, 0.3 * two, 1.5 * two)
    nodes = {
        "in": nir.Input(input_type=np.array([2])),
        "sub": inner,
        "cuba": cuba,
        "out": nir.Output(output_type=np.array([2])),
    }
    graph = nir.NIRGraph(nodes, [("in", "sub"), ("sub", "out"), ("in", "cuba"), ("cuba", "out")], type_check=False)
    network, x = from_nir(graph, dt=DT), drive(2)
    late = np.stack([np.pad(x[:, :, k].numpy(), ((d, 0), (0, 0)))[: len(x)] for k, d in enumerate((2, 5))], -1)
    v, w, i, expected = np.full((2, 2), 0.3), np.full((2, 2), 0.3), np.zeros((2, 2)), []
    for now, before in zip(x.numpy(), late):
        v = v + 0.25 * (2 * before + 0.3 - v)
        i = i + 0.5 * (1.5 * now - i)
        w = w + 0.25 * (2 * i + 0.3 - w)
        expected.append(v + w)
    np.testing.assert_allclose(spikes(network, x).numpy(), np.array(expected), rtol=1e-4, atol=1e-5)
    assert "sub.li" in network.names


def test_metadata_count_only_while_the_node_is_as_it_was_written() -> None:
    network, x = ss.Network.chain(ss.LIF(0.8, 0.5), input_shape=(6,), dt=DT), drive(6)
    graph = quietly(network)
    graph.nodes["0"].v_threshold = graph.nodes["0"].v_threshold * 2  # type: ignore[attr-defined]
    again = from_nir(graph)
    assert float(again.node("0").threshold) == pytest.approx(1.0) and isinstance(
        again.node("0").reset, ss.BySubtraction
    )
    late = quietly(ss.Network.chain(ss.LIF.snntorch(0.8, 0.5), input_shape=(6,), dt=DT))
    late.nodes["0"].r = late.nodes["0"].r * 2  # type: ignore[attr-defined]
    assert from_nir(late).node("0").reset == ss.BySubtraction(delayed=True)
    halved = from_nir(quietly(network), dt=DT / 2).node("0")
    assert float(halved.leak) == pytest.approx(0.9)
    asked = from_nir(quietly(network), reset="value")
    assert asked.node("0").reset == ss.ToValue(0.0) and not torch.equal(spikes(asked, x), spikes(network, x))


def test_a_converted_network_travels_with_its_binding(tmp_path: Path) -> None:
    torch.manual_seed(1)
    ann = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 5)).eval()
    frames = torch.rand(64, 2, 8, 8) * 4
    network, _ = ss.convert(ann, calibration=frames, recipe="max")
    with pytest.warns(ForeignReading) as remarks:
        write(network, tmp_path / "net.nir", input_shape=(2, 8, 8))
    told = " ".join(str(r.message) for r in remarks)
    assert all(word in told for word in ("subtraction", "v_init", "bound(T)"))
    again, raster = read(tmp_path / "net.nir"), torch.rand(6, 3, 2, 8, 8).round()
    for x, steps in ((frames[:3], 8), (raster, None)):
        runs = [ss.run(n, x, steps=steps, engine=ss.Reference()) for n in (network, again)]
        assert torch.equal(runs[0].readout, runs[1].readout) and runs[0].output.any()
    assert {
        (node.r == 1).all() for node in quietly(network, input_shape=(2, 8, 8)).nodes.values() if hasattr(node, "r")
    } == {True}


def trace(folder: Path, name: str) -> np.ndarray:
    """(1000, 3): input spike, membrane after the step, output spike."""
    return np.loadtxt(folder / "nir" / f"lif_{name}.csv", delimiter=",")


@pytest.mark.shared_data
def test_the_traces_of_norse_and_the_exact_solution(shared_data: Path) -> None:
    graph, norse = shared_data / "nir" / "lif_norse.nir", trace(shared_data, "norse")
    x = torch.tensor(norse[:, 0], dtype=torch.float32)[:, None, None]
    run = ss.run(read(graph, dt="0.1 ms"), x, record=["1.v"], engine=ss.Reference())
    np.testing.assert_array_equal(run.output.numpy().ravel(), norse[:, 2])
    np.testing.assert_allclose(run.recording["1.v"].numpy().ravel(), norse[:, 1], atol=2e-8)
    exact = trace(shared_data, "exact")
    run = ss.run(read(graph, dt="0.1 ms", integration="exponential"), x, record=["1.v"], engine=ss.Reference())
    np.testing.assert_array_equal(run.output.numpy().ravel(), exact[:, 2])
    first = int(exact[:, 2].argmax())
    np.testing.assert_allclose(run.recording["1.v"].numpy().ravel()[:first], exact[:first, 1], atol=1e-6)


@pytest.mark.shared_data
def test_other_writers_graphs_run(shared_data: Path) -> None:
    files = [*sorted((shared_data / "nir").glob("*.nir")), shared_data / "checkpoints" / "nir_nmnist_snn.nir"]
    for path in files:
        for reset in ("value", "subtract"):
            network = read(path, dt=None if "nmnist" in path.name else "0.1 ms", reset=reset)
            x = (
                torch.rand(10, 2, *network.input_shape or (), generator=torch.Generator().manual_seed(0)) < 0.3
            ).float()
            assert spikes(network, x).shape[:2] == (10, 2)
        assert describe(path)["edges"] >= 3
