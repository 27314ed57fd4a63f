"""`spikesim sweep` and `spikesim energy` as a person uses them: interrupted, run again, given wrong options."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from cli.console import refused, said
from test_jobs import children_of, is_alive, waited_for
from torch import nn

import spikesim as ss
from spikesim.cli import main
from spikesim.datasets import ArrayDataset

ROOT = Path(__file__).parents[2]
ARGUMENTS = ("--steps", "4", "--vary", "read_noise=0,0.5", "--vary", "adc_bits=4,6")


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A folder with a small network and labelled arrays, in which commands are run."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    x = torch.rand(80, 12)
    ann = nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 3))
    y = ann(x).argmax(1).numpy()
    ss.save(ss.convert(ann, calibration=ArrayDataset(x, y), steps=4)[0], "net")
    np.savez("data.npz", x=x.numpy(), y=y)
    yield tmp_path


def test_sweep_writes_a_table_and_a_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "net", "data.npz", *ARGUMENTS, "--chips", "2", "--out", "out"]) == 0
    text = capsys.readouterr().out
    assert "read_noise=0.5" in text and "2 chips (the same in every row)" in text and text.count("\n") < 24
    assert {"sweep.json", "sweep.csv", "sweep.png", "jobs"} == {path.name for path in Path("out").iterdir()}
    found = said(capsys, "sweep", "net", "data.npz", *ARGUMENTS, "--chips", "2", "--out", "out")
    written = json.loads(Path("out/sweep.json").read_text())
    assert found == written and len(found["rows"]) == 5 and found["samples"] == 80
    grid = said(capsys, "sweep", "net", "data.npz", *ARGUMENTS, "--chips", "1", "--grid", "--out", "grid")
    assert len(grid["rows"]) == 5 and grid["rows"][1]["settings"] == {"read_noise": 0.0, "adc_bits": 4.0}


def test_search_chooses_on_one_half_and_tests_on_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    found = said(capsys, "sweep", "net", "data.npz", *ARGUMENTS, "--chips", "1", "--within", "100", "--out", "out")
    assert found["designs"]["samples"] == found["samples"] == 40 and found["within"] == 1.0
    assert found["chosen"]["least adc_bits"]["label"].endswith("adc_bits=4")
    assert main(["sweep", "net", "data.npz", *ARGUMENTS, "--chips", "1", "--within", "100", "--out", "out"]) == 0
    assert "40 other samples" in capsys.readouterr().out


def test_a_sweep_killed_in_the_middle_goes_on_to_the_same_result(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """kill -9 of the parent: what it had finished is taken, the rest computed, every number is equal."""
    arguments = ("sweep", "net", "data.npz", *ARGUMENTS, "--chips", "30", "--threads", "2")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen(
        [sys.executable, "-m", "spikesim", *arguments, "--out", "killed"], cwd=here, env=environment,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    waited_for(lambda: len(list(Path("killed/jobs").rglob("*chip-*.json"))) >= 5)
    children = children_of(parent.pid)
    parent.kill()
    parent.wait()
    waited_for(lambda: not any(map(is_alive, children)))
    before = len(list(Path("killed/jobs").rglob("*.json")))
    assert 5 <= before < 151 and not Path("killed/sweep.json").exists()
    whole, resumed = (said(capsys, *arguments[:-2], "--out", out) for out in ("whole", "killed"))
    whole.pop("seconds"), resumed.pop("seconds")
    assert resumed == whole


def test_energy_goes_on_where_it_was_and_says_how_sure_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    given = ("energy", "net", "data.npz", "--steps", "4", "--out", "out")
    found = said(capsys, *given, "--chips", "3", "--yield-at", "0.5")
    assert set(found["chip_accuracy"]) == {"n", "mean", "ci95", "worst"} and set(found["energy_J"]) >= {
        "total", "by_component", "by_layer",
    }  # fmt: skip
    for key in ("latency_s", "area_mm2", "baselines", "excluded", "assumed", "sources"):
        assert found[key], key
    page = Path("out/report.html").read_text()
    assert "yield: chips that reach 50.00 %" in page and "over test samples (80, Wilson)" in page
    assert found["yield"][0]["accuracy"] == 0.5 and found["test_sampling"]["samples"] == 80
    (folder,) = Path("out/jobs").iterdir()
    ages = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    more = said(capsys, *given, "--chips", "4")
    assert more["chip_accuracy"]["n"] == 4 and all((folder / n).stat().st_mtime_ns == t for n, t in ages.items())
    (folder / "chip-1.json").unlink()
    again = said(capsys, *given, "--chips", "4", "--threads", "2")
    assert {**again, "seconds": 0} == {**more, "seconds": 0}
    said(capsys, *given, "--chips", "1", "--seed", "1")
    assert len(list(Path("out/jobs").iterdir())) == 2  # another seed is another folder
    assert main([*given, "--chips", "1"]) == 0 and "one chip says nothing of others" in capsys.readouterr().out


def test_bad_options_are_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    sweep = ("sweep", "net", "data.npz", "--out", "out")
    assert "--vary must be given at least once" in refused(capsys, *sweep)
    assert "--vary must be KEY=V1,V2, got adc_bits" in refused(capsys, *sweep, "--vary", "adc_bits")
    assert "did you mean adc_bits" in refused(capsys, *sweep, "--vary", "adc_bit=4")
    assert "must be given in V" in refused(capsys, *sweep, "--vary", "array.v_read=0.1 A")
    assert "sweep.chips must be" in refused(capsys, *sweep, "--vary", "adc_bits=4", "--chips", "0")
    assert "search.within must be" in refused(capsys, *sweep, "--vary", "adc_bits=4", "--within", "-1")
    assert "jobs.workers must be" in refused(capsys, *sweep, "--vary", "adc_bits=4", "--threads", "0")
    energy = ("energy", "net", "data.npz", "--out", "out")
    assert "--yield-at must be" in refused(capsys, *energy, "--yield-at", "95")
    for verb in (energy, (*sweep, "--vary", "adc_bits=4")):
        line = refused(capsys, *verb, "--cluster", "nowhere")
        assert "--cluster must be" in line and ("Dask" in line)
    assert not Path("out/sweep.json").exists() and not Path("out/energy.json").exists()
