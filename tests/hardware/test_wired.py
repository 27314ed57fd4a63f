"""Chips whose arrays have wires, amplifiers with a limit, and inputs that are averages: what reads then are, and what is said."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim import hardware
from spikesim.hardware.mappings.offset import Mapping as Offset
from spikesim.hardware.wires import Driven, Gated, Ideal, Wires

WIRES = Wires(r_word=4.0, r_bit=2.0, r_source=30.0, r_sense=20.0)


def layer() -> tuple[ss.Network, torch.Tensor]:
    torch.manual_seed(0)
    network = ss.Network.chain(nn.Linear(50, 9, bias=False)).requires_grad_(False)
    return network, (torch.rand(1, 12, 50) < 0.3).float()


@pytest.mark.parametrize("way", [Driven, Gated])
def test_a_read_is_what_the_wires_leave_of_it(way: type) -> None:
    """No noise and no conversion, two row tiles and two column tiles: the circuit solver's currents of every array."""
    network, x = layer()
    macro = hardware.load_macro("ideal").varied(rows=32, columns=12, wires=way(WIRES))
    crossbar = hardware.deploy(network, macro, seeds=ss.Seeds(0), calibration=x).crossbars["0"]
    g = crossbar.stored.bare(macro).astype(np.float64)
    currents = np.zeros((12, 18))
    for _, _, (rows, columns) in crossbar.bank.placement.arrays():
        v = x[0, :, rows].numpy()
        here = (
            WIRES.currents(g[rows, columns], v) if way is Driven else WIRES.gated_currents(g[rows, columns], v > 0, v)
        )
        currents[:, columns] += here
    wanted = crossbar.bank.laid.scale * (currents[:, 0::2] - currents[:, 1::2])
    found = ss.run(hardware.deploy(network, macro, seeds=ss.Seeds(0), calibration=x), x).output[0].numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
    ideal = ss.run(network, x).output[0].numpy()
    assert np.abs(found - ideal).max() > 0.01 * np.abs(ideal).max()


def test_gated_arrays_take_the_current_that_flows() -> None:
    """All that driven rows deliver reaches a column where the others are disconnected: joules are V^2 t of the solver's
    currents, lines included, and less than those of the same cells without wires."""
    network, x = layer()
    plain = hardware.load_macro("taox40-projected")
    plain = plain.varied(rows=32, columns=12, device=hardware.load_macro("ideal").device)
    macro = plain.varied(wires=Gated(WIRES))
    data = (x[0], torch.zeros(12, dtype=torch.int64))
    reports = []
    for design in (macro, plain):
        chip = hardware.deploy(network, design, seeds=ss.Seeds(0), calibration=x)
        reports.append(hardware.estimate(chip, data, steps=1, beside=False))
    crossbar = hardware.deploy(network, macro, seeds=ss.Seeds(0), calibration=x).crossbars["0"]
    g, flowing = crossbar.stored.bare(macro).astype(np.float64), 0.0
    for _, _, (rows, columns) in crossbar.bank.placement.arrays():
        v = x[0, :, rows].numpy()
        flowing += float(WIRES.gated_currents(g[rows, columns], v > 0, v).sum())
    wired, ideal = (r.energy_J["by_component"]["array"] for r in reports)
    assert wired == pytest.approx(macro.v_read**2 * macro.t_read * flowing / 12, rel=1e-4)
    assert wired < 0.99 * ideal


def test_reads_through_gated_wires_do_not_depend_on_batch() -> None:
    network, x = layer()
    macro = hardware.load_macro("taox40-projected").varied(rows=32, columns=12, wires=Gated(WIRES))
    chip = hardware.deploy(network, macro, seeds=ss.Seeds(0), calibration=x)
    ids = np.arange(12)
    whole = ss.run(chip, x, sample_ids=ids).output
    parts = [ss.run(chip, x[:, k : k + 3], sample_ids=ids[k : k + 3]).output for k in range(0, 12, 3)]
    assert torch.equal(torch.cat(parts, 1), whole)


