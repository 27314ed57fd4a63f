"""How far above the calibration maxima thresholds should be where T is not known: the zoo's piecewise-linear networks.

Signed spikes, thresholds at `factor` times the maxima over the inputs that are measured on: four, so that many neurons are
at their maximum. The zoo has 16 inputs, at the factor that was chosen.
`python -m benchmarks headroom`, which goes on where it was interrupted; ZOO=name,name measures some networks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from benchmarks.harness import resumed
from benchmarks.zoo import STEPS, ours, subject, weights_of
from benchmarks.zoo_models import ZOO
from spikesim.conversion import Headroom, Recipe
from spikesim.conversion.recipe import at_maxima

FACTORS = (1.0, 1.02, 1.05, 1.1)
LINEAR = tuple(name for name, entry in ZOO.items() if entry.lossless)


def measure() -> list[dict[str, Any]]:
    """Rows {network, weights, samples, factor, relative_error, slope ...}."""
    return resumed("headroom", cases(os.environ.get("ZOO", ",".join(LINEAR)).split(",")), row_of)


def cases(names: Iterable[str], width: int = 2, samples: int = 4) -> list[dict[str, Any]]:
    """Every network with random and with trained weights, by every factor."""
    return [
        {"network": name, "weights": weights, "width": width, "samples": samples, "factor": factor}
        for name in names
        for weights in weights_of(name)
        for factor in FACTORS
    ]


def row_of(case: dict[str, Any], steps: tuple[int, ...] = STEPS) -> dict[str, Any]:
    """One factor on one network."""
    ann, x, wanted = subject(case["network"], case["weights"], case["width"], case["samples"])
    return ours(ann, x, wanted, Recipe("headroom", (*at_maxima(), Headroom(case["factor"]))), steps)
