"""What `recipe="auto"` chooses, by measured error on the calibration data; labels are not looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..engine import run
from .assembly import assemble
from .delayed_readout import DelayedReadout
from .draft import Draft
from .headroom import Headroom
from .measure import relative
from .recipe import GRAPH, LONG, Recipe, Step, recipe_of, uncalibrated
from .threshold_balance import observed

FACTORS = (1.0, 1.5, 2.0, 3.0, 4.0)
"""Headrooms that are tried."""

TRIED = 32
"""Recordings they are tried on, spread evenly over the calibration data."""

MEASURED_ON, FEWEST = 128, 16
"""Calibration inputs that recipes for arrays are tried on: at most, and at least where T is large."""

BUDGET = 2**13
"""Inputs times steps of one try, where that leaves `FEWEST` inputs or more."""


def candidates(steps: int) -> dict[str, Recipe]:
    """What is tried for arrays at T = steps: signed spikes, with the ways to set thresholds and offsets."""
    tried: dict[str, tuple[Step, ...]] = {
        "thresholds for T": uncalibrated(steps),
        "largest thresholds": uncalibrated(None),
    }
    if steps <= LONG:
        tried["thresholds for T, biases calibrated"] = recipe_of("signed", steps).steps
    return {name: Recipe(f"signed, {name}", found) for name, found in tried.items()}


def best_recipe(draft: Draft, steps: int) -> tuple[Draft, str, str]:
    """The draft of the candidate that errs least on calibration inputs shown for `steps` steps, its name, and why.

    Each is tried with its readout over all steps, and over those after the first quarter (`DelayedReadout`).
    """
    draft = observed(Recipe("", GRAPH)(draft))
    x = draft.calibration.sample(min(MEASURED_ON, max(FEWEST, BUDGET // steps)))
    wanted = next(value for node, value in draft.replay(x) if node.name == draft.output)
    tried: dict[str, tuple[float, Draft]] = {}
    for name, recipe in candidates(steps).items():
        done = recipe(draft)
        output = run(assemble(done, ""), x, steps=steps).output
        tried[name] = relative(output.mean(0), wanted), done
        late = steps // 4
        if late and (off := relative(output[late:].mean(0), wanted)) < tried[name][0]:
            tried[f"{name}, readout from step {late + 1}"] = off, DelayedReadout(late)(done)
    best = min(tried, key=lambda name: tried[name][0])
    listed = ", ".join(f"{name}: {off:.3f}" for name, (off, _) in tried.items())
    why = f"output error on {len(x)} calibration inputs at T = {steps}: {listed}"
    return tried[best][1], f"signed, {best}", why


def with_best_headroom(draft: Draft, recordings: Any, steps: int) -> tuple[Draft, float, str]:
    """The draft whose network errs least on rasters of `steps` bins, its headroom, and why.

        error = |y - ANN(F)| / |ANN(F)|,    y the time mean of the output, F a recording's frame of counts

    recordings  a data set with `raster(steps, rows)`; labels are not looked at
    """
    rows = np.unique(np.linspace(0, len(recordings) - 1, TRIED).astype(int))
    x = recordings.raster(steps, rows)
    wanted = next(value for node, value in draft.replay(x.sum(0)) if node.name == draft.output)
    drafts = {factor: Headroom(factor)(draft) for factor in FACTORS}
    errors = {}
    for factor, candidate in drafts.items():
        network = assemble(candidate, "").bound(steps)
        got = network.readout(network(x)[0])
        errors[factor] = float(torch.linalg.vector_norm(got - wanted) / torch.linalg.vector_norm(wanted))
    best = min(errors, key=errors.__getitem__)
    tried = ", ".join(f"{factor:g}: {error:.3f}" for factor, error in errors.items())
    return (
        drafts[best],
        best,
        f"output error on {len(rows)} calibration recordings at T = {steps}, by headroom: {tried}",
    )
