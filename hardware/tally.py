"""What converters met: how much saturated in any run, and how large currents were in calibration."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .bank import Bank

BINS = 16_384
"""Bins of a histogram of currents, from 0 to the current with every row driven."""
BINS_PER_COLUMN = 1024


@dataclass
class Tally:
    """By node, summed over samples (padding left out): conversions, and those outside the codes."""

    clipped: dict[str, int] = field(default_factory=dict)
    converted: dict[str, int] = field(default_factory=dict)

    def add(self, node: str, clipped: int, converted: int) -> None:
        """Take in one call of a node."""
        self.clipped[node] = self.clipped.get(node, 0) + clipped
        self.converted[node] = self.converted.get(node, 0) + converted

    def clipped_share(self) -> dict[str, float]:
        """Node -> share of its conversions that were outside the codes."""
        return {node: clipped / max(self.converted[node], 1) for node, clipped in self.clipped.items()}


@dataclass
class Survey(Tally):
    """A tally that sees every current: for calibration, slower.

    largest     node -> (row tiles, converted columns) siemens, the given percentile of the currents' sizes
    carried, ideal   node -> siemens summed over reads and columns: as read, and without resistance of wires
    """

    percentile: float = 100.0
    carried: dict[str, float] = field(default_factory=dict)
    ideal: dict[str, float] = field(default_factory=dict)
    _most: dict[str, np.ndarray] = field(default_factory=dict)
    _counts: dict[str, np.ndarray] = field(default_factory=dict)

    def currents(
        self, node: str, bank: Bank, tile: np.ndarray, sums: np.ndarray, carried: float, ideal: float
    ) -> None:  # fmt: skip
        """Take in reads: their row tiles (reads,), column currents (reads, converted columns), and what these sum to over
        all cells, as read and with ideal wires (siemens)."""
        size, most = np.abs(sums), self._most.setdefault(node, np.zeros_like(bank.lsb))
        for t in np.unique(tile):
            most[t] = np.maximum(most[t], size[tile == t].max(0))
        self.carried[node] = self.carried.get(node, 0.0) + carried
        self.ideal[node] = self.ideal.get(node, 0.0) + ideal
        if self.percentile < 100:
            self._count(node, bank, tile, size)

    def _count(self, node: str, bank: Bank, tile: np.ndarray, size: np.ndarray) -> None:
        (tiles, columns), each = bank.lsb.shape, bank.macro.adc.per_column
        bins, groups = (BINS_PER_COLUMN, tiles * columns) if each else (BINS, tiles)
        full = bank.all_rows()
        top = full if each else np.broadcast_to(full.max(1, keepdims=True), full.shape)
        at = np.minimum((size * (bins / np.maximum(top[tile], np.float32(1e-30)))).astype(np.int64), bins - 1)
        group = tile[:, None] * columns + np.arange(columns) if each else np.broadcast_to(tile[:, None], size.shape)
        counts = self._counts.setdefault(node, np.zeros((groups, bins), np.int64))
        counts += np.bincount((group * bins + at).ravel(), minlength=groups * bins).reshape(groups, bins)

    def largest(self, node: str, bank: Bank) -> np.ndarray:
        """(row tiles, converted columns) siemens: the percentile of what was met; where nothing was, all rows at once."""
        full, most = bank.all_rows(), self._most.get(node)
        if most is None:
            return full
        if node in self._counts:
            counts = self._counts[node]
            each = bank.macro.adc.per_column
            share = counts.cumsum(1) >= counts.sum(1, keepdims=True) * (self.percentile / 100)
            edge = (share.argmax(1) + 1) / counts.shape[1]
            top = full if each else np.broadcast_to(full.max(1, keepdims=True), full.shape)
            most = np.minimum(most, (top * edge.reshape(len(full), -1)).astype(np.float32))
        return np.where(most > 0, most, full)

    def lost(self) -> dict[str, float]:
        """Node -> share of its column currents that wires lose."""
        return {node: 1 - self.carried[node] / whole for node, whole in self.ideal.items() if whole > 0}
