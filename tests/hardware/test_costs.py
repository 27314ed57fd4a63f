"""Joules, seconds and square millimetres of a run: laws for every macro, and cases worked out by hand."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim import hardware
from spikesim.core.ledger import Action, Ledger
from spikesim.datasets import ArrayDataset
from spikesim.hardware.cost.table import Part
from spikesim.hardware.cost.timing import timing
from spikesim.hardware.presets import FOLDER


def network() -> ss.Network:
    torch.manual_seed(0)
    return ss.Network.chain(
        nn.Conv2d(1, 6, 3), ss.IF(0.3), nn.Flatten(), nn.Linear(96, 20), ss.IF(0.4), nn.Linear(20, 3)
    ).requires_grad_(False)  # fmt: skip


def data(samples: int = 8) -> ArrayDataset:
    draw = torch.Generator().manual_seed(0)
    x = (torch.rand(samples, 1, 6, 6, generator=draw) < 0.4).float()
    return ArrayDataset(x, np.arange(samples) % 3)


def report(name: str | Path = "taox40-projected", steps: int = 4) -> hardware.EnergyReport:
    shown = data()
    chip = hardware.deploy(
        network(), hardware.load_macro(name), seeds=ss.Seeds(1), calibration=shown.x.expand(steps, *shown.x.shape)
    )
    return hardware.estimate(chip, shown, steps=steps)


@pytest.mark.parametrize("name", hardware.macro_names())
def test_every_macro_prices_a_run_and_the_tree_adds_up(name: str) -> None:
    """Joules and areas of every branch are its children's; layers, components and rows all give the same total."""
    found = report(name)
    total, area = found.energy_J["total"], found.tree.area
    for _, branch in found.tree.walk():
        if branch.children:
            assert math.fsum(c.joules for c in branch.children) == pytest.approx(branch.joules, rel=1e-12, abs=0)
            assert math.fsum(c.area for c in branch.children) == pytest.approx(branch.area, rel=1e-12, abs=0)
    leaves = [b for path, b in found.tree.walk() if len(path) == 4]
    assert {b.level for b in leaves} == {"component"} or name == "ideal"
    assert math.fsum(b.joules for b in leaves) == pytest.approx(total, rel=1e-12)
    assert math.fsum(b.area for b in leaves) == pytest.approx(area, rel=1e-12)
    for table in ("by_component", "by_layer"):
        assert math.fsum(found.energy_J[table].values()) == pytest.approx(total, rel=1e-12)
    assert math.fsum(row["joules"] for row in found.rows()) == pytest.approx(total, rel=1e-12)
    assert [b.name for b in found.tree.children] == ["0", "1", "3", "4", "5"]
    assert found.tree.seconds == pytest.approx(found.latency_s, rel=1e-12)
    if name != "ideal":
        assert total > 0 and area > 0 and found.energy_J["low"] <= total <= found.energy_J["high"]
        assert 0 < found.timing.pipelined <= found.latency_s


@pytest.mark.parametrize("name", hardware.macro_names())
def test_what_is_shown_about_a_macro(name: str) -> None:
    """Numbers remembered and not checked are called assumed; assumed ones give a reason; macros are named apart."""
    macro = hardware.load_macro(name)
    for constant in macro.constants:
        unsure = (
            "remembered" in constant.source or "not stated" in constant.source or "not published" in constant.source
        )
        assert not unsure or constant.status == "assumed" or "node not stated" in constant.source, constant
    if "spikesim" in name:
        assert "another project" in macro.description


def test_files_hold_what_the_report_says(tmp_path: Path) -> None:
    found = report()
    rows = list(csv.DictReader(found.to_csv(tmp_path / "energy.csv").open()))
    assert math.fsum(float(row["joules"]) for row in rows) == pytest.approx(found.energy_J["total"], rel=1e-12)
    assert {"node", "tile", "component", "action", "mean", "price_J", "status", "source"} <= set(rows[0])
    plain = json.loads(json.dumps(found.to_json(), allow_nan=False))
    keys = {"energy_J", "latency_s", "area_mm2", "baselines", "excluded", "assumed", "sources", "timing", "tree"}
    assert keys <= set(plain) and {"total", "by_component", "by_layer", "low", "high"} <= set(plain["energy_J"])
    assert plain["area_mm2"] == pytest.approx(sum(c["area_mm2"] for c in plain["tree"]["children"]))


