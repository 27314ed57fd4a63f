"""Measurements by their own code, on small networks and few images: strangers and their tables, the read, wires."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conversion.strangers import Vgg, seeded

import spikesim as ss
from benchmarks import (
    crossbar,
    direct_training,
    emulation,
    harness,
    headroom,
    hundred_chips,
    jobs_scaling,
    lsm_cochleas,
    lsm_speakers,
    lsm_speech,
    lsm_speed,
    lsm_vision,
    table_zoo,
    training_step,
    wires,
)
from benchmarks.strangers import FILES, Lenet, ResNet14, cases, measured
from benchmarks.table_strangers import exits, few_steps, losses, oracles
from spikesim.datasets import load, load_images
from spikesim.datasets.audio import Audio
from spikesim.datasets.base import ArrayDataset, EventDataset
from spikesim.evaluation import evaluate_ann
from spikesim.lsm.probe import Moments, Samples


def test_every_case_gives_a_row_and_rows_make_the_tables() -> None:
    x = torch.rand(160, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    ann = seeded(Vgg).eval()
    with torch.no_grad():
        data = ArrayDataset(x, ann(x).argmax(1).numpy())
    learn, held_out = data.subset(range(96)), data.subset(range(96, 160))
    reference = evaluate_ann(ann, held_out)
    rows = [
        {**case, **measured(case, ann, learn, held_out.subset(range(40 if case["most"] else 64)), reference)}
        for case in cases(["small"])
        if case["steps"] in (1, 4, 16, 32)
    ]
    assert {row["samples"] for row in rows} == {40, 64} and all(row["ann_accuracy"] == 1.0 for row in rows)
    assert "| small | 64 | 100.00 % |" in losses(rows) and "signed 32 (≤ 0.3)" in losses(rows)
    assert oracles(rows).count("%") == 3 and oracles(rows).count("±") == 1 and few_steps(rows).count("±") == 6


def test_an_interrupted_measurement_goes_on_and_a_finished_one_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    asked: list[int] = []

    def measure(case: dict[str, int]) -> dict[str, int]:
        if case["n"] == 2 and len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(case["n"])
        return {"square": case["n"] ** 2}

    with pytest.raises(KeyboardInterrupt):
        harness.resumed("claim", [{"n": n} for n in range(4)], measure)
    asked.append(-1)
    rows = harness.resumed("claim", [{"n": n} for n in range(4)], measure)
    assert [(row["n"], row["square"]) for row in rows] == [(n, n * n) for n in range(4)] and asked == [0, 1, -1, 2, 3]
    harness.record("claim", [{**row, "machine": "another"} for row in rows])
    harness.resumed("claim", [{"n": 0}], measure)
    assert asked[-1] == 0
    harness.record("claim", [{**row, "machine": "another"} for row in rows])
    harness.keep("claim", lambda row: row["n"] != 1)
    kept = harness.resumed("claim", [{"n": n} for n in (0, 1, 2, 7)], measure)
    assert asked[-3:] == [0, 1, 7] and [row["machine"] == "another" for row in kept] == [True, False, True, False]


def test_tables_of_early_exit_and_of_headroom() -> None:
    row = {
        "name": "exit",
        "threads": 1,
        "accuracy": 0.8,
        "whole_s": 40.0,
        "early_accuracy": 0.79,
        "early_s": 20.0,
        "mean_steps": 15.5,
    }
    assert exits([row, {"name": "run"}]).endswith("| 1 | 80.0 %, 40.0 s | 79.0 %, 20.0 s | 15.5 | 2.0 |")
    case = next(case for case in headroom.cases(["leaky"], width=1, samples=2) if case["factor"] == 1)
    found = case | headroom.row_of(case, steps=(4, 8, 16, 32, 64, 256, 1024))
    rows = [found, found | {"factor": 1.02, "slope": -0.5}]
    first, second = table_zoo.table(rows).splitlines()[2:]
    assert first.startswith("| 1 |") and f"| {found['slope']:.2f} | {found['slope']:.2f} |" in first
    assert second.startswith("| 1.02 | -0.50 | -0.50 | 0 of 1 |") and second.endswith("| 1.00 |" + " 1.00 |" * 6)


def test_builders_take_the_shapes_that_the_checkpoints_have() -> None:
    for name, (_, _, builder) in FILES.items():
        if builder is not None:
            module, transform = builder()
            assert callable(transform) and sum(p.numel() for p in module.parameters()) > 10_000, name
    for network in (Lenet(), ResNet14()):
        with torch.no_grad():
            assert np.isfinite(network.eval()(torch.zeros(1, 3, 32, 32)).numpy()).all()


def test_the_read_is_measured_beside_the_ideal_product() -> None:
    rows = crossbar.measured(0.1, 1, 1)
    assert [r["name"] for r in rows[:2]] == [crossbar.IDEAL, "every cell fluctuates, 8-bit ADC"]
    assert rows[0]["times_ideal"] == 1.0 and all(r["times_ideal"] > 0 and r["rate"] > 0 for r in rows)


def test_wires_are_measured_against_the_nodal_equations() -> None:
    rows = {r["name"]: r for r in wires.measured(12, 1, 1)}
    assert rows["line, one read"]["error"] < 1e-9 and rows["effective matrix, once"]["error"] < 1e-9


def test_chips_are_timed_by_the_code_that_runs_them() -> None:
    """Two chips and six recordings: the rows of both claims, and their table."""
    shared = jobs_scaling.demo_network(6)
    assert jobs_scaling.timed(shared, 1, {"workers": 1}) > 0
    with jobs_scaling.bare_processes(2, 3) as both:
        assert both() > 0
    row = hundred_chips.timed(*shared, 2, ss.Seeds(0))
    assert row["chip_accuracy"]["n"] == 2 and row["samples"] == 6 and row["seconds"] > 0
    told = jobs_scaling.memory(3)
    assert told["chips"] == 3 and told["parent_mib"] > 50 and told["worker_mib"] > 50
    scaled = {"name": "dask", "chips": 8, "seconds_1": 20.0, "seconds_2": 11.0, "efficiency": 0.9}
    assert "| dask, 8 chips | 20.0 s | 11.0 s | 0.90 |" in jobs_scaling.table([scaled, told])


def test_direct_training_is_measured_on_recordings_that_it_has_not_seen() -> None:
    data = load("digits").part("train").subset(range(0, 1200, 12))
    row = direct_training.fold(data, 0, epochs=1)
    assert row["samples"] == len(row["right"]) == 20 and row["epochs"] == 1 and row["seconds"] > 0
    assert row["accuracy"] == np.mean(row["right"]) and row["spikes_per_neuron"] > 0


def test_emulation_is_timed_by_the_code_that_writes_and_reads_parts(tmp_path: Path) -> None:
    rows = emulation.measured(load_images("digits").first(12), tmp_path, rounds=1)
    assert [row["name"] for row in rows] == ["emulate", "check", "decode", "decode, view", "lists"]
    assert all(row["samples"] == 12 and row["seconds"] > 0 for row in rows) and 4 < rows[0]["bytes_per_event"] < 5
    assert rows[2]["events"] == rows[0]["events"] > 0 < rows[4]["entries"]


def test_reservoirs_are_judged_on_recordings_whose_pictures_were_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same recordings as real and as emulated ones: of either fold the other is what is trained on."""
    digits = load("digits").subset(np.arange(300))
    monkeypatch.setattr(lsm_vision, "FOLDS", 2)
    row = lsm_vision.measured({"setup": "published", "features": "reservoir", "seed": 0}, digits, digits)
    assert row["samples"] == 300 and row["size"] == 200 and 0.02 < row["rate"] < 0.3
    assert row["emulated"] < 1 and row["both_cross_entropy"] < 1
    for name in ("real", "emulated", "both", "both_cross_entropy"):
        assert row[name] > 0.2  # chance is 0.1
    alone = lsm_vision.measured({"setup": "published", "features": "events", "seed": 0}, digits, digits)
    assert alone["rate"] == 0 and alone["size"] == 200
    for row in lsm_speed.measure(digits, 1):
        assert row["recordings"] == 300 and row["seconds"] > 0


