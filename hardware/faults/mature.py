"""A mature process: one cell in a thousand is stuck low, one in a thousand high."""

from __future__ import annotations

from dataclasses import dataclass

from ..constant import constant
from . import base

_MNSIM = "default of MNSIM 2.0's simulation settings: 0.1 % of cells stuck in each state"


@dataclass(frozen=True)
class Faults(base.Faults):
    """As `base.Faults`, with these defaults."""

    low: float = constant(0.001, status="paper", source=_MNSIM)
    high: float = constant(0.001, status="paper", source=_MNSIM)
