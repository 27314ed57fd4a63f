"""No converter: column currents are taken as they are. For comparisons, not a circuit."""

from __future__ import annotations

from dataclasses import dataclass

from .base import Converter


@dataclass(frozen=True)
class ADC(Converter):
    """Nothing is rounded, nothing saturates."""