def test_a_training_step_of_every_contender_that_is_there() -> None:
    rows = training_step.measured(1, 1, 4)
    assert rows[0]["name"] == "spikesim" and rows[0]["median_s"] > 0
    peak = training_step.peak("spikesim", 8)
    assert peak is not None and 0 <= peak < 500
    assert training_step.peak("nobody", 8) is None


def spoken(speakers: int) -> EventDataset:
    """Three takes of each of ten made-up words by every speaker."""
    generator = np.random.default_rng(0)
    takes = 3 * speakers
    labels, take = np.tile(np.arange(10), takes), np.repeat(np.arange(takes), 10)
    count, events = len(labels), 150
    place = (generator.integers(0, 9, count * events) + 6 * np.repeat(labels, events)) % 64
    return EventDataset(
        t=np.tile(np.arange(events) * 500, count), x=place,
        y=np.zeros(count * events, int), p=np.ones(count * events, int), offsets=np.arange(0, count * events + 1, events),
        labels=labels, sensor=(1, 64), split=(take % 3), groups=np.array(["ann", "bob", "cid"])[take // 3], polarity=1,
    )  # fmt: skip


def test_spoken_digits_are_judged_by_takes_and_by_speakers() -> None:
    data = spoken(2)
    for features in ("events", "reservoir"):
        row = lsm_speech.measured({"setup": "published", "features": features, "seed": 0}, data)
        assert row["samples"] == 20 and set(row["by_speaker"]) == {"ann", "bob"}
        assert row["known"] > 0.8 and row["held_out"] == np.mean(list(row["by_speaker"].values())) > 0.8


def test_warps_are_chosen_without_the_speaker_who_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    data, case = spoken(3), {"setup": "published", "features": "events", "seed": 0}
    monkeypatch.setattr(lsm_speakers, "WARPS", lsm_speakers.WARPS[1:4:2])
    monkeypatch.setattr(lsm_speakers, "PENALTIES", (1.0, 100.0))
    row = lsm_speakers.measured(case, data)
    assert set(row["by_speaker"]) == {"ann", "bob", "cid"} and row["none"] > 0.8 and row["samples"] == len(data)
    other = np.where(data.groups == "cid", (data.labels + 1) % 10, data.labels)
    wrong = lsm_speakers.measured(case, replace(data, labels=other))["by_speaker"]["cid"]
    assert wrong["in_choice"] == row["by_speaker"]["cid"]["in_choice"], "cid's labels have no part in cid's choice"
    assert wrong["none"] < 0.2


def test_either_form_of_least_squares_leaves_groups_out_alike() -> None:
    generator = np.random.default_rng(0)
    x, groups = generator.standard_normal((60, 90)).astype(np.float32), np.repeat(["a", "b", "c"], 20)
    labels = (x[:, :3] @ generator.standard_normal((3, 4))).argmax(1)
    found = []
    for form in (Moments, Samples):
        parts = {"way": {name: form.of(x[groups == name], labels[groups == name], 4) for name in "abc"}}
        judge = lsm_speakers.LeftOut(parts, {"way": x}, labels, groups)
        choices: list[lsm_speakers.Choice] = [("way", penalty) for penalty in (1.0, 1e4)]
        found.append([judge.without(name, choices) for name in "abc"])
    assert found[0] == found[1] and len({value for row in found[0] for value in row.values()}) > 2


def test_cochleas_are_chosen_without_the_speaker_who_is_judged() -> None:
    data = spoken(3)
    heard = {"fit": data, "wide": replace(data, x=data.x[np.argsort(data.t, kind="stable")])}
    case = {"neurons": 0, "seed": 0}
    row = lsm_cochleas.measured(case, heard)
    assert set(row["by_speaker"]) == {"ann", "bob", "cid"} and row["first"] > 0.8 and row["known"]["fit"] >= 0.8
    assert row["chosen"] >= 0.8 and row["samples"] == len(data) and row["size"] == 5 * 64
    other = replace(data, labels=np.where(data.groups == "cid", (data.labels + 1) % 10, data.labels))
    wrong = lsm_cochleas.measured(case, {"fit": other, "wide": replace(heard["wide"], labels=other.labels)})
    for key in ("cochlea", "penalty"):
        assert wrong["by_speaker"]["cid"][key] == row["by_speaker"]["cid"][key], (
            "cid's labels have no part in cid's choice"
        )
    assert wrong["by_speaker"]["cid"]["first"] < 0.2


def test_a_mel_spectrum_shows_where_a_tone_is() -> None:
    time = np.arange(4000) / 8000
    sounds = [np.sin(2 * np.pi * hertz * time).astype(np.float32) for hertz in (300.0, 1000.0, 3000.0)]
    audio = Audio(np.concatenate(sounds), np.arange(4) * 4000, np.arange(3), 8000, np.arange(3))
    found = lsm_cochleas.mel_spectra(audio).reshape(3, lsm_cochleas.WINDOWS, lsm_cochleas.BANDS)
    loudest = found.argmax(2)
    assert (loudest == loudest[:, :1]).all() and loudest[0, 0] < loudest[1, 0] < loudest[2, 0]
    tilted = lsm_cochleas.cepstra(np.tile(np.arange(lsm_cochleas.BANDS, dtype=np.float32), (1, lsm_cochleas.WINDOWS)))
    assert tilted.shape == (1, 12 * lsm_cochleas.WINDOWS) and np.abs(tilted[0, :12]).argmax() == 0 and tilted[0, 0] < 0
