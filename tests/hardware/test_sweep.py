"""Sweeps and searches of designs: paired chips, the same for any number of workers, resumed to the same; nothing is chosen on
the samples that test."""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim import hardware
from spikesim.datasets import ArrayDataset
from spikesim.fingerprint import fingerprint
from spikesim.hardware import sensitivity
from spikesim.hardware.design import front, halves, is_within, picked
from spikesim.hardware.sensitivity import run_point
from spikesim.hardware.study import OverChips, one_chip

SEEDS = ss.Seeds(3)
VARY: dict[str, tuple[float | str, ...]] = {"read_noise": (0.0, 0.5), "age": ("3600 s",)}


def data(samples: int = 66) -> ArrayDataset:
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(samples, 12, generator=draw)
    return ArrayDataset(x, np.arange(samples) % 3)


def network() -> ss.Network:
    torch.manual_seed(0)
    ann = nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 3))
    return ss.convert(ann, calibration=data(), steps=4)[0]


def swept(**options: Any) -> sensitivity.Sweep:
    given: dict[str, Any] = {"vary": VARY, "chips": 3, "steps": 4, "seeds": SEEDS, **options}
    return hardware.sweep(network(), data(), "taox40-projected", **given)


def test_each_key_alone_beside_the_macro_as_it_is() -> None:
    found = swept()
    assert [row["label"] for row in found.rows] == ["as given", "read_noise=0", "read_noise=0.5", "age=3600 s"]
    assert [row["age_s"] for row in found.rows] == [0, 0, 0, 3600] and found.samples == 66
    for row in found.rows:
        assert set(row["chip_accuracy"]) == {"n", "mean", "ci95", "worst"} and row["chip_accuracy"]["n"] == 3
        assert (
            row["latency_s"] > 0
            and row["area_mm2"] > 0
            and set(row["energy_J"]) >= {"total", "by_component", "by_layer"}
        )
        assert sum(row["energy_J"]["by_layer"].values()) == pytest.approx(row["energy_J"]["total"])
    assert found.rows[0]["change"] == {"mean": 0.0, "ci95": [0.0, 0.0]}


def test_arrays_and_loaders_will_do() -> None:
    given: dict[str, Any] = {"vary": {"adc_bits": (6,)}, "chips": 1, "steps": 4, "seeds": SEEDS}
    whole = hardware.sweep(network(), (data().x, data().labels), "taox40-projected", **given)
    halves_of_it = [(data().x[:40], data().labels[:40]), (data().x[40:], data().labels[40:])]
    assert whole == swept(**given) == hardware.sweep(network(), halves_of_it, "taox40-projected", **given)


def test_a_row_is_what_its_chips_give_one_by_one() -> None:
    """Chip k of every row is `deploy` with the seeds of chip k, and the change is taken chip by chip."""
    row = swept().rows[2]
    macro = hardware.varied(hardware.load_macro("taox40-projected"), "read_noise", 0.5)
    reports, base = [], []
    for k in range(3):
        for design, into in ((macro, reports), (hardware.load_macro("taox40-projected"), base)):
            chip = hardware.deploy(network(), design, seeds=SEEDS.child("chip", k))
            into.append(hardware.estimate(chip, data(), steps=4, beside=False))
    assert row["chip_accuracy"]["mean"] == np.mean([r.accuracy for r in reports])
    assert row["chip_energy_J"]["mean"] == pytest.approx(np.mean([r.energy_J["total"] for r in reports]), rel=1e-12)
    changes = [(r.accuracy or 0) - (b.accuracy or 0) for r, b in zip(reports, base)]
    assert row["change"]["mean"] == pytest.approx(np.mean(changes))


def test_all_combinations() -> None:
    found = swept(vary={"adc_bits": (4, 8), "array": (64, 128, 64)}, grid=True, chips=1)
    labels = [row["label"] for row in found.rows[1:]]
    assert labels == [f"adc_bits={b}, array={a}" for b in (4, 8) for a in (64, 128)]
    assert found.rows[1]["area_mm2"] != found.rows[2]["area_mm2"]
    assert found.rows[1]["change"]["ci95"] is None and found.rows[1]["chip_accuracy"]["ci95"] == [0.0, 1.0]


