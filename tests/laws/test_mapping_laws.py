"""Laws of mappings: weights come back, on one array or many, in any network; and what every chip does the same in each."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim import hardware
from spikesim.core import registry
from spikesim.errors import ParameterError
from spikesim.hardware import mappings
from spikesim.hardware.mappings.base import Mapping
from spikesim.hardware.mappings.differential import Mapping as Pair
from spikesim.hardware.mappings.offset import Mapping as Offset
from spikesim.hardware.placement import placed

KINDS = registry.names(mappings)
CHOICES = [
    Pair(), Pair(two_sided=1), Pair(analog=1), Pair(1, 4), Pair(3, 2, analog=1), Offset(), Offset(reference_column=1),
    Offset(8, 1), Offset(4, 2, reference_column=1),
]  # fmt: skip


def test_every_mapping_is_among_the_choices() -> None:
    assert {type(choice).__module__.rsplit(".", 1)[-1] for choice in CHOICES} == set(KINDS)


@pytest.mark.parametrize("mapping", CHOICES, ids=str)
@pytest.mark.parametrize(("seed", "g_min"), [(0, 0.0), (1, 1e-7), (2, 1e-5)])
def test_weights_come_back(mapping: Mapping, seed: int, g_min: float) -> None:
    """To rounding, or to half a step of what the digits can say; conductances stay in the window."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(0.3 * seed, 1, (17, 5)) * 10.0 ** (seed - 1)
    laid = mapping.lay(weights, g_min, 6e-5)
    largest = np.abs(weights).max()
    reach = np.ptp([*weights.ravel(), 0.0]) if isinstance(mapping, Offset) else largest
    step = reach / mapping.steps if mapping.cell_bits else 0.0
    assert np.abs(laid.decoded(laid.targets, laid.reference) - weights).max() <= step / 2 + 1e-9 * largest
    cells = [laid.targets] if laid.reference is None else [laid.targets, laid.reference]
    assert all(c.min() >= g_min * (1 - 1e-9) and c.max() <= 6e-5 * (1 + 1e-9) for c in cells)
    levels = len(np.unique(np.round(laid.targets * 1e12)))
    assert not mapping.cell_bits or levels <= 2**mapping.cell_bits


