"""Spiking diffusion on MNIST at 16 x 16: how good pictures are, and what helps, from the same initial noise for all.

    SPIKESIM_SHARED=DIR python -m benchmarks.diffusion_models OUT         # trains the models first (resumable)
    DIFFUSION_SEED=1 SPIKESIM_SHARED=DIR python -m benchmarks.diffusion_models OUT1 taught-on ann   # other weights, other batches
    SPIKESIM_SHARED=DIR DIFFUSION=OUT:OUT1 python -m benchmarks diffusion      # samples into OUT/sets (resumable), then measures
    DIFFUSION_SETS="snn;ann" ...                                          # only these sets
    DIFFUSION=NONE:OUT1 DIFFUSION_SETS=... python -m benchmarks --keep diffusion  # and every row that is recorded stays

quality    one row per set: Frechet and kernel distance of the features of mnist-8.onnx (last hidden layer) from test digits,
           floors, share of which the classifier is sure (ceiling and floors beside it), classes, nearest training pictures
compared   one row per pair: difference of Frechet distances, same noise, paired bootstrap; negative: the first is nearer
Thresholds are chosen by denoising error on pictures that were held back from training and noise of their own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import spikesim as ss
from benchmarks.diffusion_models import COMMON, experiment_of
from benchmarks.harness import left, resumed
from spikesim import diffusion
from spikesim.core.files import write_json
from spikesim.datasets import load
from spikesim.diffusion import DiffusionModel, Sampler, Sampling
from spikesim.diffusion.model import pictures as resized
from spikesim.diffusion.sampling import BATCH

SCALES = (2.0, 3.0, 4.0)
SEED, TUNING = 1, diffusion.Tuning(60, 32, 1e-3)
SWEPT, SWEPT_FACTORS = 256, (0.99, 0.995, 1.0, 1.005, 1.01)
FACTORS = (0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 1.0, 1.002, 1.005, 1.01, 1.02, 1.05, 1.1)


@dataclass(frozen=True)
class Set:
    """Pictures: of which model, how many, how sampled, and what is made of the model before."""

    model: str
    count: int
    sampling: Sampling = Sampling()
    made: str = ""


SETS = {
    "taught-on": Set("taught-on", 2000),
    "taught": Set("taught", 640),
    "ann": Set("ann", 2000),
    "snn": Set("snn", 640),
    "relu": Set("relu", 640),
    "snn-noise": Set("snn-noise", 2000),
    "ann-noise": Set("ann-noise", 2000),
    "asked": Set("classes", 320, Sampling(labels=tuple(range(10)), guidance=2.0), "asked"),
    "asked, guidance 2": Set("classes", 320, Sampling(labels=tuple(range(10)), guidance=2.0)),
    "asked-noise": Set("classes-noise", 320, Sampling(labels=tuple(range(10)), guidance=2.0), "asked"),
    "asked-noise, guidance 2": Set("classes-noise", 320, Sampling(labels=tuple(range(10)), guidance=2.0)),
    "tsm": Set("tsm", 640),
    "longer": Set("longer", 640),
    "eight": Set("eight", 640),
    "guided": Set("taught", 640, made="guided"),
    "swept": Set("taught", 640, made="swept"),
    "converted": Set("quantised", 640, made="converted"),
    "finetuned": Set("quantised", 640, made="finetuned"),
    "quantised": Set("quantised", 640),
    "steps 10": Set("taught", 640, Sampling(steps=10)),
    "steps 20": Set("taught", 640, Sampling(steps=20)),
    "steps 100": Set("taught", 640, Sampling(steps=100)),
    "steps 200": Set("taught", 640, Sampling(steps=200)),
}
PAIRS = [
    ("taught-on", "ann"), ("taught-on", "taught"), ("taught", "ann"), ("taught", "snn"), ("snn", "ann"), ("relu", "ann"),
    ("snn-noise", "ann-noise"), ("asked", "asked, guidance 2"), ("asked-noise", "asked-noise, guidance 2"),
    ("tsm", "longer"), ("longer", "taught"), ("eight", "longer"), ("guided", "taught"), ("swept", "taught"),
    ("finetuned", "converted"), ("finetuned", "taught"), ("steps 10", "taught"), ("steps 20", "taught"),
    ("steps 100", "taught"), ("steps 200", "taught"),
]  # fmt: skip
AGAIN = ("taught-on", "ann")
"""What is measured of other training seeds where nothing else is asked for."""


def measure() -> list[dict[str, Any]]:
    """Quality of every set, then every pair."""
    torch.set_num_threads(1)
    folders, wanted = list(map(Path, os.environ["DIFFUSION"].split(os.pathsep))), os.environ.get("DIFFUSION_SETS", "")
    cases = all_cases(len(folders), set(filter(None, wanted.split(";"))))
    root = shared()
    looks = classifier()
    training, real = data("train", root), data("test", root)

    def measured(case: dict[str, Any]) -> dict[str, Any]:
        started, out = time.perf_counter(), folders[case["seed"]]
        if "set" in case:
            made = pictures(case["set"], out)
            found: Any = diffusion.quality(made, real, looks, training=training, seeds=ss.Seeds(2))
            labels, row = SETS[case["set"]].sampling.labels, {"quality": found.as_dict()}
            row |= {"read_as_asked": read_as_asked(looks, made, labels)} if labels else {}
            return row | {"seconds": time.perf_counter() - started}
        n = min(SETS[case[k]].count for k in ("a", "b"))
        a, b = (pictures(case[k], out)[:n] for k in ("a", "b"))
        found = diffusion.compared(a, b, real, looks, seeds=ss.Seeds(2))
        return {"samples": n, "compared": found.as_dict(), "seconds": time.perf_counter() - started}

    return resumed("diffusion", cases, measured)


def all_cases(seeds: int, wanted: set[str]) -> list[dict[str, Any]]:
    """Sets and pairs of every training seed: those wanted, or if none is named all of the first and AGAIN of the others; and those
    whose rows are recorded and kept."""
    recorded, cases = left("diffusion"), []
    for seed in range(seeds):
        chosen = wanted or (AGAIN if seed else SETS)
        found: list[dict[str, Any]] = [{"set": name, "seed": seed} for name in SETS]
        found += [{"a": a, "b": b, "seed": seed} for a, b in PAIRS]
        for case in found:
            named = {case[key] for key in ("set", "a", "b") if key in case}
            if named <= set(chosen) or any(case.items() <= row.items() for row in recorded):
                cases.append(case)
    return cases


def read_as_asked(looks: diffusion.Classifier, made: Tensor, labels: tuple[int, ...]) -> float:
    """The share of pictures that the classifier takes for what was asked for; chance is one in ten."""
    _, found = looks.seen(made)
    return float((found.argmax(1) == np.resize(labels, len(made))).mean())


def shared() -> Path:
    """The folder of the shared data."""
    return Path(os.environ["SPIKESIM_SHARED"]).resolve()


def classifier() -> diffusion.Classifier:
    """What pictures are looked at with."""
    return diffusion.classifier_of_file(shared() / "checkpoints" / "mnist-8.onnx", name="MNIST-8")


def data(part: str, root: Path) -> Tensor:
    """Digits of the training or test part, as models see them."""
    return resized(load("mnist", root=root).part(part).frames(), COMMON["size"])


def pictures(name: str, out: Path) -> Tensor:
    """A set (N, 1, 16, 16); sampled where it is not yet."""
    wanted = SETS[name]
    where = out / "sets" / name.replace(", ", "-").replace(" ", "-")
    found = [np.load(p) for p in sorted((where / "parts").glob("pictures-*.npy"))]
    if sum(map(len, found)) >= wanted.count:
        return torch.from_numpy(np.concatenate(found))[: wanted.count]
    model, sampling, about = MADE[wanted.made](DiffusionModel.load(out / wanted.model), wanted.sampling, out)
    started = time.perf_counter()
    sampler = Sampler(model, sampling, ss.Seeds(SEED))
    made, _ = sampler.into(where, -(-wanted.count // BATCH) * BATCH)
    write_json(where / "set.json", {**about, "seconds": time.perf_counter() - started, "pictures": len(made)})
    return made[: wanted.count]


Made = tuple[DiffusionModel, Sampling, dict[str, Any]]


def plain(model: DiffusionModel, sampling: Sampling, out: Path) -> Made:
    return model, sampling, {}


def guided(model: DiffusionModel, sampling: Sampling, out: Path) -> Made:
    """With the threshold that errs least on pictures that were held back."""
    found = diffusion.chosen_threshold(model, held_back(out), seeds=ss.Seeds(7), factors=FACTORS)
    about = {"threshold": found.threshold, "error": found.value, "unchanged": found.unchanged, "tried": found.tried}
    return model, replace(sampling, threshold=found.threshold), about


def swept(model: DiffusionModel, sampling: Sampling, out: Path) -> Made:
    """With the threshold whose pictures of other noise are nearest to training digits (Frechet), SWEPT of each factor."""
    looks = classifier()
    real = looks.seen(data("train", shared())[512:10512])[0]

    def judge(made: Tensor) -> float:
        return diffusion.frechet(looks.seen(made)[0], real, features=looks.name).value

    found = diffusion.swept(
        model, sampling, judge, seeds=ss.Seeds(SEED).child("validation"), count=SWEPT, factors=SWEPT_FACTORS
    )
    about = {"threshold": found.threshold, "distance": found.value, "unchanged": found.unchanged, "tried": found.tried}
    return model, replace(sampling, threshold=found.threshold), about


def asked(model: DiffusionModel, sampling: Sampling, out: Path) -> Made:
    """With the scale of guidance at which the classifier is sure of most pictures of other noise, 64 of each scale."""
    looks = classifier()
    sure = {}
    for scale in SCALES:
        made = Sampler(model, replace(sampling, guidance=scale), ss.Seeds(SEED).child("validation"))(range(BATCH))
        sure[scale] = float((looks.seen(made)[1].max(1) >= 0.9).mean())
    best = max(sure, key=sure.__getitem__)
    return model, replace(sampling, guidance=best), {"guidance": best, "sure": {str(k): v for k, v in sure.items()}}


def converted(model: DiffusionModel, sampling: Sampling, out: Path) -> Made:
    """Spiking at T = 3."""
    made, report = diffusion.converted(model, data("train", shared())[512:1024], seeds=ss.Seeds(8))
    return made, sampling, {"steps": made.about.steps, "recipe": report.recipe}


def finetuned(model: DiffusionModel, sampling: Sampling, out: Path) -> Made:
    """And its blocks tuned."""
    made, _, about = converted(model, sampling, out)
    better, blocks = diffusion.tuned(made, data("train", shared())[1024:5120], seeds=ss.Seeds(9), tuning=TUNING)
    return better, sampling, {**about, "blocks": [[b.name, b.before, b.after] for b in blocks]}


MADE: dict[str, Callable[[DiffusionModel, Sampling, Path], Made]] = {
    "": plain, "asked": asked, "guided": guided, "swept": swept, "converted": converted, "finetuned": finetuned
}  # fmt: skip


def held_back(out: Path) -> Tensor:
    """The pictures that no training saw."""
    settings, _ = experiment_of("taught", out)
    return data("train", shared())[: settings.validation]
