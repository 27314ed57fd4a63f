"""The pretraining benchmark by its own code: what counts as reached, and that no held-out image is emulated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.pretraining import cases, emulated_without, measured, summary
from spikesim.core.seeds import Seeds
from spikesim.datasets import EventCamera, Images, emulate
from spikesim.network import Network
from spikesim.training import Epoch
from spikesim.training.pretraining import Stage


def epochs(*scores: float, seconds: float = 2.0) -> list[Epoch]:
    return [Epoch(n, 0.0, 0.0, 0.0, score, None, seconds) for n, score in enumerate(scores, 1)]


def test_the_aim_is_the_best_of_scratch_and_pretraining_is_counted_apart() -> None:
    network: Network = None  # type: ignore[assignment]
    stages = [Stage("ann", network, epochs(0.1, 0.2, seconds=1.0)), Stage("lif", network, epochs(0.6, 0.8, 0.7))]
    row = summary(stages, {"scratch": epochs(0.2, 0.5, 0.75, 0.9, 0.8)})
    assert row["aim"] == 0.9 and row["epochs"] == {"scratch": 4, "last stage": None, "before": 2}
    assert "epochs_ratio" not in row, "an aim that was not reached has no ratio"
    row = summary(stages, {"scratch": epochs(0.2, 0.5, 0.75, 0.7, 0.7)})
    assert row["epochs_ratio"] == pytest.approx(2 / 3) and row["epochs_ratio_counted"] == pytest.approx(4 / 3)
    assert row["seconds_ratio"] == pytest.approx(4 / 6) and row["seconds_ratio_counted"] == pytest.approx(6 / 6)


def pictures(n: int, seed: int = 0) -> Images:
    rng = np.random.default_rng(seed)
    pixels = np.zeros((n, 28, 28), np.uint8)
    for image in pixels:
        r, c = rng.integers(4, 16, 2)
        image[r : r + 6, c : c + 6] = 255
    return Images(pixels, np.arange(n) % 10, 1 + np.arange(n), "drawn")


def test_no_held_out_image_is_emulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = pictures(40)
    np.savez(
        tmp_path / "mnist.npz", train_x=images.pixels[:30], train_y=images.labels[:30], test_x=images.pixels[30:],
        test_y=images.labels[30:],
    )  # fmt: skip
    monkeypatch.setenv("SPIKESIM_SHARED", str(tmp_path))
    held = emulate(images.subset([3, 7, 35]), EventCamera(duration_us=9000), Seeds(1))
    made = emulated_without(held, 100, Seeds(0))
    assert sorted(made.sample_ids.tolist()) == [i for i in range(1, 31) if i not in (4, 8)]
    assert (
        emulated_without(held, 5, Seeds(0)).sample_ids.tolist()
        == emulated_without(held, 5, Seeds(0)).sample_ids.tolist()
    )


def test_every_task_gives_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = pictures(70)
    half = {"train_x": images.pixels[:50], "train_y": images.labels[:50], "test_x": images.pixels[50:]}
    for name in ("fashion_mnist", "mnist"):
        np.savez(tmp_path / f"{name}.npz", **half, test_y=images.labels[50:])
    real = emulate(images.first(50), EventCamera(), Seeds(2))
    np.savez(
        tmp_path / "nmnist_small.npz", **real.columns._asdict(), offsets=real.offsets, labels=real.labels,
        sample_id=real.sample_ids, split=np.zeros(50, np.uint8), sensor_size=[34, 34],
    )  # fmt: skip
    monkeypatch.setenv("SPIKESIM_SHARED", str(tmp_path))
    monkeypatch.setenv("SPIKESIM_WORK", str(tmp_path / "work"))
    small = {"train": 24, "test": 12, "steps": 2, "scratch": 2, "pretraining": 1, "short": 1}
    wanted = {"pipe-S": ["ann", "lif"], "pipe-D": ["ann", "liaf", "lif"], "nmnist": ["ann", "liaf", "lif", "real"]}
    for case in cases(["pipe-S:fashion:0", "pipe-D:fashion:0", "nmnist:emulated:0"]):
        row = measured(case | small)
        stages = wanted[case["task"]]
        assert set(row["curves"]) == {"scratch", *stages} | ({"scratch, short"} if case["task"] != "nmnist" else set())
        assert len(row["curves"]["scratch"]) == 2 and row["aim"] == max(row["curves"]["scratch"])
        assert row == measured(case | small), "all stages are taken from their checkpoints"
