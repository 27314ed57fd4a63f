"""Statistics of one activation over the calibration data: exact maximum, mean, and a histogram in octaves.

Everything is a count, a maximum or a float64 sum, so that neither order nor batches of the data matter.
"""

from __future__ import annotations

import torch
from torch import Tensor

BINS_PER_OCTAVE, OCTAVES = 32, 64
"""Bins are 2^(1/32) wide (2.2 %) and cover 2^-32 .. 2^32."""

_BINS = BINS_PER_OCTAVE * OCTAVES


class Activity:
    """Streams values a = relu(z) >= 0, per channel of maps (B, C, H, W) or per neuron of (B, N).

    peak  (C,) largest value;  mean  (C,) float64;  histogram  (C, 2048) counts of the non-zero values, if asked for
    """

    def __init__(self, channels: int, device: torch.device, histogram: bool) -> None:
        self.peak = torch.zeros(channels, device=device)
        self._total = torch.zeros(channels, dtype=torch.float64, device=device)
        self._count = 0
        self.histogram = torch.zeros(channels, _BINS, dtype=torch.int64, device=device) if histogram else None

    @property
    def mean(self) -> Tensor:
        """(C,) mean value, zeros included."""
        return self._total / max(self._count, 1)

    def add(self, values: Tensor) -> None:
        """Count values (B, C, ...)."""
        axes = (0, *range(2, values.ndim))
        self.peak = torch.maximum(self.peak, values.amax(axes))
        self._total += values.sum(axes, dtype=torch.float64)
        self._count += values.numel() // values.shape[1]
        if self.histogram is not None:
            place = values.nonzero(as_tuple=True)
            channel, octave = place[1], torch.log2(values[place]) + OCTAVES / 2
            index = (octave * BINS_PER_OCTAVE).long().clamp(0, _BINS - 1)
            counts = torch.bincount(channel * _BINS + index, minlength=self.histogram.numel())
            self.histogram += counts.reshape(self.histogram.shape)

    def percentile(self, percent: float) -> tuple[Tensor, Tensor]:
        """(value (C,), counts above it (C,)): the edge below which `percent` of the non-zero values lie, 2.2 % fine.

        Without a histogram the exact maximum.
        """
        if self.histogram is None:
            return self.peak, torch.zeros_like(self.peak, dtype=torch.int64)
        reached = self.histogram.cumsum(1)
        wanted = reached[:, -1:].double() * (percent / 100)
        bin_ = (reached < wanted).sum(1)
        edge = torch.exp2((bin_ + 1).double() / BINS_PER_OCTAVE - OCTAVES / 2).to(self.peak.dtype)
        above = reached[:, -1] - reached.gather(1, bin_.clamp(max=_BINS - 1)[:, None])[:, 0]
        return torch.minimum(edge, self.peak), above

    @property
    def positive(self) -> int:
        """How many non-zero values the histogram holds."""
        return 0 if self.histogram is None else int(self.histogram.sum())
