"""Macro files, deployment and prices: what is refused, and that totals add up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim import hardware
from spikesim.core.ledger import Action
from spikesim.datasets import ArrayDataset
from spikesim.errors import PresetError
from spikesim.hardware.mappings.differential import Mapping as DifferentialPair
from spikesim.hardware.mappings.offset import Mapping as Offset
from spikesim.hardware.presets import FOLDER
from spikesim.hardware.wires import Gated, Ideal, Wires

DROP = "a line left out"


def edited(tmp_path: Path, old: str, new: str) -> Path:
    text = (FOLDER / "taox40-projected.toml").read_text()
    assert old in text
    path = tmp_path / "mine.toml"
    lines = [line for line in text.splitlines() if not (new == DROP and line.startswith(old))]
    path.write_text("\n".join(lines if new == DROP else [text.replace(old, new)]))
    return path


EDITS = {
    "array.cols must|must be a known key, got array.cols; did you mean array.columns": ("columns =", "cols ="),
    "must be given in V, got 0.2 A": ('value = "0.2 V"', 'value = "0.2 A"'),
    "ADC.bits must be a whole number at least 1 and at most 16, got 40": ("bits = { value = 8", "bits = { value = 40"),
    "ADC.bits must be a whole number at least 1 and at most 16, got 0": ("bits = { value = 8", "bits = { value = 0"),
    "adc.kind must be one of the converters, got unifrom; did you mean uniform": ('"uniform"', '"unifrom"'),
    "adc.bits must be a constant of adc.kind none": ('kind = "uniform"', 'kind = "none"'),
    "device.read_noise must be given, got nothing": ("read_noise = {", DROP),
    "Cell.g_min must be a number at least 0 S, got -1e-07": ('"0.1 uS"', '"-0.1 uS"'),
    "array.v_read must be a number with its unit, V, got 0.2": ('"0.2 V"', "0.2"),
    "array.t_read must be a number with its unit, s, got 100": ('"100 ns"', '"100"'),
    "Macro.t_read must be a number above 0 s, got 0": (
        '"100 ns", status = "assumed", low = "10 ns"',
        '"0 s", status = "assumed", low = "0 s"',
    ),
    "array.v_read.low and high must be around the value 0.2, got .*0.25": ('low = "0.1 V"', 'low = "0.25 V"'),
    "array.v_read.low must be given in V, got 0.1 A": ('low = "0.1 V"', 'low = "0.1 A"'),
    "price.shift_add.node and supply must be given together": (
        'node = "32 nm", supply = "0.9 V", source = "ISAAC (ISCA 2016): 16-bit',
        'node = "32 nm", source = "ISAAC (ISCA 2016): 16-bit',
    ),
    "must be a known key, got area.cel; did you mean area.cell": ("cell = {", "cel = {"),
    "CostTable.areas.cell must be a number at least 0 m2, got -": ('"0.0768 um2"', '"-0.0768 um2"'),
    "Macro.prices.column_convert must be a number at least 0 J": ('"2.607 pJ"', '"-2.607 pJ"'),
    "array.rows must be a whole number, got inf": ("rows = { value = 512", "rows = { value = inf"),
    "price.colum_convert; did you mean price.column_convert": ("column_convert =", "colum_convert ="),
    "key must be a known text or a table, .* got nmae; did you mean name": ("name =", "nmae ="),
    "column_convert.source must be a paper, a table or a reason, got nothing": (
        '"bound fitted to an ADC survey, 8 bits, 10 MS/s, 40 nm"',
        '" "',
    ),
    "description must be text, got 3": (
        'description = "40 nm TaOx 1T1R arrays with an 8-bit SAR converter on chip: a projection"',
        "description = 3",
    ),
    "a readable TOML file": ("[price]", "[price"),
    "taox40.g_max must be above g_min": ('g_min = { value = "0.1 uS"', 'g_min = { value = "99 uS"'),
    "status must be one of measured, fit, paper, assumed, got guess": ('"measured"', '"guess"'),
    "array.rows must be a whole number": ("rows = { value = 512", "rows = { value = 512.5"),
    "device.kind must be one of the devices, got taox41; did you mean taox40": ('kind = "taox40"', 'kind = "taox41"'),
    r"must be \{ value, status, source \}": (', status = "fit"', ""),
}


@pytest.mark.parametrize("message", sorted(EDITS))
def test_a_wrong_file_is_refused(tmp_path: Path, message: str) -> None:
    path = edited(tmp_path, *EDITS[message])
    with pytest.raises(PresetError, match=message.split("|")[-1]) as caught:
        hardware.load_macro(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def small(weight: float | None = None) -> ss.Network:
    torch.manual_seed(0)
    network = ss.Network.chain(nn.Linear(6, 4), ss.IF(0.5), nn.Linear(4, 3)).requires_grad_(False)
    if weight is not None:
        network.node("0").weight[0, 0] = weight  # type: ignore[index, operator]
    return network


MACRO = hardware.load_macro("taox40-projected")
REFUSED: dict[str, Callable[[], object]] = {
    "macro must be a known name or a .toml file, got taox; did you mean taox40": lambda: hardware.load_macro("taox"),
    "network.0.weight must be finite, got nan": lambda: hardware.deploy(small(float("nan")), MACRO, seeds=ss.Seeds(0)),
    "deploy.place must be of linear and convolution nodes, got 9": lambda: hardware.deploy(
        small(), MACRO, seeds=ss.Seeds(0), place={"9": "digital"}
    ),
    "deploy.place[0] must be one of crossbar, digital": lambda: hardware.deploy(
        small(), MACRO, seeds=ss.Seeds(0), place={"0": "moon"}
    ),
    "deploy.network must be one with a linear": lambda: hardware.deploy(
        ss.Network.chain(ss.IF()), MACRO, seeds=ss.Seeds(0)
    ),
    "network.0 must be an evenly zero-padded convolution": lambda: hardware.deploy(
        ss.Network.chain(nn.Conv2d(4, 4, 2, padding="same")), MACRO, seeds=ss.Seeds(0)
    ),
    "Macro.columns must be at least 8 for one output of 0, got 6": lambda: hardware.deploy(
        small(), MACRO.varied(columns=6, mapping=DifferentialPair(4, 2)), seeds=ss.Seeds(0)
    ),
    "deploy.analog_bits must be a whole number at least 1 and at most 16, got 0": lambda: hardware.deploy(
        small(), MACRO, seeds=ss.Seeds(0), analog_bits=0
    ),
    "deploy.macro must be a Macro, got 'taox40'": lambda: hardware.deploy(small(), "taox40", seeds=ss.Seeds(0)),  # type: ignore[arg-type]
    "deploy.seeds must be a Seeds, got 7": lambda: hardware.deploy(small(), MACRO, seeds=7),  # type: ignore[arg-type]
    "deploy.calibration must be finite, got nan": lambda: hardware.deploy(
        small(), MACRO, seeds=ss.Seeds(0), calibration=torch.full((1, 1, 6), float("nan"))
    ),
    "estimate.data must be a data set, (x, y) arrays": lambda: hardware.estimate(
        hardware.deploy(small(), MACRO, seeds=ss.Seeds(0)), 3, steps=2
    ),
    "sample_chips.n must be a whole number at least 1, got 0": lambda: list(
        hardware.sample_chips(small(), MACRO, 0, seeds=ss.Seeds(0))
    ),
    "estimate.steps must be a whole number at least 1, got 0": lambda: hardware.estimate(
        hardware.deploy(small(), MACRO, seeds=ss.Seeds(0)), [(torch.zeros(1, 6), torch.zeros(1))], steps=0
    ),
}


@pytest.mark.parametrize("message", sorted(REFUSED))
def test_refusals(message: str) -> None:
    with pytest.raises(ss.SpikesimError) as caught:
        REFUSED[message]()
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def report(**options: object) -> tuple[hardware.Chip, hardware.EnergyReport]:
    draw = torch.Generator().manual_seed(0)
    x = (torch.rand(70, 6, generator=draw) < 0.4).float()
    data = ArrayDataset(x, np.arange(70) % 3)
    chip = hardware.deploy(small(), MACRO, seeds=ss.Seeds(1), calibration=x.expand(4, 70, 6), **options)  # type: ignore[arg-type]
    return chip, hardware.estimate(chip, data, steps=5)


def test_the_total_is_the_sum_of_its_parts() -> None:
    _, found = report()
    energy = found.energy_J
    for table in ("by_component", "by_layer"):
        assert sum(energy[table].values()) == pytest.approx(energy["total"], rel=1e-12)
    assert sum(row["joules"] for row in found.rows()) == pytest.approx(energy["total"], rel=1e-12)
    assert energy["low"] < energy["total"] < energy["high"] and found.latency_s > 0
    assert found.samples == 70 and energy["standard_error"] > 0
    low, high = energy["ci95"]
    assert low < energy["total"] < high
    array = found.ledger.count(Action.conductance_read) / 70 * 0.2**2 * 100e-9 * 1e-9
    assert energy["by_component"]["array"] == pytest.approx(array)
    assert found.baselines["ann_operations_4.6pJ"] == pytest.approx((6 * 4 + 4 * 3) * 4.6e-12)


def test_the_report_says_what_is_assumed_and_left_out() -> None:
    _, found = report()
    text, plain = str(found), found.to_json()
    assert {"array.v_read", "device.g_max"} <= {row["key"] for row in plain["assumed"]}
    assert "off-chip memory" in text and plain["excluded"] and plain["sources"]["price.column_convert"]


def test_every_form_of_data_gives_the_same_report() -> None:
    draw = torch.Generator().manual_seed(0)
    x = (torch.rand(70, 6, generator=draw) < 0.4).float()
    y = np.arange(70) % 3
    chip, found = report()
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(x, torch.from_numpy(y)), batch_size=32, shuffle=False
    )
    for data in ((x, y), (x.numpy(), y), [x, torch.from_numpy(y)], loader, [(x[:30], y[:30]), (x[30:], y[30:])]):
        assert hardware.estimate(chip, data, steps=5).to_json() == found.to_json()


def test_every_price_in_the_report_has_its_source() -> None:
    _, found = report()
    assert all(row["source"] and row["status"] for row in found.rows() if row["price_J"])
    assert set(found.clipped) == {"0", "2"} and "Trained weights in these cells are an assumption" in str(found)


def test_the_board_costs_orders_of_magnitude_more() -> None:
    _, found = report()
    board = hardware.price(found.ledger, hardware.load_macro("taox40"))
    assert board.energy_J["total"] > 1000 * found.energy_J["total"] and board.latency_s > 100 * found.latency_s


def test_a_digital_node_is_left_outside() -> None:
    chip, found = report(place={"2": "digital"})
    assert list(chip.crossbars) == ["0"] and found.ledger.count(Action.digital_add, "2") > 0
    assert found.ledger.count(Action.column_convert, "2") == 0


def test_without_calibration_the_chip_warns() -> None:
    chip = hardware.deploy(small(), MACRO, seeds=ss.Seeds(0))
    assert "no calibration inputs" in chip.warnings[0]
    assert ss.run(chip, torch.ones(2, 1, 6)).output.isfinite().all()


def test_conductances_are_pairs_within_the_window() -> None:
    chip, _ = report()
    positive, negative = chip.conductances("0")
    assert positive.shape == negative.shape == (6, 4)
    assert positive.max() < 1.3 * MACRO.device.g_max and np.minimum(positive, negative).max() < 2 * MACRO.device.g_min
    with pytest.raises(ss.SpikesimError, match="must be a programmed node"):
        chip.conductances("1")


MORE = """
[mapping]
kind = "offset"
slices = { value = 3, status = "assumed", source = "a test" }
cell_bits = { value = 2, status = "assumed", source = "a test" }
reference_column = { value = 1, status = "assumed", source = "a test" }
by_pixel = { value = 1, status = "assumed", source = "a test" }

