"""NIR files on the command line: written by convert, described by info, run by simulate; refusals before any work."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from spikesim.cli import main

pytest.importorskip("nir")


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 3)).eval()


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    rng = np.random.default_rng(0)
    x = rng.random((80, 1, 4, 4), np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=rng.integers(0, 3, 80))
    return tmp_path


def convert(*more: str) -> int:
    data = ("--calibrate", "data.npz", "--test", "data.npz")
    return main(
        [
            "convert",
            f"{Path(__file__).stem}:small",
            *data,
            "--steps",
            "4",
            "--out",
            "net",
            "--nir",
            "net.nir",
            "--json",
            *more,
        ]
    )


def test_convert_writes_what_info_describes_and_simulate_runs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert("--recipe", "max") == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert found["nir"] == "net.nir" and "reset by subtraction" in told.err
    assert main(["info", "net.nir", "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["kind"] == "NIR graph" and "IF" in about["nodes"].values() and about["input_shape"] == [1, 4, 4]
    assert main(["simulate", "net.nir", "data.npz", "--steps", "4", "--out", "sim", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == found["snn_accuracy"]["4"]


def test_refusals_leave_nothing_behind(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert("--recipe", "signed") == 1
    assert "signed spikes" in capsys.readouterr().err and not (here / "net.nir").exists()
    (here / "bad.nir").write_bytes(b"no HDF5")
    for arguments in (["info", "bad.nir"], ["simulate", "bad.nir", "data.npz"], ["simulate", "none.nir", "data.npz"]):
        assert main(arguments) == 1
        assert capsys.readouterr().err.count("\n") == 1
    assert main(["simulate", "net", "data.npz", "--dt", "1 ms"]) == 1
    assert "--dt must be absent" in capsys.readouterr().err
