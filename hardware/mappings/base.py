"""What a mapping answers: which conductances stand for weights, and how the codes of their columns become outputs.

    w_io = scale (sum_k w_k G_iok - w_r G_ir + shift)          K cells of output o, a reference cell per row
    y_o  = scale (sum_k w_k q_ok - w_r q_r + shift sum_i a_i)  the same for a read that drives the rows a_i in {0, 1}

Cells of an output stand side by side in its array; the reference column, one for each array, is the array's last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikesim.core.params import check
from spikesim.errors import ParameterError, must


@dataclass(frozen=True)
class Laid:
    """Weights as conductances.

    targets    (rows, n_out, K) siemens                    reference  (rows,) siemens, or None
    weights    (K,) w_k;   reference_weight  w_r           shift      siemens;   scale  weight per siemens
    """

    targets: np.ndarray
    weights: tuple[float, ...]
    scale: float
    reference: np.ndarray | None = None
    reference_weight: float = 0.0
    shift: float = 0.0

    def decoded(self, cells: np.ndarray, reference: np.ndarray | None = None) -> np.ndarray:
        """Weights (rows, n_out) that cells (rows, n_out, K) and reference cells (rows,), siemens, stand for."""
        total = cells @ np.asarray(self.weights) + self.shift
        if reference is not None:
            total = total - self.reference_weight * reference[:, None]
        return self.scale * total


@dataclass(frozen=True)
class Mapping:
    """Abstract: a mapping is its options; subclasses are frozen dataclasses.

    slices      cells that share the digits of a weight, 1: one cell holds all of it
    cell_bits   bits of a digit; 0 (one slice only): the cell takes any conductance of its window
    Raises ParameterError.
    """

    slices: int = 1
    cell_bits: int = 0

    def __post_init__(self) -> None:
        check(self, "slices", at_least=1, at_most=16, integer=True)
        check(self, "cell_bits", at_least=0, at_most=8, integer=True)
        if self.slices > 1 and not self.cell_bits:
            raise ParameterError(must("mapping.cell_bits", "at least 1 with several slices", self.cell_bits))
        if self.slices * self.cell_bits > 24:
            rule = "at most 24, the whole numbers that a float32 weight holds"
            raise ParameterError(must("mapping.slices x cell_bits", rule, self.slices * self.cell_bits))

    @property
    def cells(self) -> int:
        """K, the cells of an output in every row."""
        raise NotImplementedError

    @property
    def referenced(self) -> bool:
        """Whether every array has a reference column."""
        return False

    @property
    def subtracts(self) -> bool:
        """Whether currents of cells 2k and 2k + 1 are subtracted before they are converted, by signed converters."""
        return False

    def converted(self, columns: float) -> tuple[float, float]:
        """Outputs that so many columns of an array hold, and how many codes one read of them gives."""
        outputs = (columns - self.referenced) / self.cells
        return outputs, outputs * self.cells / (2 if self.subtracts else 1) + self.referenced

    def lay(self, weights: np.ndarray, g_min: float, g_max: float) -> Laid:
        """weights (rows, n_out) -> conductances in [g_min, g_max]. ParameterError for weights that are not finite."""
        if not np.isfinite(weights).all():
            raise ParameterError(must("weights", "finite", float(weights[~np.isfinite(weights)].flat[0])))
        return self._laid(np.asarray(weights, np.float64), g_min, g_max)

    def _laid(self, weights: np.ndarray, g_min: float, g_max: float) -> Laid:
        raise NotImplementedError

    @property
    def steps(self) -> int:
        """Largest whole number that the slices hold together."""
        return 2 ** (self.slices * self.cell_bits) - 1

    def digits(self, numbers: np.ndarray) -> np.ndarray:
        """Whole numbers (...) as digits (..., slices), least significant first."""
        places = self.cell_bits * np.arange(self.slices)
        return (numbers.astype(np.int64)[..., None] >> places) & (2**self.cell_bits - 1)

    @property
    def powers(self) -> tuple[float, ...]:
        """What a digit of each slice counts."""
        return tuple(2.0 ** (self.cell_bits * k) for k in range(self.slices))
