"""Successive approximation with capacitors that do not match: one comparison per bit, most significant first.

    C_b = 2^b (1 + sd 2^(-b/2) n)        of 2^b unit capacitors in parallel, each with relative spread sd; n ~ N(0, 1)
    bit b is 1 if the sum of the capacitors kept so far and C_b is at most I / lsb + 1/2

The code counts kept bits at their nominal weights, so mismatch bends the transfer curve: worst where many capacitors
change at once, at half scale, and codes may be missing. The relation of spread and area is M. J. M. Pelgrom et al.,
"Matching properties of MOS transistors", IEEE J. Solid-State Circuits 24, 1989.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from spikesim.core.params import check

from ..constant import constant
from .base import Instances, Quantiser


@dataclass(frozen=True)
class ADC(Quantiser):
    """capacitor_sd: relative spread of a unit capacitor; see `base.Quantiser` for the rest."""

    capacitor_sd: float = constant(0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, "capacitor_sd", at_least=0, at_most=1)

    def drawn(self, n: int, columns: int, generator: np.random.Generator) -> Instances:
        each = super().drawn(n, columns, generator)
        if not self.capacitor_sd:
            return each
        size = 2.0 ** np.arange(self.bits - 1, -1, -1)
        spread = self.capacitor_sd / np.sqrt(size) * generator.standard_normal((n, self.bits))
        return replace(each, capacitors=size * (1 + spread))