def test_the_area_by_hand() -> None:
    """Three layers in one 512 x 512 array each: cells, drivers, 64 converters with their datapaths; 16 bits a neuron."""
    found = report()
    areas = {part: value for part, value in found.macro.costs.areas.items()}
    one = 512 * 512 * areas[Part.cell] + 512 * areas[Part.row_driver]
    one += 64 * (areas[Part.converter] + areas[Part.accumulator] + areas[Part.neuron])
    neurons = (6 * 4 * 4 + 20) * 16 * areas[Part.membrane_bit]
    assert found.tree.area == pytest.approx(3 * one + neurons, rel=1e-12)
    cells = 9 * 12 + 96 * 40 + 20 * 6
    assert found.utilisation == pytest.approx(cells / (3 * 512 * 512))


def test_a_layer_pays_for_whole_tiles() -> None:
    """ISAAC: 9 x 12 cells take one array, yet a unit and a tile with all that stands around it."""
    found = report("isaac32")
    shared = {b.name: b for b in found.tree.children[0].children}["shared"]
    areas = found.macro.costs.areas
    whole = [p for p in areas if p.value.startswith(("core_", "tile_"))]
    assert shared.area == pytest.approx(sum(areas[p] for p in whole), rel=1e-12)


def test_the_time_of_a_layer_by_hand() -> None:
    """An array read 3 times with 40 columns, eight to a converter; a layer beside it; a pipeline of four steps."""
    macro = hardware.load_macro("taox40-projected")  # 100 ns a read, 100 ns a conversion, 8 columns share one
    ledger = Ledger()
    ledger.open(np.zeros(1, np.int64))
    for node, tile, reads, columns in (("a", "0.0", 3, 40), ("a", "1.0", 12, 40), ("b", "0.0", 4, 4)):
        counts = {Action.row_drive: 5 * reads, Action.cell_read: 5 * reads * columns}
        for action, count in (counts | {Action.column_convert: reads * columns}).items():
            ledger.add(node, tile, action, np.array([count]))
    ledger.close()
    found = timing(ledger, macro, ["a", "b"], steps=4)
    a, b = 12 * (100e-9 + 800e-9), 4 * (100e-9 + 400e-9)
    assert found.layers == pytest.approx({"a": a, "b": b}) and found.serial == pytest.approx(a + b)
    assert found.tiles["a", "0.0"] == pytest.approx(3 * 900e-9)
    pace_a, pace_b = 12 * 800e-9 / 4, 4 * 400e-9 / 4  # a read is settled while the one before is converted
    assert found.pipelined == pytest.approx(pace_a + pace_b + 3 * pace_a) and found.bottleneck == "a"
    assert found.interval == pytest.approx(4 * pace_a)
    assert [name for name, _ in found.critical_path] == ["a", "b"]


def test_the_critical_path_goes_through_the_slower_branch() -> None:
    macro = hardware.load_macro("taox40-projected")
    ledger = Ledger()
    ledger.open(np.zeros(1, np.int64))
    for node, reads in (("in", 1), ("fast", 2), ("slow", 9), ("out", 1)):
        for action, count in ((Action.row_drive, reads), (Action.cell_read, reads), (Action.column_convert, reads)):
            ledger.add(node, "0.0", action, np.array([count]))
    ledger.close()
    edges = [("in", "fast"), ("in", "slow"), ("fast", "out"), ("slow", "out")]
    found = timing(ledger, macro, ["in", "fast", "slow", "out"], steps=1, edges=edges)
    assert [name for name, _ in found.critical_path] == ["in", "slow", "out"]
    assert found.serial == pytest.approx(13 * 200e-9)
    assert found.pipelined == pytest.approx(11 * 100e-9)


def test_digital_actions_take_time_where_a_macro_says_so(tmp_path: Path) -> None:
    path = tmp_path / "slow.toml"
    text = (FOLDER / "taox40-projected.toml").read_text()
    line = '[time]\nneuron_update = { value = "64 us", status = "assumed", source = "for this test" }\n'
    path.write_text(text.replace("[area]", line + "\n[area]"))
    plain, slow = report(), report(path)
    neurons = 4 * (6 * 4 * 4 + 20)  # steps times neurons, on 64 datapaths
    assert slow.latency_s - plain.latency_s == pytest.approx(neurons * 64e-6 / 64, rel=1e-9)
    assert slow.timing.bottleneck == "1" and slow.energy_J == plain.energy_J


