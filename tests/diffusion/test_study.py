"""The diffusion study's own code, on tiny models of embedded digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import diffusion as study
from benchmarks import diffusion_models, diffusion_speed, diffusion_step
from spikesim.diffusion import Sampling, Tuning, UNet, classifier_of
from spikesim.diffusion.experiment import training_images

TINY = {
    "data": "digits", "size": 8, "width": 8, "multipliers": (1, 2), "blocks": 1, "batch_size": 32, "limit": 256,
    "validation": 64,
}  # fmt: skip


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A study of two models, and pictures of embedded digits."""
    digits, _, _ = training_images("digits", 8)
    monkeypatch.setattr(diffusion_models, "COMMON", TINY)
    ann = diffusion_models.BATCH_ANN
    models = {
        "relu": diffusion_models.Model(1, ann),
        "snn": diffusion_models.Model(1, {}, {}, "relu"),
        "taught": diffusion_models.Model(1, {}, {}, "snn", "relu"),
        "quantised": diffusion_models.Model(1, {**ann, "activation": "quantised"}, {}, "relu"),
    }
    monkeypatch.setattr(diffusion_models, "MODELS", models)
    monkeypatch.setattr(
        study, "SETS", {n: study.Set(s.model, 8, Sampling(steps=2), s.made) for n, s in study.SETS.items()}
    )
    monkeypatch.setattr(study, "BATCH", 8)
    monkeypatch.setattr(study, "FACTORS", (0.9, 1.0))
    monkeypatch.setattr(study, "SWEPT_FACTORS", (1.0, 1.05))
    monkeypatch.setattr(study, "TUNING", Tuning(2, 8, 1e-3))
    monkeypatch.setattr(study, "shared", lambda: None)
    reader = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 4), torch.nn.Linear(4, 10))
    looks = classifier_of(reader, "1", shape=(1, 8, 8), name="untrained")
    monkeypatch.setattr(study, "classifier", lambda: looks)
    monkeypatch.setattr(study, "SWEPT", 16)
    monkeypatch.setattr(study, "data", lambda part, root: digits)
    return tmp_path


def test_models_are_trained_once_with_what_they_start_from(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    diffusion_models.train("taught", small)
    assert {p.name for p in small.iterdir()} == {"relu", "snn", "taught"}
    said = capsys.readouterr().out
    assert "relu 1/1" in said and "snn 1/1" in said
    diffusion_models.train("taught", small)
    assert not capsys.readouterr().out


@pytest.mark.parametrize("name", ["taught", "guided", "swept", "finetuned"])
def test_sets_are_sampled_and_found_again(small: Path, name: str) -> None:
    diffusion_models.train(study.SETS[name].model, small)
    made = study.pictures(name, small)
    assert made.shape == (8, 1, 8, 8) and np.isfinite(made.numpy()).all()
    assert torch.equal(study.pictures(name, small), made)


def test_cases_are_those_asked_for_and_those_on_record(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [{"set": "tsm", "seed": 0, "quality": {}}, {"a": "tsm", "b": "longer", "seed": 1, "compared": {}}]
    whole = study.all_cases(2, set())
    assert [c for c in whole if c["seed"]] == [
        {"set": "taught-on", "seed": 1}, {"set": "ann", "seed": 1}, {"a": "taught-on", "b": "ann", "seed": 1}
    ]  # fmt: skip
    assert len(whole) == len(study.SETS) + len(study.PAIRS) + 3
    monkeypatch.setattr(study, "left", lambda claim: kept)
    assert study.all_cases(2, {"snn"}) == [
        {"set": "snn", "seed": 0}, {"set": "tsm", "seed": 0}, {"set": "snn", "seed": 1}, {"a": "tsm", "b": "longer", "seed": 1}
    ]  # fmt: skip


def test_sampling_is_timed_by_the_code_that_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DIFFUSION", raising=False)
    monkeypatch.setattr(diffusion_speed, "UNet", lambda: UNet(size=8, width=4, multipliers=(1,), blocks=1, steps=2))
    monkeypatch.setattr(diffusion_speed, "PICTURES", 2)
    monkeypatch.setattr(diffusion_speed, "COUNTS", (1,))
    (row,) = diffusion_speed.measure(1, Sampling(steps=2))
    assert row["median_s"] > 0 and row["time_steps"] == 2


def test_a_training_step_of_every_contender_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diffusion_step, "UNET", UNet(size=8, width=8, multipliers=(1, 2), blocks=1, steps=2))
    rows = diffusion_step.measure(1, 2, (1,))
    assert rows[0]["name"] == "spikesim" and rows[0]["median_s"] > 0
    beside = [row for row in rows if row.get("kind") == "other"]
    assert len(beside) == len(diffusion_step.others(2)) and all("limit" not in row for row in beside)
    with torch.enable_grad():
        assert 0 < diffusion_step.share_of_products(diffusion_step.ours(2)) < 1
    pytest.importorskip("spikingjelly", reason="SpikingJelly is not installed: make peers")
    assert all(row["limit"] > 1 for row in rows if row["kind"] != "other")
