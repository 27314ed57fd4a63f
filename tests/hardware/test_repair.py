"""Repair: each way on a chip that needs it, none on a chip that does not, and what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import spikesim as ss
from spikesim import hardware
from spikesim.datasets.base import ArrayDataset
from spikesim.errors import ParameterError
from spikesim.hardware.converters.uniform import ADC
from spikesim.hardware.faults.base import Faults
from spikesim.hardware.macro import Macro
from spikesim.hardware.mappings.differential import Mapping as Pairs
from spikesim.hardware.mappings.offset import Mapping as Offset
from spikesim.hardware.repair.remapping import compensated
from spikesim.training import TensorBatches, Training

STEPS = 8
WAYS = (hardware.Remapping(), hardware.Ranges(), hardware.Offsets(), hardware.Statistics())


@cache
def problem() -> tuple[ss.Network, ArrayDataset, ArrayDataset]:
    """Four classes of 8 x 8 patterns in noise: a trained, converted convolutional network; training and test images."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.rand(4, 1, 8, 8, generator=generator)
    labels = torch.randint(0, 4, (600,), generator=generator)
    x = (patterns[labels] + 0.45 * torch.randn(600, 1, 8, 8, generator=generator)).clamp(0, 2)
    torch.manual_seed(0)
    ann = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 4)
    )
    optimiser = torch.optim.Adam(ann.parameters(), 5e-3)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(ann(x[:300]), labels[:300]).backward()
        optimiser.step()
    network, _ = ss.convert(ann.eval(), calibration=x[:64], steps=STEPS, recipe="signed")
    data = ArrayDataset(x, labels.numpy())
    return network, data.subset(range(300)), data.subset(range(300, 600))


def counting() -> tuple[ss.Network, Tensor]:
    """A network of counts, not bound to a T, and its calibration inputs."""
    torch.manual_seed(0)
    x = torch.poisson(torch.full((32, 6), 3.0))
    ann = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    return ss.convert(ann, calibration=x, steps=16, recipe="signed")[0], x


def base(**changes: object) -> Macro:
    """Exact cells and eight-bit converters, and what is to be repaired."""
    ideal = hardware.load_macro("ideal")
    return ideal.varied(adc=ADC(8), rows=64, columns=64, **changes)


def deployed(macro: Macro, seed: int = 0) -> hardware.Chip:
    return hardware.deploy(problem()[0], macro, seeds=ss.Seeds(seed))


def error(chip: hardware.Chip) -> float:
    """Root mean square of what the readout of the test images is off by, without read noise."""
    network, _, test = problem()
    with torch.inference_mode():
        wanted = ss.run(network, test.x, steps=STEPS).readout
        found = ss.run(chip.watched(hardware.Tally(), quiet=True), test.x, steps=STEPS).readout
    return float((found - wanted).square().mean().sqrt())


def said(chip: hardware.Chip) -> Tensor:
    return ss.run(chip, problem()[2].x[:40], steps=STEPS).output


def test_nothing_to_repair_nothing_changed() -> None:
    """A chip without error, noise and conversion gives the same bits after all ways, and needs no multiplications. (Whole
    inputs: others are rounded by their drivers, which is an error to correct.)"""
    network, x = counting()
    chip = hardware.deploy(network, hardware.load_macro("ideal"), seeds=ss.Seeds(0))
    again, raster = hardware.repaired(chip, *WAYS), torch.poisson(x[None].expand(16, -1, -1) / 16)
    assert torch.equal(ss.run(chip, raster).output, ss.run(again, raster).output)
    assert all(c.gain is None for c in again.crossbars.values())


def test_without_faults_nothing_is_programmed_again() -> None:
    chip = deployed(base())
    assert hardware.repaired(chip, hardware.Remapping()) is chip


