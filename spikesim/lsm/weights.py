"""Where a reservoir's fixed weights come from: a normal distribution, cells formed at random, or a given matrix.

    Gaussian     W = std (mean/sd + n),  n ~ N(0, 1)
    Formed       W = std (G+ - G-) / s,  G+, G- formed at one voltage on their own,  s^2 = 2 (p sigma^2 + p (1 - p) mu^2)
    Given        the matrix, as it is

p is the share of cells that form at the voltage, mu and sigma the mean and deviation of formed conductances (those of pristine
cells are left out of s: they are some hundredths of mu). With p between 0 and 1 the difference has three lobes, around
-mu, 0 and mu: it is not normal. A connection that is not there has two pristine cells.

Sources: S. Wang et al., "Echo state graph neural networks with analogue random resistive memory arrays", Nature Machine
Intelligence 5, 2023 (cells, pairs); Gaussian weights of that group's liquid state machine: mean 0.00156, deviation 6.61329
(inputs), 0.00606 and 6.67268 (recurrence), in microsiemens as we read them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.params import check
from ..errors import ParameterError, ShapeError, must
from ..hardware.presets import load_macro

MACRO = "taox40-projected"
"""The macro whose cells form at random, as measured."""


@dataclass(frozen=True)
class Gaussian:
    """Normal weights; `mean` in standard deviations."""

    mean: float = 0.0

    def __post_init__(self) -> None:
        check(self, "mean")

    def draw(self, shape: tuple[int, int], there: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """(inputs, outputs) float64 of deviation 1; 0 where `there` (bool, the same shape) says no."""
        return np.where(there, self.mean + generator.standard_normal(shape), 0.0)


@dataclass(frozen=True)
class Formed:
    """Differential pairs of cells that formed, or did not, at `voltage` (V), on cells of `macro`'s device."""

    voltage: float = 3.433
    macro: str = MACRO

    def __post_init__(self) -> None:
        self._forming.share(self.voltage)  # refuses a voltage out of the measured range

    @property
    def _forming(self) -> Any:
        device: Any = load_macro(self.macro).device
        forming = getattr(device, "forming", None)
        if forming is None:
            rule = "a macro whose cells were measured while forming"
            raise ParameterError(must("Formed.macro", rule, self.macro, f'take "{MACRO}"'))
        return forming

    @property
    def share(self) -> float:
        """Share of cells that form. RangeError outside the voltages that were measured."""
        return float(self._forming.share(self.voltage))

    @property
    def deviation(self) -> float:
        """s in siemens: the standard deviation of G+ - G-."""
        forming, p = self._forming, self.share
        mean = forming.median * (math.sqrt(1 + forming.cv**2) if forming.lognormal else 1.0)
        return math.sqrt(2 * (p * (mean * forming.cv) ** 2 + p * (1 - p) * mean**2))

    def pairs(self, shape: tuple[int, int], there: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """(inputs, 2 outputs) siemens: G+ and G- of an output side by side."""
        forming = self._forming
        g = forming.form((*shape, 2), self.voltage, generator)
        return np.where(there[..., None], g, forming.unformed).reshape(shape[0], -1)

    def draw(self, shape: tuple[int, int], there: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """(inputs, outputs) float64 of deviation 1: (G+ - G-) / s."""
        pairs = self.pairs(shape, there, generator).reshape(*shape, 2)
        return (pairs[..., 0] - pairs[..., 1]) / self.deviation


@dataclass(frozen=True, eq=False)
class Given:
    """A matrix (inputs, outputs), in units of the reservoir's `input_std` or `loop_std`."""

    matrix: np.ndarray

    def __post_init__(self) -> None:
        matrix = np.asarray(self.matrix, np.float64)
        if matrix.ndim != 2 or not np.isfinite(matrix).all():
            raise ShapeError(must("Given.matrix", "(inputs, outputs), finite", matrix.shape))
        object.__setattr__(self, "matrix", matrix)

    def draw(self, shape: tuple[int, int], there: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """The matrix; ShapeError where it does not fit."""
        if self.matrix.shape != shape:
            raise ShapeError(must("Given.matrix", f"{shape} (inputs, outputs)", self.matrix.shape))
        return np.where(there, self.matrix, 0.0)


Weights = Gaussian | Formed | Given
