"""Random telegraph noise: some cells jump between two conductances. Experimental: no numbers come with it.

A noisy cell (a `share` of all) conducts G (1 - amplitude) while a trap is filled and G while it is empty; the trap
fills and empties as a Markov process with mean dwell times t_filled and t_empty:

    p = t_filled / (t_filled + t_empty)          covariance of two reads t apart = p (1 - p) (amplitude G)^2 exp(-t / tau)
    1 / tau = 1 / t_filled + 1 / t_empty

Reads much further apart than tau are independent: noise of sd amplitude G sqrt(p (1 - p)) in a noisy cell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from spikesim.core.params import check

from .spread import Spread

WARNING = (
    "random telegraph noise is experimental: it enters reads by mean and variance over all cells, as if reads were far "
    "apart, with numbers that you gave"
)


@dataclass(frozen=True)
class Telegraph(Spread):
    """share of cells, amplitude (share of G), t_filled and t_empty (s)."""

    share: float
    amplitude: float
    t_filled: float
    t_empty: float

    def __post_init__(self) -> None:
        check(self, "share", at_least=0, at_most=1)
        check(self, "amplitude", at_least=0, at_most=1)
        check(self, "t_filled", above=0, unit="s")
        check(self, "t_empty", above=0, unit="s")

    @property
    def occupancy(self) -> float:
        """p, the share of time that a trap is filled."""
        return self.t_filled / (self.t_filled + self.t_empty)

    def sd(self, g: np.ndarray, seconds: float = 0.0, programmed: np.ndarray | None = None) -> np.ndarray:
        """Of reads far apart, over a population in which `share` of the cells are noisy."""
        p = self.occupancy
        return self.amplitude * math.sqrt(self.share * p * (1 - p)) * np.asarray(g, np.float64)

    def trace(self, g: np.ndarray, times: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Conductances (len(times), *g.shape) of cells g (siemens) read at rising `times` (s), exact in distribution."""
        noisy = generator.random(g.shape) < self.share
        filled = generator.random(g.shape) < self.occupancy
        rate = 1 / self.t_filled + 1 / self.t_empty
        out = np.empty((len(times), *g.shape))
        for k, step in enumerate(np.diff(times, prepend=times[:1])):
            kept = math.exp(-rate * step)
            chance = self.occupancy * (1 - kept) + kept * filled
            filled = generator.random(g.shape) < chance if step else filled
            out[k] = g * (1 - self.amplitude * (noisy & filled))
        return out