OFFSETS = base().varied(adc=ADC(8, offset_sd=3.0))
GAINS = base().varied(adc=ADC(8, gain_sd=0.25))
FAULTY = base(faults=Faults(low=0.05, high=0.05))
NEEDS: dict[str, tuple[Macro, hardware.Way, float]] = {
    "offsets of converters": (OFFSETS, hardware.Offsets(), 0.7),
    "offsets of converters, by statistics": (OFFSETS, hardware.Statistics(), 0.7),
    "gains of converters": (GAINS, hardware.Statistics(), 0.7),
    "stuck cells": (FAULTY, hardware.Remapping(), 0.5),
    "stuck cells, by rows": (FAULTY, hardware.Remapping(cells=False, outputs=False), 0.8),
    "stuck cells, by outputs": (FAULTY, hardware.Remapping(cells=False, rows=False), 1.0),
    "stuck cells, by pairs": (FAULTY, hardware.Remapping(rows=False, outputs=False), 0.8),
    "stuck cells of digits": (
        FAULTY.varied(mapping=Pairs(slices=2, cell_bits=4)), hardware.Remapping(), 0.6),
    "stuck cells of single cells": (
        FAULTY.varied(mapping=Offset(slices=2, cell_bits=4, reference_column=1)), hardware.Remapping(), 0.8),
    "converters of few bits": (base().varied(adc=ADC(4)), hardware.Ranges(), 0.95),
}  # fmt: skip


@pytest.mark.parametrize("need", NEEDS)
def test_each_way_helps_where_it_is_needed(need: str) -> None:
    """Root mean square error of the readout over four chips falls to at most this share."""
    macro, way, share = NEEDS[need]
    chips = [deployed(macro, seed) for seed in range(4)]
    before, after = (np.mean([error(c) for c in some]) for some in (chips, [hardware.repaired(c, way) for c in chips]))
    assert after < share * before


def test_drift_is_measured_away() -> None:
    """Cells that lost a part of their conductance: outputs are small until gains are measured again."""
    macro = hardware.load_macro("taox40-projected")
    device = dataclasses.replace(macro.device, programming_error=0.0, read_noise=0.0, relaxation_shift=-0.03,
                                 relaxation_sd=0.0, relaxation_sd_slope=0.0)  # fmt: skip
    chip = deployed(macro.varied(device=device)).aged(1e4)
    found = hardware.repaired(chip, hardware.Ranges(), hardware.Statistics())
    assert error(found) < 0.5 * error(chip)


def test_a_permutation_alone_changes_no_output() -> None:
    """Faults that strike nobody's weights but make every row and output move: the readout is that of exact cells."""
    macro = base(faults=Faults(low=0.02))
    chip, exact = deployed(macro), deployed(base())
    moved = hardware.repaired(chip, hardware.Remapping(cells=True))
    place = moved.crossbars["2"].bank.placement
    assert not np.array_equal(place.lines, np.arange(len(place.lines)))
    assert sorted(place.order) == list(range(len(place.order))) and sorted(place.lines) == list(range(len(place.lines)))
    bank = moved.crossbars["2"].bank
    healed = ~np.isnan(place.by_row(moved.crossbars["2"].stored.stuck(macro))[:, place.order]).any(0)
    healed = ~healed.reshape(2, -1).any(0)  # outputs without a stuck cell
    np.testing.assert_allclose(bank.weights[:, healed], exact.crossbars["2"].bank.weights[:, healed], atol=1e-6)


def test_stuck_cells_are_given_to_the_other_of_the_pair() -> None:
    """w = 0.5 with G+ stuck at the top: G- rises by half the window; what no cell can give stays wrong."""
    macro = base()
    low, high = macro.device.g_min, macro.device.g_max
    laid = Pairs().lay(np.array([[0.5, 1.0, -1.0]]), low, high)
    stuck = np.full((1, 3, 2), np.nan)
    stuck[0, 0, 0], stuck[0, 1, 0] = high, low
    found = laid.decoded(compensated(laid.targets, stuck, laid, macro))
    cells = compensated(laid.targets, stuck, laid, macro)
    cells = np.where(np.isnan(stuck), cells, stuck)
    np.testing.assert_allclose(laid.decoded(cells), [[0.5, 0.0, -1.0]], atol=1e-12)
    assert np.array_equal(compensated(laid.targets, np.full((1, 3, 2), np.nan), laid, macro), laid.targets)
    assert found.shape == (1, 3)


def test_the_ledger_pays_for_gains(tmp_path: object) -> None:
    """Statistics add one multiplication per output and step, and survive saving; offsets add none."""
    _, _, test = problem()
    chip = deployed(GAINS)
    few = test.subset(range(4))
    plain, scaled = (
        hardware.estimate(c, few, steps=2, beside=False).ledger
        for c in (hardware.repaired(chip, hardware.Offsets()), hardware.repaired(chip, hardware.Statistics()))
    )
    from spikesim.core.ledger import Action

    outputs = 8 * 6 * 6 + 8 * 2 * 2 + 4
    assert plain.count(Action.digital_mac) == 0 and scaled.count(Action.digital_mac) == outputs * 2 * 4
    fixed = hardware.repaired(deployed(FAULTY), *WAYS)
    assert torch.equal(said(hardware.load_chip(fixed.save(tmp_path))), said(fixed))  # type: ignore[arg-type]


