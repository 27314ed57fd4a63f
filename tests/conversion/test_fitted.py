"""FittedNeurons and BestOf: unsigned spikes fitted to the drive they really get."""

from __future__ import annotations

import pytest
import torch
from conversion.strangers import Residual, seeded
from torch import Tensor, nn

import spikesim as ss
from benchmarks.zoo import trained
from benchmarks.zoo_models import ZOO
from spikesim.conversion import BestOf, FittedNeurons, LightCalibration, Recipe, recipe_of
from spikesim.conversion.calibration import Calibration
from spikesim.conversion.capture import capture
from spikesim.conversion.draft import Draft
from spikesim.conversion.initial_potential import InitialPotential
from spikesim.conversion.mse_threshold import MseThreshold
from spikesim.conversion.recipe import GRAPH
from spikesim.datasets import load
from spikesim.layers.quantised import QuantisedReLU
from spikesim.readout import Mean

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
BEFORE = (*GRAPH, MseThreshold(16), InitialPotential())


def images(n: int, seed: int = 0, shape: tuple[int, ...] = (1, 12, 12)) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def draft_of(ann: nn.Module, x: Tensor) -> Draft:
    return Recipe("", BEFORE)(capture(ann.eval(), x[:2], Calibration(x)))


def test_a_trained_network_errs_less_on_inputs_it_was_not_fitted_to() -> None:
    entry = ZOO["resnet20"]
    ann, learn, held = entry.network(), entry.inputs(64, seed=1), entry.inputs(192, seed=3)
    trained(ann, entry)
    with torch.no_grad():
        wanted = ann(held)

    def off(*steps: object) -> float:
        snn, _ = ss.convert(ann, calibration=learn, steps=16, recipe=Recipe("", (*BEFORE, *steps)))  # type: ignore[arg-type]
        return float((ss.run(snn, held, steps=16).readout - wanted).norm() / wanted.norm())

    light, fitted = off(LightCalibration(16)), off(FittedNeurons(16))
    assert fitted < 0.97 * light  # about 0.27 and 0.30, by how training was rounded
    assert off(BestOf(16, ((LightCalibration(16),), (FittedNeurons(16),)))) <= 1.05 * fitted


def test_every_channel_takes_what_was_tried_and_errs_least_there() -> None:
    x = images(64)
    draft = draft_of(seeded(Residual), x)
    fitted = FittedNeurons(16)(draft)
    for before, after in zip(draft.neurons(), fitted.neurons()):
        assert before.threshold is not None and after.threshold is not None and after.current is not None
        scale = after.threshold.theta / before.threshold.theta
        assert all(round(float(s), 4) in (0.85, 1.0, 1.2) for s in scale.flatten())
        assert isinstance(after.initial, Tensor)
        assert {round(float(v), 4) for v in after.initial.flatten()} <= {-0.25, 0.0, 0.25, 0.5}
        assert 0 <= after.threshold.clipped < 0.5 and after.threshold.rate > 0
    shuffled = FittedNeurons(16)(draft_of(seeded(Residual), x[torch.randperm(64, generator=torch.Generator())]))
    for a, b in zip(fitted.neurons(), shuffled.neurons()):
        assert a.threshold is not None and b.threshold is not None and torch.equal(a.threshold.theta, b.threshold.theta)


def test_ceilings_and_trained_thresholds_stay() -> None:
    x = images(64)
    clipped = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU6(), nn.Flatten(), nn.Linear(400, 3))
    clipped[0].weight.data *= 40
    found = FittedNeurons(16)(draft_of(clipped, x)).neurons()[0].threshold
    assert found is not None and float(found.theta.max()) <= 6 + 1e-5
    trained = nn.Sequential(nn.Conv2d(1, 4, 3), QuantisedReLU(8, (4, 1, 1)), nn.Flatten(), nn.Linear(400, 3))
    trained[1].threshold.data *= torch.tensor([0.3, 0.5, 0.7, 0.9]).reshape(4, 1, 1)
    after = FittedNeurons(8)(draft_of(trained, x)).neurons()[0].threshold
    assert after is not None and torch.allclose(after.theta, trained[1].threshold)


def test_the_way_and_the_readout_that_err_least_are_taken() -> None:
    x, ann = images(64), seeded(Residual).eval()
    ways = ((LightCalibration(16),), (FittedNeurons(16),))
    found, _ = ss.convert(ann, calibration=x, steps=16, recipe=Recipe("", (*BEFORE, BestOf(16, ways))))
    off = {}
    with torch.no_grad():
        wanted = ann(x)
        for i, way in enumerate(ways):
            snn, _ = ss.convert(ann, calibration=x, steps=16, recipe=Recipe("", (*BEFORE, *way)))
            output = ss.run(snn, x, steps=16).output
            off |= {(i, k): float((output[k:].mean(0) - wanted).norm()) for k in (0, 2, 4, 6)}
        mine = float((ss.run(found, x, steps=16).readout - wanted).norm())
    assert mine == pytest.approx(min(off.values()), rel=1e-4)
    assert getattr(found.readout, "skip", 0) == min(off, key=off.__getitem__)[1]


def test_recordings_are_read_whole() -> None:
    data = load("digits").subset(range(64))
    ann = nn.Sequential(nn.Flatten(), nn.Linear(2312, 16), nn.ReLU(), nn.Linear(16, 10)).eval()
    snn, _ = ss.convert(ann, calibration=data, steps=8, recipe="binary")
    assert isinstance(snn.readout, Mean)


def test_wrong_steps_are_refused() -> None:
    with pytest.raises(ss.errors.ParameterError, match=r"FittedNeurons\.steps"):
        FittedNeurons(0)
    with pytest.raises(ss.errors.ParameterError, match=r"BestOf\.steps"):
        BestOf(0, ((FittedNeurons(8),),))
    with pytest.raises(ss.errors.ParameterError, match=r"BestOf\.ways must be one or more"):
        BestOf(8, ())
    assert any(isinstance(step, BestOf) for step in recipe_of("binary", 8).steps)
