"""Conduction: the current of a cell at a read voltage.

    linear   I = G V
    cubic    I = G V (1 + excess (V / voltage)^2)

G is the conductance at the voltages of program and verify, taken as small.
"""

from __future__ import annotations

from dataclasses import dataclass

from spikesim.errors import RangeError, must


@dataclass(frozen=True)
class Conduction:
    """Linear: the current factor I / (G V) is 1 at every voltage."""

    def factor(self, volts: float) -> float:
        """I / (G V) at `volts`. RangeError outside the range that was measured."""
        return 1.0


@dataclass(frozen=True)
class Cubic(Conduction):
    """I / (G V) = 1 + excess (V / voltage)^2, for |V| up to `voltage`, the largest voltage measured."""

    excess: float
    voltage: float

    def factor(self, volts: float) -> float:
        if abs(volts) > self.voltage:
            rule = f"at most {self.voltage:g} V, up to which the current was measured"
            raise RangeError(must("conduction.volts", rule, volts))
        return 1 + self.excess * (volts / self.voltage) ** 2
