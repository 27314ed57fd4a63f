"""convert: names, recipes, report, kinds of calibration data, and every refusal."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import torch
from conversion.strangers import Functional, Lenet, ReluLast, Shared, Vgg, seeded
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import spikesim as ss
from spikesim.conversion import RECIPES, InitialPotential, Recipe, ThresholdBalance
from spikesim.errors import ConversionError, ParameterError, ShapeError
from spikesim.layers.pool import CumulativeMaxPool2d
from spikesim.layers.quantised import QuantisedReLU
from spikesim.layers.scale import Scale

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def inputs(n: int = 8, *shape: int, seed: int = 0) -> Tensor:
    return torch.rand(n, *(shape or (1, 12, 12)), generator=torch.Generator().manual_seed(seed))


def mlp(*layers: nn.Module) -> nn.Sequential:
    ann = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), *(layers or (nn.ReLU(), nn.Linear(3, 2)))).eval()
    ann[1].weight.data = torch.tensor([[1.0, -1, 0.5, 0.2], [-0.5, 1, 1, -1], [0.3, 0.3, -1, 1]])
    ann[1].bias.data = torch.tensor([0.1, -0.1, 0.2])
    return ann


def test_nodes_keep_the_users_names_and_weights_their_keys() -> None:
    ann = seeded(Vgg)
    snn, _ = ss.convert(ann, calibration=inputs())
    assert isinstance(snn.node("features.2"), ss.SignedIF) and isinstance(snn.node("features.4.2"), ss.SignedIF)
    assert isinstance(snn.node("features.3"), CumulativeMaxPool2d)
    assert [e.target for e in snn.edges if e.source == "features.3"] == ["features.2"]
    folded = ("features.1", "features.4.1")
    weights = {k for k in ann.state_dict() if k.endswith("weight") and not k.startswith(folded)}
    assert len(weights) == 4 and weights <= set(snn.state_dict())
    assert "features.1" not in snn.names and "classifier.2" not in snn.names
    assert snn.input_shape == (1, 12, 12) and isinstance(snn.readout, ss.Mean)


def test_functional_and_repeated_activations_get_names_of_their_own() -> None:
    snn, report = ss.convert(seeded(Functional), calibration=inputs())
    assert [layer.node for layer in report.layers] == ["relu", "relu_1", "relu_2"]
    snn, report = ss.convert(seeded(Shared), calibration=inputs())
    assert [layer.node for layer in report.layers] == ["act", "act_1", "relu"]
    assert [layer.path for layer in report.layers] == ["act", "act", "relu"]
    assert not torch.equal(snn.node("mid").weight, snn.node("mid_1").weight)  # each took in its own amplitudes


def test_a_last_activation_is_put_back_into_the_anns_units() -> None:
    snn, report = ss.convert(seeded(ReluLast), calibration=inputs())
    assert isinstance(snn.node(snn.output), Scale) and len(report.layers) == 2


def test_entry_nodes_are_those_up_to_the_first_neurons() -> None:
    snn, _ = ss.convert(seeded(Lenet), calibration=inputs(), recipe="percentile", steps=8)
    assert snn.conversion == ss.network.Conversion(("1",), ("2",), None, "percentile")
    theta = snn.node("2").threshold
    assert torch.allclose(snn.bound(4).node("2").threshold, theta / 4)
    assert torch.equal(snn.bound(4).node("5").threshold, snn.node("5").threshold)


def test_average_pools_become_sums_only_where_values_are_whole() -> None:
    whole, _ = ss.convert(seeded(Lenet), calibration=inputs().round())
    graded, _ = ss.convert(seeded(Lenet), calibration=inputs())
    assert type(whole.node("0")).__name__ == "SumPool2d" and type(graded.node("0")).__name__ == "AvgPool2d"
    assert type(graded.node("3")).__name__ == "SumPool2d"
    assert torch.allclose(whole.node("1").weight * 4, graded.node("1").weight)
    ragged = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.AvgPool2d(5, ceil_mode=True), nn.Flatten())
    snn, _ = ss.convert(ragged, calibration=inputs())
    assert type(snn.node("2")).__name__ == "AvgPool2d"


def test_a_max_pool_of_spikes_is_exact_in_the_limit() -> None:
    ann = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AvgPool2d(2), nn.MaxPool2d(2), nn.Flatten()).eval()
    x = inputs()
    snn, _ = ss.convert(ann, calibration=x)
    wanted = ann(x).detach()
    errors = [float((ss.run(snn, x, steps=t).readout - wanted).norm() / wanted.norm()) for t in (32, 512)]
    assert errors[1] < errors[0] / 8 and errors[1] < 0.01


def test_every_form_of_calibration_data_gives_the_same_network() -> None:
    x, labels, ann = inputs(80), torch.zeros(80, dtype=torch.int64), seeded(Vgg)

    class Recordings:
        def frames(self) -> tuple[Tensor, Tensor]:
            return x, labels

    pairs = TensorDataset(x, labels)
    forms = [x, x.numpy(), (x, labels), [x[:50], x[50:]], [(x[:3], labels[:3]), (x[3:], labels[3:])], pairs,
             DataLoader(pairs, 7), (part for part in x.split(9)), Recordings()]  # fmt: skip
    networks = [ss.convert(ann, calibration=form) for form in forms]
    wanted = networks[0][0].state_dict()
    for network, report in networks:
        assert report.calibrated == 80
        assert all(torch.allclose(v, wanted[k], rtol=1e-6) for k, v in network.state_dict().items())
        assert torch.equal(network.calibration, x[:32])


@pytest.mark.parametrize("recipe", ["auto", "signed", "levels", "binary", "advanced", "cos", "max"])
def test_thresholds_are_the_maxima_with_headroom_and_start_at_one_half(recipe: str) -> None:
    ann, x = mlp(), inputs(40, 4)
    snn, report = ss.convert(ann, calibration=x, recipe=recipe)
    peak = ann[:3](x).amax(0).detach() * (1.0 if recipe == "max" else 1.02)
    live, neuron = peak > 0, snn.node("2")
    assert torch.allclose(neuron.threshold[live] * getattr(neuron, "peak", 1), peak[live])
    assert torch.allclose(neuron.initial, neuron.threshold / 2)
    assert report.layers[0].clipped == 0


def test_a_layers_error_is_what_was_handed_on_and_what_it_added() -> None:
    x, quantised = inputs(64, 4), QuantisedReLU(8)
    ann = nn.Sequential(nn.Linear(4, 8), nn.ReLU6(), nn.Linear(8, 6), quantised, nn.Linear(6, 3)).eval()
    ann[0].weight.data *= 20
    first, second = ss.convert(ann, calibration=x, steps=8, recipe="max")[1].layers
    assert first.inherited < 1e-6 and second.inherited > 0
    assert first.clipping < 1e-6 and second.clipping == 0  # their activations have these ceilings themselves
    assert second.quantisation < 1e-6  # 8 levels are what 8 steps can say
    for layer in (first, second):
        parts = layer.inherited, layer.clipping, layer.quantisation, layer.unevenness
        assert max(parts) - sum(parts) + max(parts) - 1e-6 <= layer.error <= sum(parts) + 1e-6
    assert "before" in str(ss.convert(ann, calibration=x)[1])


def test_headroom_leaves_trained_thresholds_and_ceilings() -> None:
    ann, x = nn.Sequential(nn.Linear(4, 8), nn.ReLU6(), nn.Linear(8, 3)), inputs(40, 4)
    ann[0].weight.data *= 20
    neuron = ss.convert(ann.eval(), calibration=x)[0].node("1")
    peak = ann[:2](x).amax(0).detach()
    assert bool((peak == 6).any()) and bool(((peak > 0) & (peak < 6 / 1.02)).any())
    live = peak > 0
    assert torch.allclose(neuron.threshold[live], (1.02 * peak[live]).clamp(max=6))
    ann[1] = QuantisedReLU(8)
    snn, _ = ss.convert(ann, calibration=x)
    assert torch.equal(snn.node("1").threshold, torch.ones(8))


def test_a_percentile_clips_that_share_of_the_non_zero_activations() -> None:
    ann, x = mlp(), inputs(4000, 4, seed=3)
    recipe = Recipe("ninety", (ThresholdBalance(90.0), InitialPotential(0.0)))
    snn, report = ss.convert(ann, calibration=x, recipe=recipe)
    a = ann[:3](x).detach()
    theta = snn.node("2").threshold
    live = a.amax(0) > 0
    clipped = float((a > theta)[:, live].sum() / (a > 0).sum())
    assert clipped == pytest.approx(report.layers[0].clipped, abs=2e-3) and 0.08 < clipped <= 0.1
    for channel in live.nonzero()[:, 0].tolist():
        exact = float(np.quantile(a[:, channel][a[:, channel] > 0], 0.9))
        assert float(theta[channel]) == pytest.approx(exact, rel=0.03)
    assert report.recipe == "ninety" and not snn.node("2").initial.any()


def test_the_report_covers_every_activation_and_is_plain_data() -> None:
    snn, report = ss.convert(seeded(Vgg), calibration=inputs(70), steps=16)
    spiking = {name for name, module in snn.nodes.items() if isinstance(module, ss.SignedIF)}
    assert {layer.node for layer in report.layers} == spiking
    assert report.steps == report.tuned == 16 and 0 < report.output_error < 0.5
    for layer in report.layers:
        low, median, high = layer.threshold
        assert 0 < low <= median <= high and 0 < layer.rate < 1 and 0 < layer.error < 1
    assert json.loads(json.dumps(report.to_json()))["layers"][0]["node"] == "features.2"
    assert max(map(len, str(report).splitlines()[:-1])) <= 100 and "classifier.1" in str(report)


def test_the_reported_error_is_the_networks_error() -> None:
    ann, x = seeded(Vgg).eval(), inputs(8)
    snn, report = ss.convert(ann, calibration=x, steps=20)
    run, wanted = ss.run(snn, x, steps=20), ann(x).detach()
    assert float((run.readout - wanted).norm() / wanted.norm()) == pytest.approx(report.output_error, rel=1e-4)


def test_few_inputs_and_silent_channels_are_warned_about() -> None:
    ann = mlp()
    ann[1].bias.data[0] = -100.0
    with pytest.warns(UserWarning, match="only 8 calibration inputs"):
        snn, report = ss.convert(ann, calibration=inputs(8, 4))
    assert any("1 of 3 channels" in line for line in report.warnings) and "warning" in str(report)
    assert bool((snn.node("2").threshold > 0).all())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ss.convert(nn.Sequential(nn.BatchNorm1d(4), nn.ReLU()), calibration=inputs(64, 4))


def test_recipes_are_names_or_objects() -> None:
    for name in RECIPES:
        for steps in (None, 6):
            assert ss.convert(mlp(), calibration=inputs(8, 4), recipe=name, steps=steps)[1].recipe == name
    with pytest.raises(ParameterError, match=r"convert\.recipe must be .* got percentil; did you mean percentile"):
        ss.convert(mlp(), calibration=inputs(8, 4), recipe="percentil")
    with pytest.raises(ConversionError, match=r"ann\.2 must be given a threshold"):
        ss.convert(mlp(), calibration=inputs(8, 4), recipe=Recipe("none", ()))


class Noisy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(nn.functional.dropout(x))  # active in eval mode too


class OnData(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x) if x.sum() > 0 else x


class TwoOutputs(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.relu(x), x


def _poisoned() -> nn.Module:
    ann = mlp()
    ann[3].weight.data[0, 1] = float("nan")
    return ann


REFUSED: dict[str, tuple[nn.Module, str]] = {
    "RReLU": (mlp(nn.RReLU(), nn.ReLU()), r"^ann\.2 must be a supported layer, got RReLU; supported: convolutions"),
    "all of them": (mlp(nn.RReLU(), nn.ReLU(), nn.Hardshrink()), r"ann\.2 .* got RReLU, and Hardshrink at ann\.4; supp"),
    "no activation": (mlp(nn.Linear(3, 3)), r"ann must be a network with ReLU activations, got none"),
    "not finite": (_poisoned(), r"ann\.3\.weight must be finite, got nan"),
    "batch statistics": (mlp(nn.BatchNorm1d(3, track_running_stats=False), nn.ReLU()), r"ann\.2 .* got BatchNorm1d"),
    "noise": (Noisy(), r"ann\.dropout must be a supported layer"),
    "branch on data": (OnData(), r"ann\.forward must be traceable"),
    "two outputs": (TwoOutputs(), r"ann\.forward must be a function with one tensor as result, got tuple"),
    "lazy": (nn.Sequential(nn.LazyLinear(3), nn.ReLU()), r"ann\.0\.weight must be initialised"),
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_a_network_that_cannot_be_converted_is_refused_in_one_line(case: str) -> None:
    ann, said = REFUSED[case]
    with pytest.raises(ConversionError, match=said) as refusal:
        ss.convert(ann, calibration=inputs(8, 4))
    assert "\n" not in str(refusal.value)


def test_calibration_of_the_wrong_shape_names_both_shapes() -> None:
    with pytest.raises(ShapeError, match=r"reach ann\.conv1 as \(N, 1, H, W\), got \(N, 3, 12, 12\)"):
        ss.convert(seeded(Functional), calibration=inputs(8, 3, 12, 12))
    with pytest.raises(ShapeError, match=r"reach ann\.1 as \(N, 4\), got \(N, 5\)"):
        ss.convert(mlp(), calibration=inputs(8, 5))
    with pytest.raises(ShapeError, match="in every batch"):
        ss.convert(mlp(), calibration=[inputs(40, 4), inputs(40, 5)])
    with pytest.raises(ShapeError, match="as the example"):
        ss.convert(mlp(), calibration=inputs(8, 4), example=inputs(2, 5))
    with pytest.raises(ShapeError, match=r"one sample needs x\[None\]"):
        ss.convert(mlp(), calibration=inputs(4, 1)[:, 0])


def _with_nan(n: int, where: int) -> Tensor:
    x = inputs(n, 4)
    x[where, 2] = float("nan")
    return x


@pytest.mark.parametrize("calibration, said", [
    (torch.zeros(0, 4), "at least one input, got none"),
    ([], "at least one input, got none"),
    (_with_nan(8, 3), r"finite, got nan at \(3, 2\)"),
    ([inputs(40, 4), _with_nan(40, 39)], r"finite, got nan at \(39, 2\)"),
    (7, "a tensor .* got int"),
])  # fmt: skip
def test_calibration_data_that_cannot_be_used_is_refused(calibration: object, said: str) -> None:
    with pytest.raises(ParameterError, match=rf"convert\.calibration must be {said}"):
        ss.convert(mlp(), calibration=calibration)


def test_steps_and_ann_are_checked() -> None:
    for steps in (0, -1, 2.5, True):
        with pytest.raises(ParameterError, match=r"convert\.steps"):
            ss.convert(mlp(), calibration=inputs(8, 4), steps=steps)
    with pytest.raises(ParameterError, match=r"convert\.ann must be a torch\.nn\.Module"):
        ss.convert(lambda x: x, calibration=inputs(8, 4))  # type: ignore[arg-type]
