"""The command line as a person uses it: each verb once with good input, and bad input refused in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from cli.console import said
from safetensors.torch import load_file
from torch import nn

import spikesim as ss
from spikesim import hardware
from spikesim.cli import main
from spikesim.datasets import load, write_folder

ROOT = Path(__file__).parents[2]


class Chain(nn.Module):
    """A stranger's small ReLU network."""

    def __init__(self, odd: nn.Module | None = None) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(2, 4, 5, stride=4), nn.ReLU(), *([odd] if odd else []), nn.Flatten())
        self.fc = nn.Linear(256, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.features(x))


def chain() -> nn.Module:
    torch.manual_seed(0)
    return Chain()


def spiking() -> ss.Network:
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 4, 5, stride=4), ss.LIF(0.8, 0.3), nn.Flatten(), nn.Linear(256, 10)]
    return ss.Network.chain(*layers, input_shape=(2, 34, 34))


def tied() -> nn.Module:
    """Two layers of one weight."""
    torch.manual_seed(0)
    layers = nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16)
    layers[2].weight = layers[0].weight
    return nn.Sequential(nn.AdaptiveAvgPool2d((2, 4)), nn.Flatten(), *layers, nn.Linear(16, 10))


def unsupported() -> nn.Module:
    return Chain(nn.RReLU())


def broken() -> nn.Module:
    model = chain()
    model.fc.weight.data[0, 0] = float("nan")  # type: ignore[union-attr, operator, index]
    return model


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty embedded recordings as an official N-MNIST folder: 50 to train on, 10 to test."""
    digits = load("digits")
    folder = tmp_path_factory.mktemp("nmnist")
    write_folder(digits.subset(np.r_[digits.indices("train")[:50], digits.indices("test")[:10]]), folder)
    return folder


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


MODEL = f"{Path(__file__).stem}:chain"


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run, expect exit 1 and one line on stderr; return it."""
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("spikesim: ")]
    assert code == 1 and len(lines) == 1 and not captured.out, captured
    return lines[0]


