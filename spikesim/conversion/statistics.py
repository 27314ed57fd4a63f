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

    @property
    def seen(self) -> int:
        """Values per channel, zeros included."""
        return self._count

    def positive_share(self) -> Tensor:
        """(C,) float64: share of the values above zero."""
        assert self.histogram is not None
        return self.histogram.sum(1).double() / max(self._count, 1)

    def percentile(self, percent: float) -> Tensor:
        """(C,): the edge below which `percent` of the non-zero values lie, 2.2 % fine; without a histogram the maximum."""
        if self.histogram is None:
            return self.peak
        reached = self.histogram.cumsum(1)
        wanted = reached[:, -1:].double() * (percent / 100)
        edge = _edge((reached < wanted).sum(1) + 1).to(self.peak.dtype)
        return torch.minimum(edge, self.peak)

    def share_above(self, theta: Tensor) -> float:
        """Share of the non-zero values in bins above theta (C,); 0 without a histogram."""
        if self.histogram is None:
            return 0.0
        above = _edge(torch.arange(_BINS, device=theta.device))[None] >= theta[:, None].double() * (1 - 1e-6)
        above &= (theta < self.peak)[:, None]
        return float((self.histogram * above).sum()) / max(int(self.histogram.sum()), 1)

    def values(self) -> Tensor:
        """(C, occupied bins) float64: the middle of every bin that any channel uses, never above the channel's peak."""
        middle = _edge(self._used().double() + 0.5)
        return torch.minimum(middle[None], self.peak.double()[:, None])

    def counts(self) -> Tensor:
        """(C, occupied bins) float64: how many values fell in each."""
        assert self.histogram is not None
        return self.histogram[:, self._used()].double()

    def _used(self) -> Tensor:
        assert self.histogram is not None
        return self.histogram.any(0).nonzero()[:, 0]


def _edge(place: Tensor) -> Tensor:
    """The lower edge of a bin, as float64."""
    return torch.exp2(place.double() / BINS_PER_OCTAVE - OCTAVES / 2)
