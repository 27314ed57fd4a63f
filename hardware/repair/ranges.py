"""Converter ranges measured again on the chip as it is now, and narrowed where that errs less.

Ranges are set first as `deploy` sets them, on the cells of today; then every layer takes the share of that range whose codes err
least beside the ideal layer (sum of squares, on the calibration inputs): a narrower range has finer codes and clips the largest
currents. At most the amplifier's limit, as ever.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from spikesim.errors import ParameterError, must

from ..calibration import Calibration
from ..chips import Chip
from ..deployment import ranged
from .base import Way, corrected, seen


@dataclass(frozen=True)
class Ranges(Way):
    """shares: of the measured range that are tried, largest first; (1,) measures again and narrows nothing."""

    shares: tuple[float, ...] = (1.0, 0.85, 0.7, 0.6, 0.5, 0.4, 0.3)

    def __post_init__(self) -> None:
        if not self.shares or not all(0 < s <= 1 for s in self.shares):
            raise ParameterError(must("Ranges.shares", "shares above 0 and at most 1", self.shares))

    def applied(self, chip: Chip, shown: Calibration) -> Chip:
        if not chip.macro.adc.bits:
            return chip
        chip, changes = ranged(chip, shown)[0], {}
        for node in seen(chip, shown):
            bank = node.crossbar.bank
            tried = [replace(bank, lsb=bank.lsb * np.float32(share)) for share in self.shares]
            errors = [float((node.read(0, bank=b) - node.ideal).square().sum()) for b in tried]
            changes[node.name] = {"bank": tried[int(np.argmin(errors))]}
        return corrected(chip, shown, changes)
