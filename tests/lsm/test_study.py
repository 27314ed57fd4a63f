"""The whole study, small: from recordings of two made-up sensors to JSON and pictures; parts, resumption, refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import spikesim as ss
from spikesim.cli import main
from spikesim.datasets import load
from spikesim.errors import ArtefactError, DatasetError, ParameterError
from spikesim.lsm.settings import Modality, read_zero_shot
from spikesim.lsm.sources import recordings
from spikesim.lsm.study import Study

TOML = """
[zeroshot]
a = "left"
b = "right"
unseen = [3, 4]
runs = 2
ways = ["contrastive", "canonical", "attributes"]
attributes = [[0, 1], [1, 0], [1, 1], [2, 0], [0, 2]]
null = 3
shots = [1, 3]
encoders = 1
[left]
data = "LEFT"
frames = { steps = 6, side = 6, polarity = 1 }
reservoir = { neurons = 30, input_std = 1.0, threshold = 2.0, weights = "formed" }
[right]
data = "RIGHT"
frames = { steps = 5 }
windows = 2
reservoir = { neurons = 25, input_std = 0.8, threshold = 2.0 }
[match]
size = 6
batch = 32
[match.training]
epochs = 3
learning_rate = 0.02
[chips]
count = 2
varied = 2
read_noise = [0.1]
voltages = [3.5]
ages = [3600]
"""


def written(path: Path, sensor: tuple[int, int], seed: int, per_class: int = 12, classes: int = 5) -> None:
    """Recordings whose events gather at a place of their class; a quarter of them for test."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    events, columns = 60, {name: [] for name in "txyp"}
    for label in labels:
        columns["t"].append(np.sort(generator.integers(0, 20_000, events)))
        columns["x"].append((generator.integers(0, 4, events) + 2 * label) % sensor[1])
        columns["y"].append((generator.integers(0, 3, events) + label) % sensor[0])
        columns["p"].append(generator.integers(0, 2, events))
    np.savez(
        path, **{k: np.concatenate(v) for k, v in columns.items()}, offsets=np.arange(0, len(labels) * events + 1, events),
        labels=labels, split=(np.arange(len(labels)) % 4 == 0).astype(np.uint8), sensor_size=np.array(sensor),
    )  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written(tmp_path / "left.npz", (8, 8), 0)
    written(tmp_path / "right.npz", (3, 12), 1)
    path = tmp_path / "study.toml"
    path.write_text(TOML.replace("LEFT", str(tmp_path / "left.npz")).replace("RIGHT", str(tmp_path / "right.npz")))
    return path