def test_convert_simulate_energy(recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ("--calibrate", recordings, "--test", recordings)
    assert main([str(a) for a in ("convert", MODEL, *data, "--steps", "1,4", "--out", "net", "--json")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["snn_accuracy"]) == {"1", "4"} and 0 <= found["ann_accuracy"] <= 1 and len(found["layers"]) == 1
    assert found["samples"] == 10 and found == json.loads(Path("net/convert.json").read_text())
    arguments = ("simulate", "net", recordings, "--steps", 4, "--record", "features.1", "--out", "sim", "--json")
    assert main([str(a) for a in arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["spikes_per_inference"] > 0 and np.load(Path("sim") / found["recorded"]["features.1"]).shape[:2] == (
        4,
        8,
    )
    assert (
        main(
            [
                str(a)
                for a in (
                    "energy",
                    "net",
                    recordings,
                    "--chips",
                    2,
                    "--steps",
                    4,
                    "--compare",
                    "1,2",
                    "--out",
                    "joules",
                    "--json",
                )
            ]
        )
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert (
        found["chip_accuracy"]["n"] == 2 and found["energy_J"]["total"] > 0 and found["assumed"] and found["excluded"]
    )
    assert [r["network"] for r in found["comparison"]["rows"]] == [
        "SNN, T = 1",
        "SNN, T = 2",
        "ANN, 8 bits",
        "ANN, 4 bits",
    ]
    assert len(found["comparison"]["verdicts"]) == 2 and [a["bits"] for a in found["ann_on_macro"]] == [8, 4]
    total = found["energy_J"]["total"]
    assert (
        found["tree"]["joules"] == pytest.approx(total, rel=1e-12) and found["area_mm2"] > 0 and found["latency_s"] > 0
    )
    assert found["baselines"]["digital_snn_loihi"] > 0 and found["timing"]["pipelined_s"] < found["latency_s"]
    written = {path.name for path in Path("joules").iterdir()}
    assert {"energy.json", "energy.csv", "report.html", "energy.png", "treemap.png", "assumed.png"} <= written
    page = Path("joules/report.html").read_text()
    assert "peak INT8" in page and "http" not in page.replace("http-equiv", "")
    assert found == json.loads(Path("joules/energy.json").read_text())
    assert main(["info", "net"]) == 0 and "SignedIF" in capsys.readouterr().out


def test_events_of_nodes_are_written_as_numbers(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ("--calibrate", recordings, "--test", recordings)
    assert main([str(a) for a in ("convert", MODEL, *data, "--steps", "4", "--out", "net")]) == 0
    capsys.readouterr()
    node = next(name for name, kind in said(capsys, "info", "net")["nodes"].items() if kind == "SignedIF")
    asked = ("--record", node, "--record", f"{node}.events", "--out", "run")
    assert main([str(a) for a in ("simulate", "net", recordings, "--steps", 4, *asked)]) == 0
    dense, events = (np.load(f"run/{node.replace('.', '_')}{end}.npy") for end in ("", "_events"))
    assert np.array_equal(dense, events) and dense.any()


def test_macros_data_and_info(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["macros"]) == 0 and "taox40-projected" in capsys.readouterr().out
    assert main(["macros", "show", "taox40"]) == 0
    text = capsys.readouterr().out
    assert "price.column_convert" in text and "60 nJ" in text and "assumed" in text
    for name in hardware.macro_names():
        assert main(["macros", "show", name, "--json"]) == 0
        constants = json.loads(capsys.readouterr().out)["constants"]
        assert constants and all(row["source"] and row["status"] for row in constants)
        assert main(["macros", "show", name]) == 0
        shown = capsys.readouterr().out
        assert all(row["key"] in shown for row in constants) and max(map(len, shown.splitlines())) <= 200
    assert main(["data", "list"]) == 0 and "digits" in capsys.readouterr().out
    assert main(["data", "info", str(recordings), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 60
    assert main(["data", "emulate", "digits", "--limit", "3", "--out", "made", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 3 and len(list(Path("made").rglob("*.bin"))) == 3


def test_images_become_a_folder_of_parts(capsys: pytest.CaptureFixture[str]) -> None:
    emulate = ("data", "emulate", "digits", "--limit", "3", "--cache", "--out", "parts")
    assert main([*emulate, "--threads", "2", "--json"]) == 0
    told = capsys.readouterr()
    made = json.loads(told.out)
    assert made["samples"] == 3 and 4 < made["bytes_per_event"] < 4.2 and {p.name for p in Path("parts").iterdir()} == {
        "index.json", "part-00000.safetensors"
    }  # fmt: skip
    assert told.err == "parts: 1 of 1 parts to write, about 0.01 million events, 0.05 MB\n"
    assert main([*emulate, "--json"]) == 0 and capsys.readouterr() == (told.out, "")
    assert main(["data", "info", "parts", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {name: value for name, value in made.items() if name != "out"}
    assert "begun with the same recordings" in refused(capsys, *emulate, "--seed", "1")
    Path("parts/part-00000.safetensors").write_bytes(b"cut")
    assert "parts/part-00000.safetensors must be a whole part" in refused(capsys, "data", "info", "parts")


def test_train_resumes_where_it_was(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = f'[experiment]\nmodel = "{MODEL}"\ndata = "{recordings}"\nbatch_size = 25\n[training]\nepochs = 2\n'
    Path("run.toml").write_text(text)
    assert main(["train", "run.toml", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert main(["train", "run.toml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == first and len(first["history"]) == 2
    names = {path.name for path in Path("train-out").iterdir()}
    assert names == {
        "experiment.toml", "train.json", "log.csv", "training.png", "checkpoint.safetensors", "weights.safetensors"
    }  # fmt: skip
    assert main(["train", "run.toml", "--restart", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["history"]
    assert [e["loss"] for e in again] == [e["loss"] for e in first["history"]]
    Path("run.toml").write_text(text.replace("epochs", "epoch"))
    assert "did you mean epochs" in refused(capsys, "train", "run.toml", "--out", "other")


def test_weights_that_layers_share_are_written(recordings: Path) -> None:
    model = f"{Path(__file__).stem}:tied"
    Path("run.toml").write_text(f'[experiment]\nmodel = "{model}"\ndata = "{recordings}"\n[training]\nepochs = 1\n')
    assert main(["train", "run.toml"]) == 0
    assert {"2.weight", "4.weight"} <= set(load_file("train-out/weights.safetensors"))


def test_chips_of_networks_without_an_ann_are_not_compared(
    recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = f"{Path(__file__).stem}:spiking"
    line = refused(capsys, "energy", model, recordings, "--steps", 2, "--compare", "1,2", "--out", "joules")
    assert (
        "--compare must be absent for a network whose ANN is not known, got 1,2" in line and not Path("joules").exists()
    )


def test_a_spiking_network_trains_on_recordings(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = f"{Path(__file__).stem}:spiking"
    head = f'[experiment]\nmodel = "{model}"\ndata = "{recordings}"\nsteps = 3\nloss = "tet"\nbatch_size = 20\n'
    body = 'augment = "affine"\nvalidation = 0.2\n[training]\nepochs = 2\nkeep = "best"\n'
    Path("run.toml").write_text(head + body)
    assert main(["train", "run.toml", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert all(e["validation"] is not None and e["spikes"] > 0 for e in found["history"])
    assert found["test_samples"] == 10 and found["processes"] == 1
    assert main(["simulate", "train-out/network", str(recordings), "--steps", "3", "--out", "sim"]) == 0
    capsys.readouterr()
    Path("run.toml").write_text(head.replace("steps = 3", "steps = 0").replace('loss = "tet"', ""))
    assert "must be an ANN, for steps = 0" in refused(capsys, "train", "run.toml", "--out", "other")
    Path("run.toml").write_text(head.replace("tet", "ted"))
    assert "Experiment.loss must be one of readout, membrane, rate, tet" in refused(capsys, "train", "run.toml")
    digits = load("digits")
    write_folder(digits.subset(np.flatnonzero(digits.labels == 3)[:12]), Path("threes"))
    Path("run.toml").write_text(head.replace(str(recordings), "threes"))
    assert "at least two classes" in refused(capsys, "train", "run.toml", "--out", "other")


def test_help_is_quick() -> None:
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "spikesim", "--help"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and "convert" in done.stdout
    assert time.perf_counter() - started < 2.0  # 0.7 s on a quiet machine (docs/demo.md); this guards lazy imports


def test_misuse_exits_with_2() -> None:
    assert main(["convert", "--no-such-option"]) == 2


def test_bad_input_is_refused_in_one_line(recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = Path(__file__).stem
    data = ("--calibrate", recordings, "--test", recordings, "--out", "net")
    line = refused(capsys, "convert", f"{here}:unsupported", *data)
    assert "features.2" in line and "RReLU" in line
    assert "fc.weight" in refused(capsys, "convert", f"{here}:broken", *data)
    np.savez("wrong.npz", x=np.zeros((8, 3, 5, 5), np.float32), y=np.arange(8))
    assert "calibration" in refused(
        capsys, "convert", MODEL, "--calibrate", "wrong.npz", "--test", recordings, "--out", "net"
    )
    assert "steps must be a whole number at least 1, got 0" in refused(capsys, "convert", MODEL, *data, "--steps", "0")
    assert not Path("net").exists() or not any(Path("net").iterdir())
    assert main([str(a) for a in ("convert", MODEL, *data, "--steps", "1")]) == 0
    capsys.readouterr()
    line = refused(capsys, "simulate", "net", recordings, "--steps", "0", "--out", "sim")
    assert "--steps must be a whole number at least 1, got 0" in line
    assert "did you mean taox40" in refused(capsys, "energy", "net", recordings, "--macro", "taox4", "--out", "sim")
    assert "did you mean" in refused(capsys, "simulate", "net", "digit", "--out", "sim")
    assert "run.record must be a node" in refused(
        capsys, "simulate", "net", recordings, "--record", "x", "--out", "sim"
    )
    assert "must be there" in refused(capsys, "simulate", "nothing", recordings, "--out", "sim")
    assert not (Path("sim") / "simulate.json").exists()
    assert "--data must be recordings of a 34 x 34 sensor" in refused(
        capsys, "demo", "--data", "wrong.npz", "--out", "demo"
    )


def test_broken_recordings_are_refused(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    victim = sorted(recordings.rglob("*.bin"))[0]
    whole = victim.read_bytes()
    try:
        for content, said in (
            (whole[:-2], "must be"),
            (b"", "must be"),
            (bytes([200]) + whole[1:], "must be"),
            (whole[-5:] + whole[:-5], "must be"),
        ):
            victim.write_bytes(content)
            line = refused(capsys, "data", "info", recordings)
            assert victim.name in line and said in line
    finally:
        victim.write_bytes(whole)


def test_a_folder_that_cannot_be_written_is_refused(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("not a folder")
    for arguments in (("demo", "--out", "file"), ("convert", MODEL, "--test", recordings, "--out", "file/net")):
        assert "must be a folder that can be written" in refused(capsys, *arguments)
    if os.geteuid() != 0:  # root writes anywhere
        Path("locked").mkdir(mode=0o500)
        assert "must be a folder that can be written" in refused(capsys, "demo", "--out", "locked/out")
