"""An immature process: one cell in ten is faulty, and some bit lines are."""

from __future__ import annotations

from dataclasses import dataclass

from ..constant import constant
from . import base

_CHEN = "about 10 % of cells faulty in a first-cut 4-Mb HfO2 chip (C.-Y. Chen et al., IEEE Trans. Computers 64, 2015)"


@dataclass(frozen=True)
class Faults(base.Faults):
    """As `base.Faults`, with these defaults."""

    low: float = constant(0.05, status="assumed", source=f"{_CHEN}; halved between both states")
    high: float = constant(0.05, status="assumed", source=f"{_CHEN}; halved between both states")
    columns: float = constant(
        0.002, status="assumed", source="shorted bit lines were found in that chip; their number is not stated"
    )
