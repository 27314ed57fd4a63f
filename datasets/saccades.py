"""The movement of N-MNIST's camera: three saccades of about 100 ms, read off the recordings.

The image starts at the upper left, moves down, then up and to the right, then back to the left: a triangle with
corners (-2.5, -2.0), (-1.0, 3.6), (2.8, -1.5) pixels from the centre. The pan and the tilt motor do not run in step,
so the ways between the corners are bent.

How it was read off: in windows of 5 ms, the signed event count of 250 recordings was regressed on the gradients of
the moved images; the position of best fit and the integral of the regression's velocity agree within 0.2 pixels,
and the integral is tabulated (docs/emulator.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from spikesim.core.params import check
from spikesim.errors import ParameterError, must

# fmt: off
_X = (-2.50, -2.52, -2.59, -2.68, -2.71, -2.61, -2.10, -1.51, -1.17, -1.09, -1.00, -0.85, -0.60, -0.08, 0.63, 1.22,
      1.49, 1.86, 2.16, 2.33, 2.51, 2.74, 2.85, 2.80, 2.08, 1.09, 0.06, -0.94, -1.61, -2.06, -2.26, -2.28)
_Y = (-2.00, -1.93, -1.59, -0.86, 0.30, 1.64, 2.70, 3.33, 3.55, 3.57, 3.52, 3.46, 3.43, 3.19, 2.47, 1.38,
      0.25, -0.78, -1.29, -1.45, -1.46, -1.47, -1.51, -1.52, -1.49, -1.49, -1.54, -1.62, -1.73, -1.76, -1.74, -1.73)
# fmt: on


@dataclass(frozen=True)
class SaccadePath:
    """Where the image is: knots at equal times, joined by a monotone cubic; still before the first and after the last.

    x, y      pixels from the centre, x right, y down (fit to 250 recordings)
    knot_us   µs between knots
    """

    x: tuple[float, ...] = _X
    y: tuple[float, ...] = _Y
    knot_us: float = 10_000.0

    def __post_init__(self) -> None:
        check(self, "knot_us", above=0, unit="us")
        if len(self.x) != len(self.y) or len(self.x) < 2 or not all(map(math.isfinite, (*self.x, *self.y))):
            got = f"{len(self.x)} and {len(self.y)}"
            raise ParameterError(must("SaccadePath.x, y", "equally many finite numbers, at least 2", got))

    @property
    def reach(self) -> int:
        """Whole pixels that cover the farthest position."""
        return math.ceil(max(map(abs, (*self.x, *self.y))))

    def at(self, t_us: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Position (x, y) in pixels, float64, at times t_us."""
        from scipy.interpolate import PchipInterpolator

        knots = np.arange(len(self.x)) * self.knot_us
        t = np.clip(t_us, knots[0], knots[-1])
        return PchipInterpolator(knots, self.x)(t), PchipInterpolator(knots, self.y)(t)
