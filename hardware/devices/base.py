"""What a device answers. A device is its constants; what happens to a cell is composed from `hardware.effects`.

    programmed(targets, generator)          -> conductances that cells end at
    read_sd(g, seconds, programmed)         -> standard deviation of one read of each cell
    aged(g, seconds, generator, targets)    -> conductances `seconds` after programming
    seen(g, volts)                          -> conductances that a read at `volts` sees

Column currents are then sum_i a_i G_i + sqrt(sum_i a_i s_i^2) n, exactly, for rows a_i in {0, 1}. Conductances in siemens
and float64, arrays of any shape; every draw comes from the generator that is passed.
"""

from __future__ import annotations

import numpy as np

from spikesim.core.params import check, number
from spikesim.errors import ParameterError, RangeError, must

from ..effects.ageing import Ageing, Steady
from ..effects.conduction import Conduction
from ..effects.forming import Forming
from ..effects.spread import Independent, Spread


class Device:
    """Abstract: one cell model. Subclasses are frozen dataclasses of constants; what they leave out does not happen.

    g_min, g_max   the window that targets must lie in (siemens)
    """

    g_min: float
    g_max: float

    @property
    def programming(self) -> Spread:
        """How far a programmed conductance lies from its target."""
        return Independent()

    @property
    def reading(self) -> Spread:
        """How much one read fluctuates around the conductance."""
        return Independent()

    @property
    def ageing(self) -> Ageing:
        """What time does."""
        return Steady()

    @property
    def conduction(self) -> Conduction:
        """How the current depends on the voltage."""
        return Conduction()

    @property
    def forming(self) -> Forming | None:
        """How pristine cells form; None where that was not measured."""
        return None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences that a chip of these cells repeats."""
        return ()

    @property
    def kind(self) -> str:
        """The name a macro's TOML uses."""
        return type(self).__module__.rsplit(".", 1)[-1]

    def programmed(self, targets: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Conductances that cells end at when programmed to `targets`. RangeError for targets outside the window."""
        self.check_targets(targets)
        return self.programming.drawn(np.asarray(targets, np.float64), generator)

    def read_sd(self, g: np.ndarray, seconds: float = 0.0, programmed: np.ndarray | None = None) -> np.ndarray:
        """Standard deviation of one read of cells at conductance g, `seconds` after programming (then: `programmed`)."""
        return self.reading.sd(np.asarray(g, np.float64), seconds, programmed)

    def aged(
        self, g: np.ndarray, seconds: float, generator: np.random.Generator, targets: np.ndarray | None = None
    ) -> np.ndarray:
        """Conductances `seconds` after programming, of cells at g just after it that aimed at `targets` (None: at g).

        A generator started anew gives every cell the same trajectory. RangeError for times that were not measured.
        """
        number("aged.seconds", seconds, at_least=0, unit="s")
        g = np.asarray(g, np.float64)
        return g if seconds == 0 else self.ageing.aged(g, g if targets is None else targets, seconds, generator)

    def seen(self, g: np.ndarray, volts: float) -> np.ndarray:
        """Current over voltage of cells of conductance g at a read voltage. RangeError outside what was measured."""
        factor = self.conduction.factor(volts)
        return g if factor == 1 else g * factor

    def form(self, shape: tuple[int, ...], voltage: float, generator: np.random.Generator) -> np.ndarray:
        """Conductances of cells formed once at `voltage`: random weights. ParameterError where forming is not known."""
        return self._known_forming().form(shape, voltage, generator)

    def formed_share(self, voltage: float) -> float:
        """P(formed) at a forming voltage (V)."""
        return self._known_forming().share(voltage)

    def _known_forming(self) -> Forming:
        if self.forming is None:
            raise ParameterError(must("device", "one whose forming was measured", self.kind, "taox40 is one"))
        return self.forming

    def check_window(self) -> None:
        """ParameterError unless 0 <= g_min < g_max."""
        check(self, "g_min", at_least=0, unit="S")
        check(self, "g_max", above=0, unit="S")
        if not self.g_max > self.g_min:
            raise ParameterError(must(f"{self.kind}.g_max", f"above g_min = {self.g_min:g} S", self.g_max))

    def check_within(self, low: float, high: float) -> None:
        """RangeError unless the window lies in [low, high] (siemens), the range of a published fit."""
        if self.g_min < low * (1 - 1e-9) or self.g_max > high * (1 + 1e-9):
            rule = f"within {low:.4g} to {high:.4g} S, the range of the fit"
            raise RangeError(must(f"{self.kind} window", rule, f"{self.g_min:.4g} to {self.g_max:.4g} S"))

    def check_targets(self, targets: np.ndarray) -> None:
        """RangeError where a target lies outside the window (or is not a number)."""
        slack = 1e-9 * self.g_max
        off = ~((targets >= self.g_min - slack) & (targets <= self.g_max + slack))
        if np.any(off):
            rule = f"within {self.g_min:.3g} to {self.g_max:.3g} S"
            raise RangeError(must(f"{self.kind}.target", rule, float(np.asarray(targets)[off].flat[0])))
