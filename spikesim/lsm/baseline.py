"""The study's trained baseline: spiking recurrent encoders learned with the projections, and what that costs beside ours."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from .contrastive import Side, trained
from .encoders import Encoders, flat_rasters, training_macs
from .zero_shot import NAMES, Row, Sets, matches

if TYPE_CHECKING:
    from .study import Study


def trained_encoders(study: Study) -> Row:
    """Match among seen classes by trained encoders, seconds and multiply-accumulates of either training."""
    settings = study.settings
    match = replace(
        settings.match, training=replace(settings.match.training, epochs=settings.encoders, clip=1.0), batch=64
    )
    steps = {n: study.modality(n).frames.steps for n in NAMES}
    sides = {n: {part: _rasters(study, n, part) for part in ("train", "test")} for n in NAMES}
    sets = Sets(sides["a"]["train"], sides["b"]["train"], sides["a"]["test"], sides["b"]["test"])
    classes = study.seen_of(sets.classes)
    torch.manual_seed(study.seeds.child("encoders").key & 0x7FFF_FFFF)
    model = Encoders(study.reservoirs, steps, match, study.seeds.child("encoders"))
    pairs, started = sets.training(classes), time.perf_counter()
    trained(
        *pairs,
        match,
        seeds=study.seeds.child("encoders"),
        model=model,
        watch=lambda e, _: study.tell(f"encoders: epoch {e}"),
    )
    seconds = time.perf_counter() - started
    got = matches(model, sets.judged(classes))
    started = time.perf_counter()
    features_made = {n: study.made(n, study.reservoirs[n].network(study.seeds_of(n))) for n in NAMES}
    ours = Sets(*(features_made[n]["train"] for n in NAMES), *(features_made[n]["test"] for n in NAMES))
    trained(*ours.training(classes), settings.match, seeds=study.seeds.child("seen", 0))
    own = time.perf_counter() - started
    recordings = max(len(side.labels) for side in pairs)
    widths = {n: features_made[n]["train"].features.shape[1] for n in NAMES}
    macs = {
        "trained": training_macs(study.reservoirs, steps, recordings, match, widths)["trained"],
        "reservoir": training_macs(study.reservoirs, steps, recordings, settings.match, widths)["reservoir"],
    }
    return {
        "epochs": settings.encoders, "accuracy": {study.named(n): m.accuracy for n, m in got.items()},
        "chance": {study.named(n): m.chance for n, m in got.items()},
        "seconds": {"trained": seconds, "reservoir": own, "ratio": seconds / own},
        "macs": {**macs, "ratio": macs["trained"] / macs["reservoir"]}, "pairs": recordings,
        "counted": "dense products of encoders and projections, a backward pass as two forward ones; no optimiser, no memory",
    }  # fmt: skip


def _rasters(study: Study, name: str, part: str) -> Side:
    data = getattr(study.parts[name], part)
    return Side(
        flat_rasters(study.modality(name).frames.batches(data)).astype(np.float32), np.asarray(data.labels, np.int64)
    )
