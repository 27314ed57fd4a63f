"""Chips whose arrays have wires, amplifiers with a limit, and inputs that are averages: what reads then are, and what is said."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim import hardware
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
    """Against arrays solved anew with fluctuating cells: the standard deviation to 15 %, the mean to 1 %."""
    network, x = layer()
    x = x[:, :1].expand(1, 2000, 50)
    macro = hardware.load_macro("taox40-projected").varied(
        adc=hardware.load_macro("ideal").adc, wires=way(WIRES), columns=18
    )
    crossbar = hardware.deploy(network, macro, seeds=ss.Seeds(0), calibration=x[:, :1]).crossbars["0"]
    found = ss.run(hardware.deploy(network, macro, seeds=ss.Seeds(0), calibration=x[:, :1]), x).output[0].numpy()
    rng, g = np.random.default_rng(0), crossbar.stored.bare(macro).astype(np.float64)
    v = x[0, :1].numpy().astype(np.float64)
    reads = []
    for _ in range(600):
        cells = g * (1 + 0.02 * rng.standard_normal(g.shape))
        reads.append((WIRES.currents(cells, v) if way is Driven else WIRES.gated_currents(cells, v > 0, v))[0])
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
