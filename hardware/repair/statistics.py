"""Batch-norm statistics: mean and spread of every output as in the ideal network, by a digital gain and the bias.

    gain_o <- gain_o a_o,   a_o = sd(ideal_o) / sd(read_o)
    b_o    <- a_o b_o + mean(ideal_o) - a_o mean(read_o)

sd(read)^2 is the covariance of two reads of the same inputs, so that noise, which differs between them, is not taken for
signal. What a batch normalisation behind the layer would do if its statistics were measured on the chip again (V. Joshi et al.,
"Accurate deep neural network inference using computational phase-change memory", Nature Communications 11, 2020: AdaBS); here
normalisations are folded into the weights, and one multiplication for every output and step is booked as digital_mac.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..calibration import Calibration
from ..chips import Chip
from .base import ROUNDING, Way, corrected, seen
from .offsets import by_output

MOST = 4.0
"""Largest gain, and the inverse of the smallest: outputs that hardly move on the calibration inputs say little."""


@dataclass(frozen=True)
class Statistics(Way):
    """See the module."""

    def applied(self, chip: Chip, shown: Calibration) -> Chip:
        changes = {}
        for node in seen(chip, shown):
            ideal, first, second = (by_output(y) for y in (node.ideal, node.read(0), node.read(1)))
            centred = [y - y.mean(1, keepdims=True) for y in (first, second)]
            shared, wanted = np.maximum((centred[0] * centred[1]).mean(1), 0), ideal.std(1)
            ratio = np.divide(wanted, np.sqrt(shared), out=np.ones_like(wanted), where=(shared > 0) & (wanted > 0))
            ratio = np.clip(ratio, 1 / MOST, MOST)
            ratio[np.abs(ratio - 1) < ROUNDING] = 1
            mean = (first.mean(1) + second.mean(1)) / 2
            shift = ideal.mean(1) - mean
            shift[np.abs(shift) < ROUNDING * np.abs(ideal).max()] = 0
            if not shift.any() and (ratio == 1).all():
                continue
            old = np.ones(len(ratio)) if node.crossbar.gain is None else node.crossbar.gain
            bias = node.crossbar.bias + shift + (ratio - 1) * (node.crossbar.bias - mean)
            changes[node.name] = {"gain": (old * ratio).astype(np.float32), "bias": bias}
        return corrected(chip, shown, changes)
