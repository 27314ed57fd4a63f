"""What `recipe="auto"` chooses for recordings: the headroom, by measured error on the calibration recordings."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .assembly import assemble
from .draft import Draft
from .headroom import Headroom

FACTORS = (1.0, 1.5, 2.0, 3.0, 4.0)
"""Headrooms that are tried."""

TRIED = 32
"""Recordings they are tried on, spread evenly over the calibration data."""


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