def test_corrections_hold_for_recordings_bound_later() -> None:
    """Offsets measured on an unbound chip are those measured on the bound one, at the calibration's T."""
    network, _ = counting()
    macro = base().varied(adc=ADC(6, offset_sd=2.0))
    first = hardware.repaired(hardware.deploy(network, macro, seeds=ss.Seeds(0)), hardware.Offsets()).bound(16)
    then = hardware.repaired(hardware.deploy(network.bound(16), macro, seeds=ss.Seeds(0)), hardware.Offsets())
    for name, crossbar in first.crossbars.items():
        np.testing.assert_allclose(crossbar.bias, then.crossbars[name].bias, rtol=1e-5, atol=1e-6)


def test_gains_are_paired() -> None:
    """Offsets on chips that have them: better, by more than twice the error; nothing is gained by nothing."""
    network, _, test = problem()
    macro = OFFSETS.varied(adc=ADC(8, offset_sd=25.0))
    found = hardware.gains(
        network, macro, test, {"offsets": [hardware.Offsets()], "none": []}, chips=3, steps=STEPS, seeds=ss.Seeds(0)
    )
    by = {g.name: g for g in found}
    assert by["offsets"].points > 2 * by["offsets"].standard_error > 0
    assert by["none"].points == 0 == by["none"].standard_error and by["none"].before == by["none"].after
    assert "points (3 chips, 300 samples)" in str(by["offsets"])


def test_fine_tuning_suits_weights_to_their_arrays() -> None:
    """Converters of two bits: a network tuned on other chips of the macro is right more often on new ones."""
    network, train, test = problem()
    macro = hardware.load_macro("taox40-projected")
    macro = macro.varied(adc=ADC(2))
    batches = TensorBatches(train.x[:, None].expand(-1, STEPS, -1, -1, -1), torch.tensor(train.labels), 50)
    way = hardware.FineTuning(batches, Training(epochs=6, learning_rate=2e-2, weight_decay=0.0))
    before = {k: v.clone() for k, v in network.state_dict().items()}
    found = hardware.gains(network, macro, test, {"tuned": [way]}, chips=8, steps=STEPS, seeds=ss.Seeds(1))[0]
    assert found.points > 2 * found.standard_error
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())  # the given network stays


def unkept() -> hardware.Chip:
    torch.manual_seed(0)
    network = ss.Network.chain(nn.Linear(6, 4), ss.IF(0.5)).requires_grad_(False)
    return hardware.deploy(network, base(), seeds=ss.Seeds(0))


BAD: dict[str, Callable[[], object]] = {
    "repaired.chip must be a Chip, got Network; hardware.deploy": lambda: hardware.repaired(problem()[0]),
    "repaired.ways must be ways of hardware.repair, got 'offsets'; hardware.Offsets()": lambda: hardware.repaired(
        deployed(base()), "offsets"
    ),
    "repaired.calibration must be given for a network that kept none, got none": lambda: hardware.repaired(
        unkept(), hardware.Offsets()
    ),
    "repaired.calibration must be finite, got nan": lambda: hardware.repaired(
        unkept(), hardware.Offsets(), calibration=torch.full((2, 1, 6), torch.nan)
    ),
    "repaired.ways must be ways that work on chips, which FineTuning does not": lambda: hardware.repaired(
        deployed(base()), hardware.FineTuning(TensorBatches(torch.zeros(1, 1), torch.zeros(1, dtype=torch.int64)))
    ),
    "Ranges.shares must be shares above 0 and at most 1": lambda: hardware.Ranges((1.5,)),
    "Remapping.chip.age must be 0 s, got 10 s": lambda: hardware.repaired(
        deployed(FAULTY.varied(device=hardware.load_macro("taox40").device)).aged(10.0), hardware.Remapping()
    ),
    "gains.chips must be a whole number at least 2": lambda: hardware.gains(
        *problem()[:1], base(), problem()[2], {}, chips=1, steps=1, seeds=ss.Seeds(0)
    ),
}


@pytest.mark.parametrize("message", BAD)
def test_what_cannot_be_repaired_is_refused(message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        BAD[message]()
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
