"""Every operation that `convert` takes, as a module, as a function and in an ONNX file: replayed exactly, and converging."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import pytest
import torch
from conversion.items import ITEMS, MAPS, QUANTISED, Item, function
from torch import Tensor, nn

import spikesim as ss
from spikesim.conversion import OnnxModel, layer_synchronous
from spikesim.conversion.calibration import Calibration
from spikesim.conversion.capture import capture
from spikesim.errors import ConversionError
from spikesim.layers import QuantisedReLU, TemporalDifference

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
EVERY = {**ITEMS, **QUANTISED}
BY_EXPORT = {"own gradient"}  # fx cannot trace these; torch.export takes seconds
WHOLE = {name: 1e-10 for name in EVERY} | {"fake quantisation": 1e-7}  # torch's own works with a float32 step


def off(got: Tensor, wanted: Tensor) -> float:
    return float((got - wanted).norm() / wanted.norm())


def largest(got: Tensor, wanted: Tensor) -> float:
    return float((got - wanted).abs().max() / wanted.abs().max().clamp(min=1))


def exported(item: Item, path: Path) -> OnnxModel:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(item.network(), (item.inputs(1),), str(path), dynamo=False)
    return OnnxModel(path)


@pytest.mark.parametrize("name", EVERY)
def test_the_draft_computes_what_the_model_computes(name: str) -> None:
    item = EVERY[name]
    ann, x = item.network(), item.inputs(8)
    kept = copy.deepcopy(ann.state_dict())
    with torch.no_grad():
        wanted, exact = ann(x), copy.deepcopy(ann).double()(x.double())
    single = capture(ann, x[:2], Calibration(x))
    assert largest(single.values(x)[single.output], wanted) <= 1e-4
    double = capture(ann, x[:2], Calibration(x), torch.float64)
    assert largest(double.values(x.double())[double.output], exact) <= WHOLE[name]
    assert all(torch.equal(v, kept[k]) for k, v in ann.state_dict().items())


@pytest.mark.parametrize("name", [name for name, item in EVERY.items() if item.onnx])
def test_the_onnx_file_is_read_to_the_same(name: str, tmp_path: Path) -> None:
    item = EVERY[name]
    model, x = exported(item, tmp_path / "item.onnx"), item.inputs(4)
    draft = capture(model, x[:2], Calibration(x))
    with torch.no_grad():
        wanted = item.network()(x)
        assert largest(draft.values(x)[draft.output], wanted) <= 1e-4
        assert largest(model(x), wanted) <= 1e-4


@pytest.mark.parametrize("name", ITEMS)
def test_the_network_comes_closer_as_steps_grow(name: str) -> None:
    item = ITEMS[name]
    ann, x = item.network(), item.inputs(8)
    snn, report = ss.convert(ann, calibration=x)
    with torch.no_grad():
        wanted = ann(x)
    few, many = (off(ss.run(snn, x, steps=t).readout, wanted) for t in (8, 96))
    assert many < few / 5 or many < 1e-3
    assert bool(report.float_operators) == item.floats
    kinds = [module for module in snn.modules() if isinstance(module, TemporalDifference)]
    assert len(kinds) == len(report.float_operators)


@pytest.mark.parametrize("name", QUANTISED)
def test_a_quantised_activation_is_exactly_a_neuron_at_its_number_of_steps(name: str) -> None:
    layer = QUANTISED[name]
    ann = nn.Sequential(nn.BatchNorm2d(2), Alone(layer)).eval()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ann[0].bias.data.normal_(0.3, 0.2)
        ann[0].running_var.uniform_(0.1, 0.4)
    x = layer.inputs(16) - 0.3
    draft = capture(ann, x[:2], Calibration(x))
    (levels,) = {node.module.levels for node in draft.nodes if isinstance(node.module, QuantisedReLU)}
    snn, _ = ss.convert(ann, calibration=x, recipe="max")
    with torch.no_grad():
        wanted = ann(x)
    step = float((wanted.unique()[1:] - wanted.unique()[:-1]).min())
    counted = ss.run(layer_synchronous(snn, levels), x, steps=1).readout
    run = ss.run(snn, x, steps=levels).readout
    for got in (counted, run):
        assert float(((got - wanted).abs() > step / 2).float().mean()) < 1e-3  # a level apart at a rounding's edge


class Alone(nn.Module):
    """An item without its surroundings, on two channels made four."""

    def __init__(self, item: Item) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({name: make() for name, make in item.layers.items()})
        self.operation = item.operation

    def forward(self, x: Tensor) -> Tensor:
        return self.operation(torch.cat([x, x.flip(1)], 1), **self.layers)


@pytest.mark.parametrize("operation, said", [
    (lambda x: torch.floor(4 * x), r"ann\.floor must be part of a quantised activation"),
    (lambda x: torch.round(x * 3) * x, r"ann\.round must be part of a quantised activation"),
    (lambda x: torch.fft.rfft(x).abs(), r"ann\.fft_rfft must be a supported layer"),
    (lambda x: x.sort(1)[0], r"ann\.sort must be a supported layer"),
    (lambda x: x[torch.arange(x.shape[0]).flip(0)] * 1.0, "mixes samples"),
    (lambda x: x - x.mean(0, keepdim=True), "over samples"),
    (lambda x: torch.threshold(x, 0.1, 0.0), "a threshold of 0.1 with another value"),
    (lambda x: x**2.5, "a power of 2.5"),
    (lambda x: torch.where(x > 0.5, x, 0 * x), r"ann\.gt must be a supported layer"),
])  # fmt: skip
def test_what_cannot_be_converted_is_named(operation, said: str) -> None:  # type: ignore[no-untyped-def]
    item = function(MAPS, operation)
    with pytest.raises(ConversionError, match=said) as refusal:
        ss.convert(item.network(), calibration=item.inputs(8))
    assert "\n" not in str(refusal.value)
