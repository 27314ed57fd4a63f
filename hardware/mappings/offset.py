"""Offset: every weight is one cell (or one per digit) above a level that stands for zero, which is taken away again.

    G = g_min + (w - low) / scale,   scale = (high - low) / (g_max - g_min)      low = min(w, 0), high = max(w, 0)
    w = scale (G - g_zero),          g_zero = g_min - low / scale

What g_zero adds to a column is the same for all columns of a read. It is taken away digitally (shift = -g_zero for every
row driven, so drivers must count them) or by a reference column of cells at g_zero in every array. With cell_bits b and S slices,
n = round((2^(b S) - 1) (w - low) / (high - low)) stands in S cells of digits; then w_k = 2^(b k), and the reference cells
stand at the mean of the g_zero of the slices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikesim.core.params import check

from .base import Laid
from .base import Mapping as Base


@dataclass(frozen=True)
class Mapping(Base):
    """reference_column 0: the offset is taken away digitally; 1: by a column of its own in every array."""

    reference_column: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, "reference_column", at_least=0, at_most=1, integer=True)

    @property
    def cells(self) -> int:
        return self.slices

    @property
    def referenced(self) -> bool:
        return bool(self.reference_column)

    def _laid(self, weights: np.ndarray, g_min: float, g_max: float) -> Laid:
        low, high = min(float(weights.min(initial=0.0)), 0.0), max(float(weights.max(initial=0.0)), 0.0)
        span, reach = g_max - g_min, (high - low) or 1.0
        if self.cell_bits:
            step = span / (2**self.cell_bits - 1)
            targets = g_min + step * self.digits(np.rint((weights - low) * (self.steps / reach)))
            scale = reach / self.steps / step
        else:
            targets, scale = np.clip(g_min + (weights - low)[..., None] * (span / reach), g_min, g_max), reach / span
        total = sum(self.powers)
        zero = g_min - low / scale / total
        if not self.referenced:
            return Laid(targets, self.powers, scale, shift=-zero * total)
        return Laid(targets, self.powers, scale, np.full(len(weights), zero), total)