def test_leakage_lasts_as_long_as_the_run(tmp_path: Path) -> None:
    path = tmp_path / "leaky.toml"
    text = (FOLDER / "taox40-projected.toml").read_text()
    entry = (
        '[leakage]\nconverter = { value = "1 uW", status = "assumed", low = "0 W", high = "3 uW", source = "test" }\n'
    )
    path.write_text(text.replace("[area]", entry + "\n[area]"))
    plain, leaky = report(), report(path)
    leaked = 3 * 64 * 1e-6 * plain.latency_s  # three arrays of 64 converters
    assert leaky.energy_J["by_component"]["leakage"] == pytest.approx(leaked, rel=1e-12)
    assert leaky.energy_J["total"] == pytest.approx(plain.energy_J["total"] + leaked, rel=1e-12)
    assert math.fsum(row["joules"] for row in leaky.rows()) == pytest.approx(leaky.energy_J["total"], rel=1e-12)
    assert any("leakage" in text for text in plain.excluded) and not any("leakage" in t for t in leaky.excluded)
    known = next(a for a in leaky.assumptions if a.constant.key == "leakage.converter")
    assert known.low == pytest.approx(plain.energy_J["total"]) and known.high is not None
    assert known.high - known.low == pytest.approx(3 * leaked, rel=1e-9)


ENDS = {"array.v_read": ('"0.2 V"', '"0.1 V"', '"0.3 V"'), "price.row_drive": ('"0.39 pJ"', '"0.039 pJ"', '"1.053 pJ"')}


@pytest.mark.parametrize("key", ENDS)
def test_the_range_of_an_assumption_is_what_another_file_gives(tmp_path: Path, key: str) -> None:
    """Both ends of the total against the same counts on a macro whose file has the end as its value."""
    found = report()
    assumed = next(a for a in found.assumptions if a.constant.key == key)
    value, *ends = ENDS[key]
    for end, joules in zip(ends, (assumed.low, assumed.high)):
        path = tmp_path / "end.toml"
        path.write_text((FOLDER / "taox40-projected.toml").read_text().replace(f"value = {value}", f"value = {end}"))
        there = hardware.price(found.ledger, hardware.load_macro(path), steps=4)
        assert there.energy_J["total"] == pytest.approx(joules, rel=1e-12)


def test_all_assumptions_together_span_the_range() -> None:
    found = report()
    total, low, high = (found.energy_J[k] for k in ("total", "low", "high"))
    ranged = [a for a in found.assumptions if a.low is not None and a.high is not None]
    assert {a.constant.key for a in ranged} >= {"array.v_read", "array.t_read", "device.g_max", "price.row_drive"}
    assert all(low <= a.low <= total * (1 + 1e-12) and total <= a.high * (1 + 1e-12) for a in ranged)  # type: ignore[operator]
    assert high >= max(a.high for a in ranged)  # type: ignore[type-var]
    assert {a.constant.key for a in found.assumptions} == {c.key for c in found.assumed}


def test_prices_move_to_another_node() -> None:
    """Digital prices that say their node move by the ratio of the table; converters and arrays stay; others are refused."""
    macro = hardware.load_macro("isaac32")
    moved, ratio = macro.scaled(16e-9, 0.8), hardware.energy_ratio(32e-9, 0.9, 16e-9, 0.8)
    assert 0 < ratio < 1
    assert moved.prices[Action.shift_add] == pytest.approx(ratio * macro.prices[Action.shift_add])
    assert moved.prices[Action.column_convert] == macro.prices[Action.column_convert]
    constant = next(c for c in moved.constants if c.key == "price.shift_add")
    assert constant.status == "fit" and "scaled to 16 nm, 0.8 V" in constant.source and "16 nm" in moved.name
    assert moved.scaled(32e-9, 0.9).prices == pytest.approx(macro.prices)
    with pytest.raises(ss.SpikesimError, match="got 22 nm; it is not interpolated"):
        macro.scaled(22e-9, 0.8)
    with pytest.raises(ss.SpikesimError, match=r"Macro\.scaled must be of a macro whose prices state their node"):
        hardware.load_macro("ideal").scaled(16e-9, 0.8)