@pytest.mark.parametrize("way", [Driven, Gated])
def test_noise_through_wires_is_that_of_cells_whose_current_is_smaller(way: type) -> None:
    """Where wires lose a quarter of the current (13 % gated), against arrays solved anew with fluctuating cells: standard
    deviation to 15 %, mean to 1 %. Without wires it is 1.44 and 1.26 times as large."""
    network, x = layer()
    wires = Wires(20, 20, 50, 50)
    x = x[:, :1].expand(1, 2000, 50)
    macro = hardware.load_macro("taox40-projected").varied(
        adc=hardware.load_macro("ideal").adc, wires=way(wires), columns=18
    )
    crossbar = hardware.deploy(network, macro, seeds=ss.Seeds(0), calibration=x[:, :1]).crossbars["0"]
    found = ss.run(hardware.deploy(network, macro, seeds=ss.Seeds(0), calibration=x[:, :1]), x).output[0].numpy()
    rng, g = np.random.default_rng(0), crossbar.stored.bare(macro).astype(np.float64)
    v = x[0, :1].numpy().astype(np.float64)
    reads = []
    for _ in range(600):
        cells = g * (1 + 0.02 * rng.standard_normal(g.shape))
        reads.append((wires.currents(cells, v) if way is Driven else wires.gated_currents(cells, v > 0, v))[0])
    sampled = crossbar.bank.laid.scale * (np.array(reads)[:, 0::2] - np.array(reads)[:, 1::2])
    np.testing.assert_allclose(found.mean(0), sampled.mean(0), atol=0.01 * np.abs(sampled.mean(0)).max())
    assert found.std(0).mean() == pytest.approx(sampled.std(0).mean(), rel=0.15)


def test_a_design_that_cannot_work_says_so_with_the_number() -> None:
    network, x = layer()
    macro = hardware.load_macro("taox40-projected")
    assert not hardware.deploy(network, macro, seeds=ss.Seeds(0), calibration=x).warnings
    wired = hardware.deploy(network, macro.varied(wires=Driven(Wires(20, 20))), seeds=ss.Seeds(0), calibration=x)
    ideal = hardware.deploy(network, macro.varied(wires=Ideal()), seeds=ss.Seeds(0), calibration=x)
    kept = [(x[0].numpy() @ c.crossbars["0"].g.astype(np.float64)).sum() for c in (wired, ideal)]
    assert f"0: wires lose {100 * (1 - kept[0] / kept[1]):.2g} % of its column currents" in wired.warnings[0]
    largest = float((x[0].numpy() @ ideal.crossbars["0"].g).max()) * 0.2
    limited = hardware.deploy(network, macro.varied(i_max=largest / 2), seeds=ss.Seeds(0), calibration=x)
    said = " ".join(limited.warnings)
    assert f"{1e6 * largest:.3g} uA in a column" in said.replace("µ", "u") and "of its conversions saturate" in said
    assert limited.crossbars["0"].bank.lsb.max() == pytest.approx(largest / 2 / 0.2 / 255, rel=1e-5)


def test_averages_are_driven_as_whole_numbers() -> None:
    """A pool's average of spikes times its size is whole: the product is divided afterwards, nothing is rounded."""
    torch.manual_seed(0)
    network = ss.Network.chain(
        nn.Conv2d(1, 4, 3, padding=1), ss.IF(0.5), nn.AvgPool2d(3), nn.Conv2d(4, 5, 2), ss.IF(0.3), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(5, 3),
    ).requires_grad_(False)  # fmt: skip
    x = (torch.rand(4, 6, 1, 9, 9) < 0.4).float()
    chip = hardware.deploy(network, hardware.load_macro("ideal"), seeds=ss.Seeds(0), calibration=x)
    assert [row["drive"] for row in chip.rows()] == ["binary", "averages", "averages"]
    assert [c.drive.step for c in chip.crossbars.values()] == [0.0, 1 / 9, 1 / 4]
    ledger = ss.Ledger()
    torch.testing.assert_close(ss.run(chip, x, ledger=ledger).output, ss.run(network, x).output, rtol=1e-3, atol=1e-5)
    assert ledger.count(ss.Action.digital_mac, "7") == 4 * 6 * 3 and not ledger.count(ss.Action.digital_mac, "0")
    planes = ledger.count(ss.Action.column_convert, "7") / (4 * 6 * 6)
    assert 1 <= planes <= 3
    with pytest.raises(ss.SpikesimError, match=r"3\.x must be multiples of 1/9 for its averages drive, got 0\.3"):
        chip.crossbars["3"].apply(torch.full((1, 1, 4, 3, 3), 0.3), ss.core.operator.Context("3", 0, np.arange(1)))


