"""The ideal cell: takes any conductance in its window and holds it. For comparisons, not a device."""

from __future__ import annotations

from dataclasses import dataclass

from ..constant import constant
from .base import Device


@dataclass(frozen=True)
class Cell(Device):
    """Programming is exact, reads do not fluctuate, nothing ages."""

    g_min: float = constant(unit="S")
    g_max: float = constant(unit="S")

    def __post_init__(self) -> None:
        self.check_window()