@pytest.mark.parametrize("mapping", CHOICES, ids=str)
@pytest.mark.parametrize(("groups", "pixels"), [(1, 1), (3, 1), (1, 4)])
def test_arrays_hold_every_cell_once_and_no_more_than_fit(mapping: Mapping, groups: int, pixels: int) -> None:
    macro = hardware.load_macro("ideal").varied(mapping=mapping, rows=20, columns=24)
    place = placed(84, 39, macro, groups=groups, pixels=pixels)
    assert place.rows[-1] == 84 and (np.diff(place.rows) > 0).all() and np.diff(place.rows).max() <= 20
    assert (np.diff(place.columns) > 0).all() and np.diff(place.columns).max() <= 24
    assert sorted(place.order) == list(range(place.columns[-1]))
    cells = place.order[: place.outputs * mapping.cells].reshape(mapping.cells, place.outputs)
    assert (cells == cells[0] + np.arange(mapping.cells)[:, None]).all()  # side by side
    for _, j, (_, columns) in place.arrays():
        own = place.order[place.outputs * mapping.cells :]
        assert not mapping.referenced or own[j] == columns.stop - 1
    assert place.first.tolist() == sorted(place.first) and set(place.first) == set(range(0, 39, 39 // groups))


@pytest.mark.parametrize("mapping", CHOICES, ids=str)
def test_layers_on_many_arrays_are_their_weights(mapping: Mapping) -> None:
    """No noise, no conversion: a chip's output is the product with the weights its cells stand for, near the network's."""
    torch.manual_seed(0)
    network = ss.Network.chain(
        nn.Conv2d(4, 6, 3, padding=1, groups=2), ss.IF(0.3), nn.Conv2d(6, 8, (3, 2), dilation=(2, 1), stride=(1, 2)),
        ss.SignedIF(0.5), nn.Flatten(), nn.Linear(8 * 8 * 3, 11),
    ).requires_grad_(False)  # fmt: skip
    macro = hardware.load_macro("ideal").varied(mapping=mapping, rows=20, columns=24)
    x = torch.poisson(torch.full((6, 3, 4, 8, 6), 0.4), generator=torch.Generator().manual_seed(1))
    x = torch.nn.functional.pad(x, (0, 0, 2, 2))
    chip = hardware.deploy(network, macro, seeds=ss.Seeds(0), calibration=x)
    layers = {n: network.node(n) for n in ("0", "2", "5")}
    copy = ss.Network.chain(
        nn.Conv2d(4, 6, 3, padding=1, groups=2), ss.IF(0.3), nn.Conv2d(6, 8, (3, 2), dilation=(2, 1), stride=(1, 2)),
        ss.SignedIF(0.5), nn.Flatten(), nn.Linear(8 * 8 * 3, 11),
    ).requires_grad_(False)  # fmt: skip
    copy.load_state_dict(network.state_dict())
    for name, layer in layers.items():
        stood = chip.crossbars[name].bank.weights
        groups = getattr(layer, "groups", 1)
        back = stood.reshape(groups, -1, stood.shape[1]).transpose(0, 2, 1).reshape(layer.weight.shape)
        bits = mapping.slices * mapping.cell_bits
        np.testing.assert_allclose(back, layer.weight, atol=(2.0**-bits if bits else 1e-6) * 1.01)
        copy.node(name).weight.copy_(torch.from_numpy(back))
    wanted, found = ss.run(copy, x, record=["1"]), ss.run(chip, x, record=["1"])
    assert (wanted.recording["1"] != found.recording["1"]).float().mean() < 2e-3
    near = (wanted.output - found.output).abs() < 1e-3 * wanted.output.abs().max()
    assert near.float().mean() > 0.9


def test_by_pixel_is_another_arrangement_of_the_same_layer() -> None:
    torch.manual_seed(0)
    network = ss.Network.chain(nn.Conv2d(5, 4, (3, 2), padding=1)).requires_grad_(False)
    x = (torch.rand(3, 2, 5, 6, 6) < 0.4).float()
    ideal = hardware.load_macro("ideal")
    flat, pixels = (
        hardware.deploy(network, ideal.varied(by_pixel=k), seeds=ss.Seeds(0), calibration=x) for k in (0, 1)
    )
    assert flat.crossbars["0"].tiles == (1, 1) and pixels.crossbars["0"].tiles == (6, 1)
    assert pixels.crossbars["0"].utilisation == pytest.approx(5 * 8 / 512**2)
    torch.testing.assert_close(ss.run(pixels, x).output, ss.run(network, x).output, rtol=1e-4, atol=1e-5)


def test_series_are_mapped() -> None:
    torch.manual_seed(0)
    network = ss.Network.chain(nn.Conv1d(3, 4, 5, stride=2, padding=2, dilation=2)).requires_grad_(False)
    x = (torch.rand(3, 2, 3, 20) < 0.4).float()
    chip = hardware.deploy(network, hardware.load_macro("ideal"), seeds=ss.Seeds(0), calibration=x)
    torch.testing.assert_close(ss.run(chip, x).output, ss.run(network, x).output, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("mapping", "analog"), itertools.product(CHOICES[:7], [False, True]))
def test_reads_do_not_depend_on_batch_or_threads(mapping: Mapping, analog: bool) -> None:
    torch.manual_seed(0)
    network = ss.Network.chain(nn.Linear(30, 7)).requires_grad_(False)
    x = torch.randn(2, 50, 30) if analog else (torch.rand(2, 50, 30) < 0.5).float()
    macro = hardware.load_macro("taox40-projected").varied(mapping=mapping, rows=16)
    chip = hardware.deploy(network, macro, seeds=ss.Seeds(0), calibration=x)
    ids = np.arange(50)
    whole = ss.run(chip, x, sample_ids=ids).output
    parts = [ss.run(chip, x[:, k : k + 1], sample_ids=ids[k : k + 1]).output for k in range(50)]
    assert torch.equal(torch.cat(parts, 1), whole)
    assert torch.equal(ss.run(chip.watched(hardware.Survey()), x, sample_ids=ids).output, whole)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Pair(0), "Mapping.slices must be a whole number at least 1"),
        (lambda: Pair(2), "mapping.cell_bits must be at least 1 with several slices, got 0"),
        (lambda: Pair(1, 40), "Mapping.cell_bits must be a whole number at least 0 and at most 8, got 40"),
        (lambda: Pair(4, 8), "mapping.slices x cell_bits must be at most 24"),
        (lambda: Pair(1, 2, two_sided=1), "mapping.two_sided must be 0 where cells hold digits, got 1"),
        (lambda: Offset(reference_column=2), "Mapping.reference_column must be a whole number"),
        (lambda: Pair().lay(np.array([[np.nan]]), 0, 1e-6), "weights must be finite, got nan"),
    ],
)
def test_what_a_mapping_cannot_be_is_refused(made: object, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        made()  # type: ignore[operator]