def test_the_command_writes_the_study(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["zeroshot", str(file), "--out", str(out), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads((out / "zeroshot.json").read_text())
    assert {p.name for p in out.glob("*.png")} == {"retrieval.png", "embedding.png", "pairs.png", "energy.png"}
    assert (out / "experiment.toml").read_text() == file.read_text()
    assert result["seen"]["classes"] == [0, 1, 2]
    assert set(result["seen"]["reservoir"]) == {"left to right", "right to left"} == set(result["seen"]["events"])
    assert result["seen"]["chance"]["left to right"] == pytest.approx(1 / 3)
    assert result["unseen"]["chance"] == 0.5 and len(result["unseen"]["last_epoch"]) == 2
    assert len(result["pairs"]["rows"]["contrastive"]) == 10 and len(result["pairs"]["null"]) == 3
    assert result["pairs"]["held_out_pairs"] + len(result["pairs"]["validation_pairs"]) == 10
    assert set(result["few_shots"]["mean"]) == {"1", "3"}
    chips = result["chips"]
    assert chips["left to right"]["chip_accuracy"]["n"] == 2 and set(chips["sweeps"]) == {
        "read_noise",
        "age_s",
        "voltage",
    }
    for row in (match for chip in chips["chips"] for match in chip["match"].values()):
        assert row["gap"] == pytest.approx(row["chip"] - row["ideal"])
    for row in chips["energy"].values():
        assert row["energy_J"]["total"] == pytest.approx(sum(row["energy_J"]["by_component"].values()))
        assert row["baselines"]["dense_gpu_peak_int8"] > 0 and "projection and match" in row["excluded"]
    assert result["encoders"]["macs"]["ratio"] > 1
    assert main(["zeroshot", str(file), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "chance" in text and "2 chips of taox40-projected" in text


def test_a_stopped_study_goes_on(file: Path, tmp_path: Path) -> None:
    settings = replace(read_zero_shot(file), chips=None, encoders=0)
    told: list[str] = []
    first = Study(settings, ss.Seeds(1), tmp_path / "out", tell=told.append).run()
    (tmp_path / "out" / "parts" / "unseen.json").unlink()
    told.clear()
    again = Study(settings, ss.Seeds(1), tmp_path / "out", tell=told.append).run()
    assert again == first and told == ["unseen"]
    with pytest.raises(ArtefactError, match=r"--out must be an empty folder, or that of this study"):
        Study(settings, ss.Seeds(2), tmp_path / "out").run()


def test_parts_share_nothing(file: Path) -> None:
    modality = read_zero_shot(file).a
    parts = recordings(replace(modality, per_class=4), ss.Seeds(0))
    ids = [set(np.asarray(part.sample_ids).tolist()) for part in parts]
    assert not ids[0] & ids[1] and not ids[0] & ids[2] and not ids[1] & ids[2]
    assert np.bincount(parts.train.labels).tolist() == [4] * 5
    assert len(parts.test) == 15 and set(parts.valid.labels.tolist()) == set(range(5))


def test_pictures_whose_recordings_judge_are_left_out(tmp_path: Path) -> None:
    """Emulated digits 0 to 99 as the judged recordings: none of these pictures may be trained on or chosen by."""
    digits = load("digits")
    held = digits.subset(np.arange(100))
    columns = {name: getattr(held, name) for name in ("t", "x", "y", "p", "offsets", "labels")}
    np.savez(tmp_path / "held.npz", **columns, sample_id=held.sample_ids)
    modality = Modality("image", "digits", test=str(tmp_path / "held.npz"), per_class=30)
    parts = recordings(modality, ss.Seeds(0))
    judged = set(parts.test.sample_ids.tolist())
    assert judged == set(held.sample_ids.tolist())
    for part in (parts.train, parts.valid):
        assert len(part) and not judged & set(part.sample_ids.tolist())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("unseen = [3, 4]", "unseen = [3]", r"zeroshot.unseen must be at least two classes"),
        ("null = 3", "nul = 3", r"\[zeroshot\] must be made of known keys, got nul; did you mean null"),
        ('ways = ["contrastive", "canonical", "attributes"]', 'ways = ["cca"]', r"zeroshot.ways must be of"),
        ('b = "right"', 'b = "left"', r"the names of two modalities"),
        ("steps = 5", "step = 5", r"\[right.frames\] must be made of known keys"),
        ("neurons = 25", "neuron = 25", r"\[right.reservoir\] must be made of known keys"),
        ('weights = "formed"', 'weights = "former"', r"reservoir.weights must be one of gaussian, formed"),
        ("windows = 2", "windows = 9", r"Modality.windows must be"),
        ("size = 6", "size = 0", r"Contrastive.size must be"),
        ("unseen = [3, 4]", "unseen = 3", r"unseen must be a list of whole numbers, got 3"),
        ("shots = [1, 3]", 'shots = ["1"]', r"shots must be a list of whole numbers"),
        ("[0, 2]]", "[0]]", r"zeroshot.attributes must be rows of numbers, all of one length"),
        ("frames = { steps = 5 }", "frames = 5", r"\[right.frames\] must be a table, got 5"),
        ("voltages = [3.5]", "voltages = 3.5", r"\[chips\] voltages must be a list of numbers"),
        ("neurons = 25", 'input_weights = "formed"', r"\[right.reservoir\] must be made of known keys"),
    ],
)
def test_files_are_checked_before_any_work(file: Path, old: str, new: str, message: str) -> None:
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(ParameterError, match=message):
        read_zero_shot(file)


def test_data_that_cannot_be_parted(file: Path, tmp_path: Path) -> None:
    settings = read_zero_shot(file)
    lonely = tmp_path / "lonely.npz"
    written(lonely, (8, 8), 0, per_class=1, classes=3)
    with pytest.raises(DatasetError, match=r"at least two samples|with at least two classes|test part"):
        recordings(replace(settings.a, data=str(lonely)), ss.Seeds(0))
    other = tmp_path / "other.npz"
    written(other, (3, 12), 1)
    with np.load(other) as found:
        arrays = dict(found)
    np.savez(other, **(arrays | {"labels": arrays["labels"] + 20}))
    study = Study(replace(settings, b=replace(settings.b, data=str(other))), ss.Seeds(0), tmp_path / "none")
    with pytest.raises(DatasetError, match=r"both modalities"):
        study.seen()
