"""Differential pairs: a weight is the difference of two conductances.

    one-sided   w >= 0:  G+ = g_min + |w| / scale,  G- = g_min          w < 0: the other way round
    two-sided   G+ = g_mid + w / (2 scale),  G- = g_mid - w / (2 scale)      g_mid = (g_min + g_max) / 2
    w = scale (G+ - G-),   scale = max|w| / (g_max - g_min)

One-sided pairs keep small weights at low conductances; two-sided ones keep the sum of a pair constant. With cell_bits b
and S slices, n = round((2^(b S) - 1) |w| / max|w|) stands in S one-sided pairs, pair k holding digit d_k of n:

    G = g_min + d_k (g_max - g_min) / (2^b - 1),   w_k = 2^(b k)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikesim.core.params import check
from spikesim.errors import ParameterError, must

from .base import Laid
from .base import Mapping as Base


@dataclass(frozen=True)
class Mapping(Base):
    """two_sided 0 or 1; analog 1: a pair's currents are subtracted before conversion, 0: its codes after it."""

    two_sided: int = 0
    analog: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("two_sided", "analog"):
            check(self, name, at_least=0, at_most=1, integer=True)
        if self.two_sided and self.cell_bits:
            raise ParameterError(must("mapping.two_sided", "0 where cells hold digits", self.two_sided))

    @property
    def cells(self) -> int:
        return 2 * self.slices

    @property
    def subtracts(self) -> bool:
        return bool(self.analog)

    def _laid(self, weights: np.ndarray, g_min: float, g_max: float) -> Laid:
        largest, span = float(np.abs(weights).max(initial=0.0)) or 1.0, g_max - g_min
        if not self.cell_bits:
            scale = largest / span
            halves = (g_min + g_max) / 2 + np.stack([weights, -weights], -1) / (2 * scale)
            whole = g_min + np.stack([np.maximum(weights, 0), np.maximum(-weights, 0)], -1) / scale
            return Laid(np.clip(halves if self.two_sided else whole, g_min, g_max), (1.0, -1.0), scale)
        step = span / (2**self.cell_bits - 1)
        digits = self.digits(np.rint(np.abs(weights) * (self.steps / largest)))
        sides = np.stack([np.where(s, digits, 0) for s in ((weights > 0)[..., None], (weights < 0)[..., None])], -1)
        signed = tuple(s * p for p in self.powers for s in (1.0, -1.0))
        return Laid(g_min + step * sides.reshape(*weights.shape, -1), signed, largest / self.steps / step)
