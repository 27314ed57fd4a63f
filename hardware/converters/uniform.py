"""A uniform analog-to-digital converter: rounds to the nearest code and saturates; instances differ in gain and offset.

code = min(max(floor(gain I / lsb + offset + 1/2), 0), 2^bits - 1),   lsb = full scale / (2^bits - 1)
"""

from __future__ import annotations

from dataclasses import dataclass

from .base import Quantiser


@dataclass(frozen=True)
class ADC(Quantiser):
    """Nothing but what every converter has; see `base.Quantiser`."""