[wires]
kind = "gated"
r_word = { value = "2 ohm", status = "assumed", source = "a test" }
r_sense = { value = "0.1 kohm", status = "assumed", source = "a test" }
"""


def test_mappings_and_wires_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text((FOLDER / "taox40-projected.toml").read_text() + MORE)
    macro = hardware.load_macro(path)
    assert macro.mapping == Offset(3, 2, reference_column=1) and macro.by_pixel == 1
    assert macro.wires == Gated(Wires(2.0, 0.0, r_sense=100.0))
    assert {"mapping.slices", "wires.r_word"} <= {c.key for c in macro.assumed}
    assert hardware.load_macro("taox40-projected").wires == Ideal()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"offset"', '"offest"', "mapping.kind must be one of the mappings, got offest; did you mean offset"),
        ('"gated"', '"gatd"', "wires.kind must be one of ideal, driven, gated, got gatd; did you mean gated"),
        ('"gated"', '"ideal"', "wires.r_word must be left out of ideal wires"),
        ('"2 ohm"', '"2 V"', "wires.r_word must be given in ohm, got 2 V"),
        ("slices =", "slice =", "must be a known key, got mapping.slice; did you mean mapping.slices"),
        ('"offset"', '"differential"', "mapping.reference_column must be a constant of mapping.kind differential"),
        ("value = 2,", "value = 40,", "Mapping.cell_bits must be a whole number at least 0 and at most 8, got 40"),
        ('"2 ohm"', '"-2 ohm"', "Wires.r_word must be a resistance of at least 0 ohm"),
    ],
)
def test_a_wrong_mapping_or_wire_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in MORE
    path = tmp_path / "mine.toml"
    path.write_text((FOLDER / "taox40-projected.toml").read_text() + MORE.replace(old, new))
    with pytest.raises(PresetError, match=message):
        hardware.load_macro(path)
