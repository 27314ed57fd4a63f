"""Laws of conversion: the network becomes its ANN as T grows, nothing of the user's changes, order does not matter."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from conversion.strangers import STRANGERS, Functional, Lenet, NormAfter, Residual, Vgg, seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import spikesim as ss
from spikesim.conversion import RECIPES, FoldBatchNorm, PoolBeforeNeuron, recipe_of
from spikesim.conversion.calibration import Calibration
from spikesim.conversion.capture import capture

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
QUICK = [kind for kind in STRANGERS if kind.__name__ != "Asserting"]  # torch.export alone takes seconds


def counts(n: int = 8, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.poisson(2 * torch.rand(n, 1, 12, 12, generator=draw), generator=draw)


def off(got: Tensor, wanted: Tensor) -> float:
    return float((got - wanted).norm() / wanted.norm())


def slope(steps: list[int], errors: list[float]) -> float:
    return float(np.polyfit(np.log(steps), np.log(errors), 1)[0])


@pytest.mark.parametrize("kind", QUICK)
def test_the_mean_output_becomes_the_anns_as_one_over_t(kind: type[nn.Module]) -> None:
    ann, x, steps = seeded(kind).eval(), counts(96), [64, 128, 256, 512, 1024]
    snn, _ = ss.convert(ann, calibration=x)
    with torch.no_grad():
        wanted = ann(x)
    errors = [off(ss.run(snn, x, steps=t).readout, wanted) for t in steps]
    assert slope(steps, errors) <= -0.9
    assert errors[-1] < 0.005


@pytest.mark.parametrize("kind", [Lenet, Residual, NormAfter])
def test_whole_counts_spread_evenly_over_a_raster_become_the_anns_answer(kind: type[nn.Module]) -> None:
    ann, steps = seeded(kind).eval(), [32, 64, 128, 256]
    frames = 256 * counts(96)
    snn, _ = ss.convert(ann, calibration=frames)
    with torch.no_grad():
        wanted = ann(frames)
    errors = []
    for t in steps:
        raster = (frames / t).expand(t, *frames.shape)
        assert torch.equal(raster, raster.round())
        errors.append(off(ss.run(snn, raster).readout, wanted))
    assert slope(steps, errors) <= -0.9


@pytest.mark.parametrize("kind", [Functional, NormAfter])
def test_charge_reaching_the_first_neurons_does_not_depend_on_when_events_come(kind: type[nn.Module]) -> None:
    ann, frames, steps = seeded(kind).eval(), counts(), 16
    snn, _ = ss.convert(ann, calibration=frames)
    when = torch.randint(steps, frames.shape, generator=torch.Generator().manual_seed(1))
    raster = torch.zeros(steps, *frames.shape).scatter_(0, when[None], frames[None])
    before = next(e.source for e in snn.edges if e.target == snn.conversion.entry_neurons[0])
    total = ss.run(snn, raster, record=[before]).recording[before].sum(0)
    shown = ss.run(snn, frames, steps=1, record=[before]).recording[before][0]
    assert torch.allclose(total, shown, atol=1e-4)


@pytest.mark.parametrize("kind", QUICK)
def test_clipped_thresholds_converge_to_the_clipped_ann(kind: type[nn.Module]) -> None:
    x = counts(64)
    draft = recipe_of("percentile")(capture(seeded(kind).eval(), x[:2], Calibration(x)))
    snn, report = ss.convert(seeded(kind), calibration=x, recipe="percentile")
    thetas = {n.name: n.threshold.theta for n in draft.neurons() if n.threshold is not None}
    values = {"input": x[:8]}
    for node in draft.nodes:
        value = node.module(torch.stack([values[s] for s in node.sources]).sum(0))
        values[node.name] = torch.minimum(value, thetas[node.name]) if node.name in thetas else value
    with torch.no_grad():
        assert off(ss.run(snn, x[:8], steps=512).readout, values[draft.output]) < 0.012
    assert all(layer.clipped <= 0.05 for layer in report.layers)


@pytest.mark.parametrize("kind", STRANGERS)
def test_capture_folding_and_pooling_keep_the_anns_function(kind: type[nn.Module]) -> None:
    ann, x = seeded(kind).eval(), counts()
    draft = capture(ann, x[:2], Calibration(x))
    with torch.no_grad():
        wanted = ann(x)
    for step in (FoldBatchNorm(), PoolBeforeNeuron()):
        draft = step(draft)
        assert torch.allclose(draft.values(x)[draft.output], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", QUICK)
def test_the_users_model_and_data_stay_as_they_were(kind: type[nn.Module]) -> None:
    ann, x = seeded(kind).train(), counts()
    kept, kept_x, drawn = copy.deepcopy(ann.state_dict()), x.clone(), torch.random.get_rng_state()
    flags = [(module.training, len(module._forward_hooks)) for module in ann.modules()]
    asked = [p.requires_grad for p in ann.parameters()]
    snn, _ = ss.convert(ann, calibration=x)
    assert [(module.training, len(module._forward_hooks)) for module in ann.modules()] == flags
    assert [p.requires_grad for p in ann.parameters()] == asked
    assert all(torch.equal(v, kept[k]) for k, v in ann.state_dict().items())
    assert all(p.grad is None for p in ann.parameters())
    assert torch.equal(x, kept_x) and torch.equal(torch.random.get_rng_state(), drawn)
    mine = {p.data_ptr() for p in ann.parameters()}
    assert not mine & {p.data_ptr() for p in snn.parameters()}
    assert not snn.training and not any(p.requires_grad for p in snn.parameters())


@settings(max_examples=8, deadline=None)
@given(order=st.permutations(range(5)), cut=st.integers(1, 80), recipe=st.sampled_from(sorted(RECIPES)))
def test_order_and_batches_of_the_calibration_data_do_not_matter(order: list[int], cut: int, recipe: str) -> None:
    x, ann = counts(80), seeded(Vgg)
    wanted, _ = ss.convert(ann, calibration=x, recipe=recipe)
    parts = [part for i in order for part in x.chunk(5)[i].split(cut)]
    got, report = ss.convert(ann, calibration=parts, recipe=recipe)
    assert report.calibrated == 80
    for key, value in wanted.state_dict().items():
        assert torch.allclose(value, got.state_dict()[key], rtol=1e-6), key


def test_conversion_is_deterministic() -> None:
    x = counts(70)
    (a, first), (b, second) = (ss.convert(seeded(Vgg), calibration=x) for _ in range(2))
    assert first == second
    assert all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


def test_spikes_and_pooled_counts_stay_whole() -> None:
    frames = counts()
    snn, _ = ss.convert(seeded(Lenet), calibration=frames, recipe="max")
    pools = ["0", "3", "6"]
    seen = ss.run(snn, frames, steps=8, record=[*pools, "2", "5"]).recording
    assert all(isinstance(snn.node(name), ss.layers.SumPool2d) for name in pools)
    assert all(torch.equal(seen[name], seen[name].round()) for name in pools)
    assert all(set(seen[name].unique().tolist()) <= {0.0, 1.0} for name in ("2", "5"))


def test_a_converted_network_survives_saving(tmp_path) -> None:  # type: ignore[no-untyped-def]
    frames = counts()
    snn, _ = ss.convert(seeded(NormAfter), calibration=frames)
    again = ss.load(ss.save(snn, tmp_path / "net"))
    assert again.conversion == snn.conversion
    assert torch.equal(ss.run(again, frames[None]).readout, ss.run(snn, frames[None]).readout)
    assert torch.equal(again.calibration, frames)
