"""Stuck cells, dead rows and columns, clusters: drawn once per array, whatever it is programmed to.

cells      each cell alone is stuck at g_min (low), at g_max (high) or conducts nothing (open)
lines      a row or column is open with probability `rows` or `columns`: none of its cells conducts
clusters   squares of cluster_side cells a side, stuck at g_min, thrown on the array as a Poisson process of such
           density that each cell is in `clusters` of them on average
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikesim.core.params import check
from spikesim.errors import ParameterError, must

from ..constant import constant


@dataclass(frozen=True)
class Faults:
    """Shares of cells (low, high, open), of rows and columns, cells per cluster; see above. All zero: no faults."""

    low: float = constant(0.0)
    high: float = constant(0.0)
    open: float = constant(0.0)
    rows: float = constant(0.0)
    columns: float = constant(0.0)
    clusters: float = constant(0.0)
    cluster_side: int = 4

    def __post_init__(self) -> None:
        for name in ("low", "high", "open", "rows", "columns", "clusters"):
            check(self, name, at_least=0, at_most=1)
        check(self, "cluster_side", at_least=1, integer=True)
        if self.low + self.high + self.open > 1:
            raise ParameterError(must("Faults.low + high + open", "at most 1", self.low + self.high + self.open))

    @property
    def any(self) -> bool:
        """Whether there is anything to draw."""
        return any((self.low, self.high, self.open, self.rows, self.columns, self.clusters))

    def struck(self, g: np.ndarray, window: tuple[float, float], generator: np.random.Generator) -> np.ndarray:
        """g (rows, columns) of one array with its faulty cells where they are stuck; window (g_min, g_max) in siemens.

        The same generator state strikes the same cells, whatever g is.
        """
        if not self.any:
            return g
        alone, row, column = (generator.random(shape) for shape in (g.shape, (len(g), 1), (1, g.shape[1])))
        struck = np.where(alone < self.low, window[0], g)
        struck = np.where((alone >= self.low) & (alone < self.low + self.high), window[1], struck)
        for r, c in self._clusters(g.shape, generator):
            struck[max(r, 0) : r + self.cluster_side, max(c, 0) : c + self.cluster_side] = window[0]
        dead = (alone >= self.low + self.high) & (alone < self.low + self.high + self.open)
        return np.where(dead | (row < self.rows) | (column < self.columns), 0.0, struck)

    def _clusters(self, shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
        """Top left corners (n, 2), some beyond the edge so that border cells are hit as often as others."""
        reach = self.cluster_side - 1
        places = (shape[0] + reach) * (shape[1] + reach)
        count = generator.poisson(self.clusters * places / self.cluster_side**2)
        return generator.integers((-reach, -reach), shape, (count, 2))