def test_bits_of_a_converter_have_their_price() -> None:
    """The bound at its tabulated points, rising with bits and nodes; a macro with other bits; the rest is refused."""
    assert hardware.survey_joules(8, 40e-9) == pytest.approx(2.607e-12)
    assert hardware.survey_joules(10, 65e-9) == pytest.approx(12.5e-12)
    rising = [hardware.survey_joules(b, 32e-9) for b in range(4, 11)]
    assert rising == sorted(rising) and rising[1] == pytest.approx(math.sqrt(rising[0] * rising[2]))
    macro = hardware.with_bits(hardware.load_macro("taox40-projected"), 6)
    assert macro.adc.bits == 6 and macro.prices[Action.column_convert] == pytest.approx(1.620e-12)
    assert "moved from 8 to 6 bits" in next(c.source for c in macro.constants if c.key == "price.column_convert")
    plain = hardware.load_macro("taox40-projected")
    ends = tuple(replace(c, low=1e-12, high=4e-12) if c.key == "price.column_convert" else c for c in plain.constants)
    moved = next(
        c for c in hardware.with_bits(plain.varied(constants=ends), 4).constants if c.key == "price.column_convert"
    )
    ratio = hardware.survey_joules(4, 40e-9) / hardware.survey_joules(8, 40e-9)
    assert (moved.low, moved.high) == pytest.approx((1e-12 * ratio, 4e-12 * ratio))
    for bits, node, said in ((3, 40e-9, "at least 4"), (8, 45e-9, "one of 22, 32, 40, 65 nm, got 45 nm")):
        with pytest.raises(ss.SpikesimError, match=said):
            hardware.survey_joules(bits, node)


def test_operations_count_twice_for_a_multiplication() -> None:
    """1 OP = one multiplication or one addition: binary inputs add, graded inputs multiply and add, a dense pass both."""
    found = report()
    macs = 9 * 6 * 16 + 96 * 20 + 20 * 3
    assert found.operations["ann"] == 2 * macs
    assert found.tops_per_watt["ann"] == pytest.approx(2 * macs / found.energy_J["total"] / 1e12)
    ideal = Ledger()
    ss.run(network(), data().x, steps=4, ledger=ideal)
    assert found.operations["effective"] == pytest.approx(ideal.count(Action.digital_add) / 8)
    shown = ArrayDataset(2 * data().x, data().labels)
    chip = hardware.deploy(network(), found.macro, seeds=ss.Seeds(1), calibration=shown.x[None])
    graded, doubled = hardware.estimate(chip, shown, steps=4), Ledger()
    ss.run(network(), shown.x, steps=4, ledger=doubled)
    adds, multiplied = (doubled.count(a) / 8 for a in (Action.digital_add, Action.digital_mac))
    assert multiplied > 0 and graded.operations["effective"] == pytest.approx(adds + 2 * multiplied)


def test_the_screen_says_it_all() -> None:
    text = str(report())
    for part in (
        "over what is assumed",
        "pipelined",
        "TOPS/W",
        "mm²",
        "assumed: array.v_read = 0.2 V; total",
        "left out:",
    ):
        assert part in text
    assert "peak INT8" in text and "clock distribution" in text


def test_a_treemap_shows_true_shares() -> None:
    """Rectangles fill the frame, do not overlap, and have areas in proportion."""
    from spikesim.report.energy import _squarified

    values = sorted(np.random.default_rng(0).lognormal(0, 1.5, 23), reverse=True)
    found = _squarified(values, 2.0, 1.0, 30.0, 11.0)
    assert [w * h for _, _, w, h in found] == pytest.approx([330 * v / sum(values) for v in values])
    for i, (x, y, w, h) in enumerate(found):
        assert x >= 2 - 1e-9 and y >= 1 - 1e-9 and x + w <= 32 + 1e-9 and y + h <= 12 + 1e-9
        for a, b, c, d in found[:i]:
            assert min(x + w, a + c) - max(x, a) < 1e-9 or min(y + h, b + d) - max(y, b) < 1e-9
