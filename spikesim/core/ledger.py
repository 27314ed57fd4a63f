"""The ledger: integer counts of what happened where. It adds up; it never prices.

A count belongs to (node, tile, action): the node's name in the network, the tile's name on a chip ("" in an
ideal network), and an `Action`. Counts are int64 per sample; kept are their sums and their sums of squares over
samples, so that a mean per inference comes with its confidence interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from ..errors import ParameterError, must


class Action(StrEnum):
    """What can be counted. Every action is one event but for the last two, which count bits and nanosiemens."""

    row_drive = "row_drive"  # one word line driven for one read
    cell_read = "cell_read"  # one cell carrying read current in one read
    column_convert = "column_convert"  # one analog-to-digital conversion
    shift_add = "shift_add"  # one partial sum shifted and added (bit planes, row tiles, subtraction)
    dac_convert = "dac_convert"  # one digital-to-analog conversion
    spike_hop = "spike_hop"  # one spike or count sent to the next layer
    neuron_update = "neuron_update"  # one neuron charged, compared and reset for one step
    membrane_access = "membrane_access"  # one membrane word read or written
    digital_mac = "digital_mac"  # one multiply-accumulate outside an array
    digital_add = "digital_add"  # one addition outside an array
    bits_sram = "bits_sram"  # bits read from or written to a buffer
    bits_bus = "bits_bus"  # bits moved between tiles
    conductance_read = "conductance_read"  # nanosiemens under read voltage in one read: array energy is V^2 t G


@dataclass(frozen=True, order=True)
class Key:
    """Where and what: node name, tile name, action."""

    node: str
    tile: str
    action: Action


class Ledger:
    """Counts per inference, by node, tile and action.

    total[key]     int64, summed over samples
    squares[key]   sum over samples of the squared count (Python int: never overflows)
    samples        inferences counted
    """

    def __init__(self) -> None:
        self.total: dict[Key, int] = {}
        self.squares: dict[Key, int] = {}
        self.samples = 0
        self._open: dict[Key, np.ndarray] = {}
        self._counted: np.ndarray | None = None

    def open(self, sample_ids: np.ndarray) -> None:
        """Begin one run of a batch; samples whose id is negative are padding and are not counted."""
        if self._counted is not None:
            raise ParameterError(must("Ledger.open", "called once per run", "a second call", "close() the run before"))
        self._counted = np.asarray(sample_ids) >= 0

    def add(self, node: str, tile: str, action: Action, counts: np.ndarray) -> None:
        """Add `counts` (B,), whole numbers per sample, to (node, tile, action) of the open run."""
        key = Key(node, tile, action)
        counts = np.asarray(counts)
        if counts.dtype.kind not in "iu":
            raise ParameterError(must("Ledger.add.counts", "whole numbers", counts.dtype.name))
        if key in self._open:
            self._open[key] += counts
        else:
            self._open[key] = counts.astype(np.int64)

    def close(self) -> dict[Key, np.ndarray]:
        """End the run: fold its per-sample counts into the totals and return them, {key: (B,) int64}."""
        if self._counted is None:
            raise ParameterError(must("Ledger.close", "called after open", "no open run"))
        counted, table = self._counted, self._open
        self._counted, self._open = None, {}
        self.samples += int(counted.sum())
        for key, counts in table.items():
            kept = counts[counted]
            self.total[key] = self.total.get(key, 0) + int(kept.sum())
            self.squares[key] = self.squares.get(key, 0) + sum(c * c for c in kept.tolist())
        return table

    def __add__(self, other: Ledger) -> Ledger:
        """The ledger of both sets of samples."""
        both = Ledger()
        both.samples = self.samples + other.samples
        for part in (self, other):
            for key in part.total:
                both.total[key] = both.total.get(key, 0) + part.total[key]
                both.squares[key] = both.squares.get(key, 0) + part.squares[key]
        return both

    def mean(self, key: Key) -> float:
        """Mean count per inference."""
        return self.total.get(key, 0) / max(self.samples, 1)

    def standard_error(self, key: Key) -> float:
        """Standard error of that mean over samples (0 for fewer than two)."""
        if self.samples < 2:
            return 0.0
        n, total = self.samples, self.total.get(key, 0)
        variance = (n * self.squares.get(key, 0) - total * total) / (n * (n - 1))
        return math.sqrt(max(variance, 0.0) / n)

    def count(self, action: Action, node: str | None = None) -> int:
        """Total count of an action, over all tiles, at one node or everywhere."""
        return sum(c for k, c in self.total.items() if k.action == action and node in (None, k.node))

    def rows(self) -> Iterator[dict[str, Any]]:
        """One dict per key, sorted: node, tile, action, total, mean, standard_error."""
        for key in sorted(self.total):
            yield {
                "node": key.node,
                "tile": key.tile,
                "action": key.action.value,
                "total": self.total[key],
                "mean": self.mean(key),
                "standard_error": self.standard_error(key),
            }