def test_workers_and_interruptions_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = swept().to_json()
    assert swept(workers=2).to_json() == whole
    done: list[None] = []

    def interrupted() -> None:
        done.append(None)
        if len(done) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        swept(keep=tmp_path, advance=interrupted)
    kept = list(tmp_path.rglob("*.json"))
    assert 4 <= len(kept) < 13
    asked: list[Any] = []

    def counted(*arguments: Any) -> Any:
        asked.append(arguments)
        return run_point(*arguments)

    monkeypatch.setattr(sensitivity, "run_point", counted)
    assert swept(keep=tmp_path).to_json() == whole and len(asked) == 13 - len(kept)
    swept(keep=tmp_path, vary={**VARY, "adc_bits": (6,)})
    assert len(asked) == 13 - len(kept) + 3  # only what is new
    assert swept(keep=tmp_path, steps=5).to_json() != whole and len(asked) == 13 - len(kept) + 3 + 13


def once_killed(*arguments: Any) -> Any:
    """`run_point` in a process that is killed, the first time that chip 1 is asked for."""
    marker = Path(os.environ["SPIKESIM_TEST_KILLED"])
    if arguments[4] == 1 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return run_point(*arguments)


def test_a_killed_worker_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPIKESIM_TEST_KILLED", str(tmp_path / "killed"))
    monkeypatch.setattr(sensitivity, "run_point", once_killed)
    found = swept(workers=2, keep=tmp_path / "kept").to_json()
    monkeypatch.undo()
    assert (tmp_path / "killed").exists() and found == swept().to_json()


def test_files_and_screen(tmp_path: Path) -> None:
    found = swept()
    rows = list(csv.DictReader(found.to_csv(tmp_path / "sweep.csv").open()))
    assert [row["read_noise"] for row in rows] == ["", "0.0", "0.5", ""] and rows[3]["age"] == "3600 s"
    assert float(rows[1]["energy_J"]) == found.rows[1]["energy_J"]["total"]
    assert json.loads(json.dumps(found.to_json())) == found.to_json()
    lines = str(found).splitlines()
    assert (
        len(lines) == 2 + len(found.rows)
        and max(map(len, lines)) < 130
        and "3 chips (the same in every row)" in lines[0]
    )
    assert len(found.figure().axes) == 4  # accuracy and energy of two keys
    assert len(swept(vary={"adc_bits": (4,)}, grid=True, chips=1).figure().axes) == 2


def test_what_is_asked_wrongly_is_refused_before_anything_runs() -> None:
    for options, said in (
        ({"vary": {"read_nois": (0.1,)}}, "did you mean read_noise"),
        ({"vary": {"adc_bits": (4, 99)}}, "survey_joules.bits must be"),
        ({"vary": {}}, "sweep.vary must be keys with at least one value each"),
        ({"chips": 0}, "sweep.chips must be a whole number at least 1, got 0"),
        ({"steps": 0}, "sweep.steps must be a whole number at least 1, got 0"),
    ):
        with pytest.raises(ss.SpikesimError, match=said):
            swept(**options)


def row(bits: float, side: float, accuracy: float, joules: float, area: float) -> dict[str, Any]:
    return {
        "settings": {"adc_bits": bits, "array": side}, "chip_accuracy": {"mean": accuracy}, "energy_J": {"total": joules},
        "area_mm2": area, "latency_s": 1.0,
    }  # fmt: skip


def test_of_designs_that_keep_the_accuracy_the_leanest_are_picked() -> None:
    rows = [row(8, 512, 0.95, 5, 9), row(5, 128, 0.945, 3, 2), row(5, 64, 0.95, 4, 1), row(4, 64, 0.9, 1, 1),
            row(6, 256, 0.941, 2.5, 3)]  # fmt: skip
    found = picked(rows, ["adc_bits", "array"], 0.95, 0.01)
    assert found == {"least adc_bits": 1, "largest array": 0, "least energy_J": 4, "least area_mm2": 2}
    assert picked(rows, ["adc_bits"], 0.99, 0.01) == {} and is_within(rows[4], 0.951, 0.01)
    assert front(rows) == [3, 4, 1, 2] and front(rows, "area_mm2") == [2]