def test_sampled_noise_through_gated_wires_is_that_of_the_sums() -> None:
    network, x = layer()
    x = x[:, :1].expand(1, 4000, 50)
    macro = hardware.load_macro("taox40-projected").varied(
        adc=hardware.load_macro("ideal").adc, wires=Gated(Wires(60, 60)), columns=18
    )
    fast, slow = (
        ss.run(hardware.deploy(network, macro, seeds=ss.Seeds(0), calibration=x[:, :1], sampled=sampled), x).output[0]
        for sampled in (False, True)
    )
    np.testing.assert_allclose(fast.std(0), slow.std(0), rtol=6 / np.sqrt(4000))
    bare = hardware.deploy(network, macro.varied(wires=Ideal()), seeds=ss.Seeds(0), calibration=x[:, :1])
    assert (slow.std(0) < 0.97 * ss.run(bare, x).output[0].std(0)).all()


def test_an_array_that_calibration_did_not_drive_converts_all_the_same() -> None:
    """Its range is that of all rows at once; without one its currents would pass unconverted."""
    network, x = layer()
    x[..., 32:] = 0
    macro = hardware.load_macro("taox40-projected").varied(rows=32)
    bank = hardware.deploy(network, macro, seeds=ss.Seeds(0), calibration=x).crossbars["0"].bank
    np.testing.assert_allclose(bank.lsb[1], bank.all_rows()[1].max() / 255, rtol=0.5)
    assert (bank.lsb > 0).all() and bank.lsb[0, 0] < bank.all_rows()[0].max() / 255


@pytest.mark.parametrize("per_column", [0, 1])
def test_a_percentile_of_the_currents_is_the_range(per_column: int) -> None:
    network, x = layer()
    x = (torch.rand(20, 40, 50) < 0.3).float()
    macro = hardware.load_macro("taox40-projected")
    macro = macro.varied(adc=type(macro.adc)(8, percentile=90.0, per_column=per_column))
    chip = hardware.deploy(network, macro, seeds=ss.Seeds(0), calibration=x)
    bank = chip.crossbars["0"].bank
    currents = x.reshape(-1, 50).numpy() @ bank.columns[0]
    wanted = np.percentile(currents, 90, axis=0) if per_column else np.full(18, np.percentile(currents, 90))
    bins = bank.all_rows().max(0) / 1024
    assert (np.abs(bank.lsb[0] * 255 - wanted) <= 2 * bins).all()
    assert "of its conversions saturate" in " ".join(chip.warnings)


def test_what_is_left_out_follows_the_wires() -> None:
    ledger = ss.Ledger()
    macro = hardware.load_macro("taox40-projected")
    ideal, wired = (hardware.price(ledger, m).excluded for m in (macro, macro.varied(wires=Driven(WIRES))))
    assert any("wire resistance" in text for text in ideal) and not any("wire resistance" in text for text in wired)
    assert any("rows held at 0 V" in text for text in wired)


def test_conductances_of_pairs_alone_have_two_sides() -> None:
    network, x = layer()
    macro = hardware.load_macro("ideal")
    chip = hardware.deploy(network, macro, seeds=ss.Seeds(0), calibration=x)
    positive, negative = chip.conductances("0")
    np.testing.assert_allclose(
        chip.crossbars["0"].bank.laid.scale * (positive - negative), network.node("0").weight.T, atol=1e-6
    )
    offset = hardware.deploy(network, macro.varied(mapping=Offset()), seeds=ss.Seeds(0), calibration=x)
    with pytest.raises(ss.SpikesimError, match=r"chip\.macro\.mapping must be one pair of cells per weight"):
        offset.conductances("0")


def test_pools_in_a_loop_are_looked_through_once() -> None:
    """Averages are followed back along edges of the same step alone: a delayed edge closes a loop."""
    nodes = {"in": nn.Linear(4, 4), "hold": nn.Identity(), "out": nn.Linear(4, 2)}
    edges = [ss.Edge("input", "in"), ss.Edge("in", "hold"), ss.Edge("hold", "hold", 1), ss.Edge("hold", "out")]
    network = ss.Network(nodes, edges).requires_grad_(False)
    x = (torch.rand(3, 2, 4) < 0.5).float()
    chip = hardware.deploy(network, hardware.load_macro("ideal"), seeds=ss.Seeds(0), calibration=x)
    assert ss.run(chip, x).output.shape == (3, 2, 2)
