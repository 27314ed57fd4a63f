"""Fifteen strangers (`benchmarks/zoo_models.py`): all convert, and the piecewise-linear ones lose nothing as T grows."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from conversion import strangers
from conversion.items import QUANTISED
from conversion.strangers import seeded
from torch import Tensor, nn

import spikesim as ss
from benchmarks.zoo_models import DIGIT, IMAGE, ZOO
from spikesim.conversion import layer_synchronous, recipe_of
from spikesim.conversion.calibration import Calibration
from spikesim.conversion.capture import capture
from spikesim.conversion.oracle import Count
from spikesim.execution import EventDriven
from spikesim.neurons import Neuron

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
STEPS = (64, 128, 256, 512, 1024)
LOSSLESS = [name for name, entry in ZOO.items() if entry.lossless]
DEEP = {
    "resnet20",
    "vgg11_bn",
    "densenet",
    "unet",
    "inception",
}  # long sweeps of these are `python -m benchmarks zoo`'s
SHALLOW = [name for name in LOSSLESS if name not in DEEP]
SEVERAL = {"asserting": 8, "audio": 8, "inception": 8}
"""Inputs of networks whose errors on two inputs fall and rise by chance; two are enough for the others."""
TOO_DEEP = pytest.mark.xfail(strict=True, reason="0.00205 at T = 1024: above the bar of 0.002")
APART = pytest.mark.xfail(strict=True, reason="91.4 (mobilenet_v2) and 98.6 % (leaky) within one count")
"""Bars that are missed, see docs/conversion.md: deep or branching networks with random weights."""


def among(names: list[str], missed: set[str], mark: pytest.MarkDecorator) -> list[object]:
    return [pytest.param(name, marks=mark) if name in missed else name for name in names]


def off(got: Tensor, wanted: Tensor) -> float:
    return float((got - wanted).norm() / wanted.norm())


def errors_by_steps(snn: ss.Network, x: Tensor, wanted: Tensor) -> list[float]:
    """Errors at every T of `STEPS`, from one run: the network is the same for all of them."""
    sums = ss.run(snn, x, steps=STEPS[-1]).output.cumsum(0, dtype=torch.float64)
    return [off(sums[t - 1] / t, wanted) for t in STEPS]


def slope(steps: tuple[int, ...], errors: list[float]) -> float:
    return float(np.polyfit(np.log(steps), np.log(errors), 1)[0])


@pytest.mark.parametrize("name", ZOO)
def test_the_draft_is_the_model_and_the_model_stays_as_it_was(name: str) -> None:
    ann, x = ZOO[name].network(), ZOO[name].inputs(4)
    with torch.no_grad():
        wanted = ann(x)
    training = name != "onnx_mnist8"
    ann.train(training)
    kept = copy.deepcopy(ann.state_dict())
    draft = capture(ann, x[:2], Calibration(x))
    assert float((draft.values(x)[draft.output] - wanted).abs().max() / wanted.abs().max()) <= 1e-4
    assert ann.training is training and all(torch.equal(v, kept[k]) for k, v in ann.state_dict().items())
    if name == "onnx_mnist8":  # a file says float32
        return
    double, exact = copy.deepcopy(ann).double().eval(), x.double()
    draft = capture(double, x[:2], Calibration(x), torch.float64)
    with torch.no_grad():
        wanted = double(exact)
    assert float((draft.values(exact)[draft.output] - wanted).abs().max() / wanted.abs().max()) <= 1e-10


@pytest.mark.parametrize("name", ZOO)
def test_every_one_converts_and_comes_closer(name: str) -> None:
    ann, x = ZOO[name].network(), ZOO[name].inputs(SEVERAL.get(name, 2))
    snn, report = ss.convert(ann, calibration=x)
    with torch.no_grad():
        wanted = ann(x)
    few, many = (off(ss.run(snn, x, steps=t).readout, wanted) for t in (8, 64))
    assert many < few / 3 and report.layers
    softmax = name in ("mnist", "audio")
    assert bool(report.float_operators) == (softmax or name in ("mlp", "vit"))


def _gelu() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(144, 16), nn.ReLU(), nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 5))


def _linear_bn() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(144, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 5))


def _stranger(kind: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: seeded(kind)  # type: ignore[arg-type]


SMALL = (1, 12, 12)
ELSEWHERE_REFUSED_OR_LOSSY: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "ResNet with a max pool in its stem": (ZOO["resnet20"].network, IMAGE),
    "functional calls": (_stranger(strangers.Functional), SMALL),
    "ReLU6 and depthwise": (ZOO["mobilenet_v2"].network, IMAGE),
    "LeakyReLU": (ZOO["leaky"].network, IMAGE),
    "GELU": (_stranger(_gelu), SMALL),
    "branch on shape": (_stranger(strangers.Asserting), SMALL),
    "Linear and BatchNorm1d": (_stranger(_linear_bn), SMALL),
    "BatchNorm after ReLU": (_stranger(strangers.NormAfter), SMALL),
    "clip and quantise by hand": (QUANTISED["qcfs"].network, (2, 8, 8)),
    "concat and upsample": (ZOO["unet"].network, IMAGE),
    "Proxy size and view": (ZOO["snntorch"].network, DIGIT),
    "shared in-place ReLU": (_stranger(strangers.Shared), SMALL),
}
"""What other converters were seen to refuse, or to convert into something that gets worse with T."""


@pytest.mark.parametrize("case", ELSEWHERE_REFUSED_OR_LOSSY)
def test_what_others_refuse_converts(case: str) -> None:
    build, shape = ELSEWHERE_REFUSED_OR_LOSSY[case]
    ann, x = build().eval(), torch.rand(4, *shape, generator=torch.Generator().manual_seed(0))
    snn, report = ss.convert(ann, calibration=x)
    wanted = ann(x).detach()
    few, many = (off(ss.run(snn, x, steps=t).readout, wanted) for t in (8, 64))
    assert report.layers
    assert many < few / 2.5 or case.startswith("clip and")  # its limit is the activation without its steps


@pytest.mark.parametrize("name", among(SHALLOW, {"mobilenet_v2"}, TOO_DEEP))
def test_nothing_is_lost_as_steps_grow(name: str) -> None:
    ann, x = ZOO[name].network(), ZOO[name].inputs(32)
    with torch.no_grad():
        wanted = ann(x)
    signed, _ = ss.convert(ann, calibration=x)
    errors = errors_by_steps(signed, x, wanted)
    assert errors[-1] <= 2e-3
    assert slope(STEPS, errors) <= -0.9
    binary, _ = ss.convert(ann, calibration=x, recipe="max")
    assert off(ss.run(binary, x[:4], steps=1024).readout, wanted[:4]) <= 2e-2


@pytest.mark.parametrize("name", ["timm", "inception", "asserting", "leaky"])
def test_percentiles_converge_to_the_clipped_ann(name: str) -> None:
    ann, x = ZOO[name].network(), ZOO[name].inputs(16)
    draft = recipe_of("percentile")(capture(ann, x[:2], Calibration(x)))
    snn, _ = ss.convert(ann, calibration=x, recipe="percentile")
    thetas = {n.name: n.threshold.theta for n in draft.neurons() if n.threshold is not None}
    values = {"input": x}
    with torch.no_grad():
        for node in draft.nodes:
            parts = [values[source] for source in node.sources]
            joined = getattr(node.module, "joins", False)
            y = node.module(*parts) if joined else node.module(sum(parts[1:], parts[0]))
            values[node.name] = torch.minimum(y, thetas[node.name]) if node.name in thetas else y
    errors = errors_by_steps(snn, x, values[draft.output])
    assert slope(STEPS, errors) <= -0.9 and errors[-1] <= 2e-2


@pytest.mark.parametrize("name", among(SHALLOW, {"mobilenet_v2", "leaky"}, APART))
def test_counts_of_the_closed_form_and_of_the_event_engine(name: str) -> None:
    ann, x = ZOO[name].network(), ZOO[name].inputs(2)
    snn, _ = ss.convert(ann, calibration=x)
    neurons = {n: m for n, m in snn.nodes.items() if isinstance(m, Neuron)}
    for steps in (1, 2, 5, 16):
        oracle = layer_synchronous(snn, steps)
        sources = {name: [e.source for e in oracle.edges if e.target == name] for name in neurons}
        seen = ss.run(
            oracle, x, steps=1, record=[*neurons, *{s for part in sources.values() for s in part} - {"input"}]
        )
        values = {"input": x[None], **seen.recording}
        for name_, neuron in neurons.items():
            assert isinstance(oracle.node(name_), Count)
            z = torch.stack([values[s] for s in sources[name_]]).sum(0)
            wanted = torch.floor((z * steps + neuron.initial) / neuron.threshold).clamp(0, steps)
            assert torch.equal(torch.round(seen.recording[name_] * steps), wanted)
    totals = ss.run(snn, x, steps=16, record=list(neurons), engine=EventDriven()).recording
    apart = torch.cat([(totals[n].sum(0) - seen.recording[n][0] * 16).abs().flatten() for n in neurons])
    assert float((apart <= 1.001).float().mean()) >= 0.99