def test_a_search_reports_on_other_samples_than_it_chooses_on() -> None:
    choose, test = halves(data(36))
    assert not set(choose.sample_ids.tolist()) & set(test.sample_ids.tolist()) and len(choose) == len(test) == 18
    given: dict[str, Any] = {"vary": {"adc_bits": (4, 8), "array": (64, 128)}, "within": 1.0, "chips": 2, "steps": 4}
    found = hardware.search(network(), choose, test, "taox40-projected", seeds=SEEDS, **given)
    assert found.designs.samples == 18 and len(found.designs.rows) == 5 and found.tested[0]["label"] == "as given"
    assert found.chosen.keys() == {"least adc_bits", "largest array", "least energy_J", "least area_mm2"}
    for reason, at in found.chosen.items():
        settings = found.tested[at]["settings"]
        assert settings.get("adc_bits") == 4 or reason != "least adc_bits"
        assert settings.get("array") == 128 or reason != "largest array"
    alone = hardware.sweep(network(), test, "taox40-projected", vary={"adc_bits": (8,)}, chips=2, steps=4, seeds=SEEDS)
    assert alone.rows[0] == found.tested[0] and alone.ideal_accuracy == found.ideal_accuracy
    text = str(found)
    assert (
        "5 of 5 designs are within 100 points" in text and "18 other samples" in text and len(found.figure().axes) == 2
    )
    assert json.loads(json.dumps(found.to_json()))["chosen"]["largest array"]["label"].endswith("array=128")
    with pytest.raises(ss.SpikesimError, match=r"search\.test must be other samples than those that choose"):
        hardware.search(network(), test, test, "taox40-projected", **given)
    with pytest.raises(ss.SpikesimError, match=r"search\.test must be other samples than those that choose"):
        hardware.search(network(), data(36), test, "taox40-projected", **given)
    none = hardware.search(network(), choose, test, "taox40-projected", seeds=SEEDS, **{**given, "within": 0.0, "chips": 1,
                           "vary": {"faults": (1.0,)}})  # fmt: skip
    assert set(none.chosen) <= {"least energy_J", "least area_mm2", "largest faults"} and none.figure() is not None


def test_a_fingerprint_tells_what_results_depend_on() -> None:
    base = {"network": network(), "data": data(), "macro": hardware.load_macro("isaac32"), "seeds": SEEDS, "steps": 4}
    first = fingerprint(**base)
    assert first == fingerprint(**base) == fingerprint(**{**base, "network": network(), "data": data()})
    other = network()
    with torch.no_grad():
        next(iter(other.state_dict().values())).add_(1e-6)
    changed: dict[str, Any] = {
        "network": other, "data": data(65), "macro": hardware.varied(base["macro"], "adc_bits", 7),  # type: ignore[arg-type]
        "seeds": ss.Seeds(4), "steps": 5,
    }  # fmt: skip
    assert len({first, *(fingerprint(**{**base, key: value}) for key, value in changed.items())}) == 6


def test_reports_of_chips_are_added_one_by_one() -> None:
    macro, together = hardware.load_macro("taox40-projected"), OverChips()
    reports = [one_chip(network(), data(), macro, k, 4, SEEDS)["report"] for k in range(3)]
    for report in reports:
        together.add(report)
    mean = together.report()
    assert mean["energy_J"]["total"] == pytest.approx(np.mean([r["energy_J"]["total"] for r in reports]), rel=1e-12)
    assert mean["tree"]["joules"] == pytest.approx(mean["energy_J"]["total"], rel=1e-12)
    assert mean["operations"] == reports[0]["operations"] and "baselines" in mean and mean["sources"]
    told = together.statistics([0.0])
    assert told["worst_chip"] == int(np.argmin(together.accuracies)) and told["chip_energy_J"]["n"] == 3
    assert [r["accuracy"] for r in told["yield"]] == [0.0, pytest.approx(reports[0]["ideal_accuracy"] - 0.01)]
    assert together.first is reports[0] and not hasattr(together, "reports")  # others are not held on to
