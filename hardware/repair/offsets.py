"""Column offsets: what an output is wrong by on average is subtracted digitally.

    b_o <- b_o + mean(ideal_o - read_o)        over steps, samples and positions of the calibration inputs

Takes away offsets of converters, and what programming errors, stuck cells and drift add for the inputs that are usual. It
costs nothing in use: the bias is added anyway.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..calibration import Calibration
from ..chips import Chip
from .base import ROUNDING, Way, corrected, seen


@dataclass(frozen=True)
class Offsets(Way):
    """See the module."""

    def applied(self, chip: Chip, shown: Calibration) -> Chip:
        changes = {}
        for node in seen(chip, shown):
            ideal = by_output(node.ideal)
            error = (ideal - by_output(node.read(0))).mean(1)
            error[np.abs(error) < ROUNDING * np.abs(ideal).max()] = 0
            if error.any():
                changes[node.name] = {"bias": node.crossbar.bias + error}
        return corrected(chip, shown, changes)


def by_output(y: Tensor) -> np.ndarray:
    """(T, B, n_out, ...) -> (n_out, values) float64."""
    return y.movedim(2, 0).flatten(1).double().numpy()
