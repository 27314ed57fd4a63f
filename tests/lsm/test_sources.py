"""Where a study's samples come from: counts, rate-coded images, warped recordings; parts, groups, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import spikesim as ss
from spikesim.cli import main
from spikesim.datasets import Counts, RateCoded
from spikesim.datasets.base import EventDataset
from spikesim.datasets.cochlea import Cochlea
from spikesim.datasets.rate_coding import RateCoding
from spikesim.datasets.warping import Warp
from spikesim.errors import DatasetError, ParameterError
from spikesim.lsm import Frames
from spikesim.lsm.settings import Modality, ZeroShot, read_zero_shot
from spikesim.lsm.sources import recordings
from spikesim.lsm.study import Study

CLASSES, CHANNELS, STEPS = 5, 192, 20
SOURCE = "synthetic: Poisson counts drawn for a test, of no brain"
TOML = """
[zeroshot]
a = "letters"
b = "brain"
unseen = [3, 4]
runs = 2
ways = ["contrastive", "canonical"]
null = 2
shots = [1, 3]
encoders = 1
[letters]
data = "LETTERS"
rate = { gain = 0.4, size = 8, inverted = true }
test_share = 0.25
frames = { steps = 12 }
reservoir = { neurons = 40, alpha = 0.95, input_std = 0.5, threshold = 1.0, weights = "formed" }
[brain]
data = "BRAIN"
frames = { steps = 10, largest = 1 }
reservoir = { neurons = 40, alpha = 0.95, input_std = 0.3, threshold = 1.0 }
[match]
size = 8
batch = 32
[match.training]
epochs = 10
learning_rate = 0.02
[chips]
count = 1
"""


def letters(folder: Path, drawers: int = 12) -> Path:
    """Black strokes of a class on white paper, as Omniglot has them, by several drawers."""
    rng = np.random.default_rng(0)
    shapes = rng.random((CLASSES, 16, 16)) < 0.25
    for c, shape in enumerate(shapes):
        (folder / f"letter{c}").mkdir(parents=True)
        for who in range(drawers):
            ink = shape & (rng.random(shape.shape) < 0.9)
            Image.fromarray(np.where(ink, 0, 255).astype(np.uint8)).save(folder / f"letter{c}" / f"{c}_{who:02d}.png")
    return folder


def brain(path: Path, per_class: int = 16, seed: int = 1, **more: Any) -> Path:
    """Counts whose channels fire by class; a quarter of the trials for test, of two sessions."""
    rng = np.random.default_rng(seed)
    rates = rng.gamma(0.5, 0.4, (CLASSES, 1, CHANNELS))
    labels = np.repeat(np.arange(CLASSES), per_class)
    rows = np.arange(len(labels))
    arrays = {
        "counts": rng.poisson(np.broadcast_to(rates[labels], (len(labels), STEPS, CHANNELS))), "labels": labels,
        "split": (rows % 4 == 0).astype(np.uint8), "groups": np.where(rows % 8 < 4, "may", "june"), "source": np.array(SOURCE),
    }  # fmt: skip
    np.savez(path, **{name: value for name, value in (arrays | more).items() if value is not None})
    return path


def spoken(path: Path, per_class: int = 12, seed: int = 2) -> Path:
    """Events of 30 channels, of one polarity, by two speakers."""
    rng, events = np.random.default_rng(seed), 80
    labels = np.repeat(np.arange(CLASSES), per_class)
    total = len(labels) * events
    np.savez(
        path, t=np.concatenate([np.sort(rng.integers(0, 50_000, events)) for _ in labels]),
        x=np.repeat(3 + 5 * labels, events) + rng.integers(0, 4, total), y=np.zeros(total, int), p=np.ones(total, int),
        offsets=np.arange(0, total + 1, events), labels=labels, split=(np.arange(len(labels)) % 4 == 0).astype(np.uint8),
        sensor_size=np.array((1, 30)), groups=np.where(np.arange(len(labels)) % 8 < 4, "ann", "bob"),
    )  # fmt: skip
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path, pictures, counts = tmp_path / "study.toml", letters(tmp_path / "letters"), brain(tmp_path / "brain.npz")
    path.write_text(TOML.replace("LETTERS", str(pictures)).replace("BRAIN", str(counts)))
    return path


def test_letters_and_counts_from_end_to_end(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zeroshot", str(file), "--out", str(tmp_path / "out"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["data"]["brain"] == {
        "kind": "counts", "name": "brain", "source": SOURCE, "classes": CLASSES, "groups": 2, "sensor": [1, CHANNELS],
        "inputs": CHANNELS, "train": 50, "copies": 0, "valid": 10, "test": 20,
    }  # fmt: skip
    of_letters = result["data"]["letters"]
    assert of_letters["kind"] == "rate coded images" and of_letters["inputs"] == 64 and 8 < of_letters["groups"] <= 12
    assert (of_letters["train"], of_letters["valid"], of_letters["test"]) == (35, 10, 15)
    # Strokes and rates belong to their classes, so both are read and matched far above chance, here 1/5 and 1/3.
    assert all(result["probe"][name]["reservoir"]["accuracy"] > 0.5 for name in ("letters", "brain"))
    assert all(row["mean"] > 0.6 for row in result["seen"]["reservoir"].values())
    assert set(result["groups"]["by_group"]) == {"may", "june"} and result["chips"]["chips"]
    assert main(["zeroshot", str(file), "--out", str(tmp_path / "out")]) == 0
    assert f"brain: counts brain ({SOURCE}), 50 to train on, 20 judged, 192 inputs" in capsys.readouterr().out


def test_parts_of_letters_share_no_picture_and_a_group_can_be_held_out(file: Path, tmp_path: Path) -> None:
    settings = read_zero_shot(file)
    parts = recordings(settings.a, ss.Seeds(0))
    ids = [set(part.sample_ids.tolist()) for part in parts]
    assert sum(map(len, ids)) == len(set.union(*ids)) == 60 and all(isinstance(part, RateCoded) for part in parts)
    assert np.bincount(parts.test.labels).tolist() == [3] * CLASSES
    assert recordings(settings.a, ss.Seeds(1)).test.sample_ids.tolist() != parts.test.sample_ids.tolist()
    swapped = replace(settings, a=settings.b, b=replace(settings.a, test_share=0.5), chips=None, encoders=0)
    study = Study(swapped, ss.Seeds(0), tmp_path / "swapped")
    known = set(study.parts["b"].train.groups.tolist()) & set(study.parts["b"].test.groups.tolist())
    by_group = study.groups()["by_group"]
    assert len(by_group) > 4 and set(by_group) <= known, "drawers of both parts are held out in turn"
    assert {row["classes"] for row in by_group.values()} <= {2, 3}
    alone = brain(tmp_path / "alone.npz", groups=np.full(80, "may"))
    lonely = Study(replace(settings, b=replace(settings.b, data=str(alone))), ss.Seeds(0), tmp_path / "lonely")
    with pytest.raises(DatasetError, match=r"groups must be two or more in training, one judged in two classes, got 1"):
        lonely.groups()


def test_other_images_judge(tmp_path: Path) -> None:
    pictures = letters(tmp_path / "letters", drawers=4)
    other = np.random.default_rng(5).integers(0, 256, (20, 16, 16)).astype(np.uint8)
    np.savez(tmp_path / "other.npz", x=other, y=np.arange(20) % CLASSES)
    modality = Modality(
        "letters", str(pictures), str(tmp_path / "other.npz"), test_per_class=2, rate=RateCoding(size=8)
    )
    parts = recordings(modality, ss.Seeds(0))
    assert len(parts.test) == 10 and parts.test.name == "other" and parts.train.name == "letters"
    assert parts.test.sensor == parts.train.sensor == (8, 8)
    assert parts.test.seeds != parts.train.seeds, "ids of two data sets are not of one numbering, so nor are draws"
    with pytest.raises(DatasetError, match=r"\[letters\] test must be of 256 inputs, as data, got 144; choose frames"):
        np.savez(tmp_path / "other.npz", x=other[:, :9], y=np.arange(20) % CLASSES)
        recordings(replace(modality, rate=RateCoding()), ss.Seeds(0))


def test_copies_are_of_training_recordings_alone(tmp_path: Path) -> None:
    plain = Modality("audio", str(spoken(tmp_path / "words.npz")), frames=Frames(6))
    without = recordings(plain, ss.Seeds(0))
    parts = recordings(replace(plain, warp=Warp(2, 2.0, 0.1)), ss.Seeds(0))
    n = len(without.train)
    assert len(parts.train) == 3 * n and parts.copies == 2 * n and without.copies == 0
    assert np.array_equal(parts.train.subset(np.arange(n)).x, without.train.x)
    assert parts.train.sample_ids.tolist() == without.train.sample_ids.tolist() * 3
    assert np.array_equal(parts.valid.x, without.valid.x) and np.array_equal(parts.test.x, without.test.x)
    assert parts.train.groups.tolist() == without.train.groups.tolist() * 3


def test_studies_with_copies_hold_groups_out_and_count_shots_of_recordings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    words = Modality(
        "audio", str(spoken(tmp_path / "words.npz")), frames=Frames(6), warp=Warp(1, 2.0),
        reservoir={"neurons": 20, "input_std": 0.8, "threshold": 1.0},
    )  # fmt: skip
    counts = Modality("brain", str(brain(tmp_path / "brain.npz")), frames=Frames(6), reservoir={"neurons": 20})
    study = Study(ZeroShot(counts, words, unseen=(3, 4), shots=(2,)), ss.Seeds(0), tmp_path / "out")
    own = len(study.parts["b"].train) - study.parts["b"].copies
    seen: list[int] = []

    def counted(sets: Any, *rest: Any) -> float:
        seen.append(len(sets.train_b.labels))
        return 0.5

    monkeypatch.setattr("spikesim.lsm.study.few_shots", counted)
    study.few_shots()
    assert set(seen) == {own} and study.ideal["b"]["train"].features.shape == (2 * own, 20)
    assert set(study.groups()["by_group"]) == {"ann", "bob"}
    assert study.data()["audio"]["copies"] == own == study.data()["audio"]["train"]
    assert study.data()["audio"]["inputs"] == 30, "its file has one polarity, so channels are counted once"


def test_the_example_of_the_page_is_a_study(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "lsm.md").read_text()
    (tmp_path / "page.toml").write_text(page.split("```toml\n")[1].split("```")[0])
    settings = read_zero_shot(tmp_path / "page.toml")
    assert settings.a.rate == RateCoding(0.4, 28, True) and settings.b.frames == Frames(201, largest=1)
    assert settings.a.built(784).neurons == 2048


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("gain = 0.4", "gains = 0.4", r"\[letters.rate\] must be made of known keys, got gains; did you mean gain"),
        ("gain = 0.4", "gain = 0.0", r"RateCoding.gain must be"),
        ("inverted = true", "inverted = 1", r"RateCoding.inverted must be true or false"),
        ("test_share = 0.25", "test_share = 1.0", r"Modality.test_share must be"),
        ("test_share = 0.25", 'test_share = 0.25\ntest = "x"', r"\[letters\] test_share must be left out beside test"),
        ('data = "BRAIN"', 'data = "BRAIN"\ntest = "BRAIN"', r"\[brain\] test must be another data set than data"),
        ("test_share = 0.25", "warp = { channels = 2 }", r"\[letters\] warp must be left out beside rate"),
        ("largest = 1 }", "largest = 1 }\nwarp = { copies = 2 }", r"Warp.channels, tempo must be above 0"),
        (
            "largest = 1 }",
            "largest = 1 }\ncochlea = { halves = 1 }",
            r"\[brain.cochlea\] must be made of known keys, got halves",
        ),
        ("largest = 1 }", "largest = 1 }\ncochlea = { half = 0.0 }", r"Cochlea.half must be a number above 0"),
        ("largest = 1 }", "largest = 1 }\nwarp = 2", r"\[brain.warp\] must be a table, got 2"),
    ],
)
def test_tables_are_checked_before_any_work(file: Path, old: str, new: str, message: str) -> None:
    text = file.read_text()
    place = text.split('[brain]\ndata = "')[1].split('"')[0]
    old, new = old.replace("BRAIN", place), new.replace("BRAIN", place)
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(ParameterError, match=message) as refusal:
        read_zero_shot(file)
    assert "\n" not in str(refusal.value)


def test_data_that_do_not_fit_their_tables(file: Path, tmp_path: Path) -> None:
    s = read_zero_shot(file)
    words = str(spoken(tmp_path / "words.npz"))
    no_test = str(brain(tmp_path / "whole.npz", split=None))
    for modality, message in (
        (replace(s.b, rate=RateCoding()), r"\[brain\] rate must be left out unless data are images, got counts /"),
        (replace(s.b, warp=Warp(channels=1.0)), r"\[brain\] warp must be left out unless for recordings of channels"),
        (replace(s.b, cochlea=Cochlea()), r"\[brain\] cochlea must be left out unless data are audio, got /"),
        (
            replace(s.b, data=words, test="", cochlea=Cochlea()),
            r"load.cochlea must be left out unless data are audio, got /",
        ),
        (replace(s.b, test=words), r"\[brain\] test must be counts, got EventDataset /"),
        (replace(s.b, data=words, test=s.b.data), r"\[brain\] test must be recordings, got Counts /"),
        (replace(s.b, data=no_test), r"\[brain\] data must be with a test part, or .* or a `test_share`"),
        (replace(s.a, test_share=0.0), r"\[letters\] data must be with a test part"),
        (replace(s.a, rate=None), r"\[letters\] test_share must be left out where images are emulated"),
        (replace(s.b, data=str(tmp_path / "none.npz")), r"data must be a data set name, folder or file"),
    ):
        with pytest.raises(DatasetError, match=message) as refusal:
            recordings(modality, ss.Seeds(0))
        assert "\n" not in str(refusal.value)
    with pytest.raises(ParameterError, match=r"images must be|Frames.steps must be"):
        Study(replace(s, b=replace(s.b, frames=Frames(21))), ss.Seeds(0), tmp_path / "out").ideal["b"]
    shared = recordings(replace(s.b, data=no_test, test_share=0.25), ss.Seeds(0))
    assert isinstance(shared.test, Counts) and np.bincount(shared.test.labels).tolist() == [4] * CLASSES
    assert isinstance(recordings(Modality("audio", words), ss.Seeds(0)).test, EventDataset)
    both = spoken(tmp_path / "both.npz")
    with np.load(both) as held:
        arrays = dict(held)
    np.savez(both, **(arrays | {"p": np.arange(len(arrays["t"])) % 2}))
    mixed = Modality("audio", str(both), words)
    with pytest.raises(DatasetError, match=r"\[audio\] test must be of 60 inputs, as data, got 30; choose frames"):
        recordings(mixed, ss.Seeds(0))
    assert len(recordings(replace(mixed, frames=Frames(polarity=1)), ss.Seeds(0)).test) == 60
