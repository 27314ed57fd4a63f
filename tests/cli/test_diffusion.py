"""`spikesim train` of a [diffusion] TOML and `spikesim sample` as a person uses them."""

from __future__ import annotations

import json
import shutil
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cli.console import refused, said
from PIL import Image

from spikesim.cli import main

TOML = """[diffusion]
data = "digits"
size = 8
width = 8
multipliers = [1, 2]
blocks = 1
steps = 2
batch_size = 32
limit = 96
validation = 32
conditional = true
[training]
epochs = 1
learning_rate = 3e-3
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("diffusion")
    (where / "digits.toml").write_text(TOML)
    assert main(["train", str(where / "digits.toml"), "--out", str(where / "out"), "--json"]) == 0
    return where / "out"


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def test_training_writes_a_model_a_log_and_its_file(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert names == {"experiment.toml", "train.json", "log.csv", "training.png", "checkpoint.safetensors", "model"}
    found = json.loads((trained / "train.json").read_text())
    assert found["classes"] == 10 and found["size"] == 8 and len(found["history"]) == 1


def test_info_says_what_a_run_left(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = said(capsys, "info", str(trained))
    assert (found["kind"], found["data"], found["steps"]) == ("diffusion model", "digits", 2)
    assert found["folders"] == [str(trained / "model")] and found["nodes"]["stem.second.neuron"] == "IF"
    assert main(["info", str(trained / "model")]) == 0
    text = capsys.readouterr().out
    assert " BatchNorm2d" in text and "stem.second" not in text
    shutil.copytree(trained, tmp_path / "several")
    shutil.copytree(trained / "model", tmp_path / "several" / "other")
    assert said(capsys, "info", "several") == {"kind": "networks", "folders": ["several/model", "several/other"]}


def test_sampling_writes_pictures_a_grid_and_an_animation(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("sample", str(trained), "--n", "6", "--steps", "4", "--labels", "3,5", "--guidance", "1.5")
    found = said(capsys, *arguments, "--threshold", "0.998")
    assert found == json.loads(Path("samples/sample.json").read_text())
    assert found["labels"] == [3, 5] and found["threshold"] == 0.998
    pictures = np.load("samples/pictures.npy")
    assert pictures.shape == (6, 1, 8, 8) and pictures.dtype == np.uint8
    with Image.open("samples/grid.png") as grid, Image.open("samples/denoising.gif") as gif:
        assert grid.width > 100 and gif.n_frames == 5
    said(capsys, *arguments, "--threshold", "0.998")  # again: the pictures that are there
    assert np.array_equal(np.load("samples/pictures.npy"), pictures)
    assert "another folder" in refused(capsys, *arguments)


def test_other_samplers_pictures_to_start_from_and_chips(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ("sample", str(trained), "--n", "2", "--steps", "5")
    for name in ("ddpm", "analytic", "dpm-solver-2"):
        assert said(capsys, *base, "--sampler", name, "--out", name)["sampler"] == name
    asked = ("--sampler", "analytic", "--labels", "1", "--guidance", "2")
    assert said(capsys, *base, *asked, "--out", "asked")["guidance"] == 2
    assert said(capsys, *base, "--threshold", "auto", "--out", "auto")["threshold"] > 0
    Image.fromarray(np.full((20, 20), 200, np.uint8)).save("start.png")
    mask = np.zeros((8, 8), np.uint8)
    mask[4:] = 255
    Image.fromarray(mask).save("mask.png")
    said(capsys, *base, "--image", "start.png", "--mask", "mask.png", "--out", "filled")
    assert (np.load("filled/pictures.npy")[:, :, :4] == 200).all()
    said(capsys, *base, "--image", "start.png", "--strength", "0.2", "--out", "like")
    found = said(capsys, *base, "--macro", "taox40-projected", "--out", "chip")
    assert found["energy_per_picture"]["chip_J"] > 0 and "by the paper's count" in found["energy_text"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--steps", "2000"), "the model learned 1000 steps"),
        (("--threshold", "0"), "sample.threshold must be a number above 0"),
        (("--threshold", "abc"), "--threshold must be"),
        (("--threshold", "nowhere=0.9"), "a layer with thresholds"),
        (("--sampler", "dim"), "did you mean ddim"),
        (("--labels", "ten"), "--labels must be class numbers"),
        (("--labels", "10"), "sample.labels must be a whole number at least 0 and below 10"),
        (("--guidance", "2"), "sample.guidance must be 1 without labels"),
        (("--n", "0"), "sample.n must be a whole number at least 1"),
        (("--image", "missing.png"), "missing.png must be a picture"),
        (("--mask", "mask.png"), "--mask must be beside --image"),
        (("--macro", "nothing"), "nothing"),
    ],
)
def test_wrong_options_are_refused_in_one_line(
    trained: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert message in refused(capsys, "sample", str(trained), *arguments)
    assert not Path("samples").exists()


def test_what_is_no_model_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "model must be a folder that `spikesim train`" in refused(capsys, "sample", str(here))
    Path("bad.toml").write_text("[diffusion]\nsize = 10\n")
    assert "divisible by 4" in refused(capsys, "train", "bad.toml")


def test_epochs_go_to_tensorboard_where_it_is(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("d.toml").write_text(TOML)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # as where the package is missing
    assert "pip install tensorboard" in refused(capsys, "train", "d.toml", "--tensorboard")
    written = []

    class Writer:
        def __init__(self, where: str) -> None:
            written.append(where)

        def add_scalar(self, name: str, value: float, epoch: int) -> None:
            written.append((name, epoch))

        def flush(self) -> None:
            pass

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=Writer))
    assert main(["train", "d.toml", "--tensorboard"]) == 0
    assert written[0] == "train-out/tensorboard" and ("explained", 1) in written and ("validation", 1) in written
