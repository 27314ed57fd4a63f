"""LIF: the leaky integrate-and-fire neuron, and the conventions of other frameworks as constructors."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from ..core.params import number
from ..errors import ParameterError, must, nearest
from ..units import quantity
from ._leaky import LeakyNeuron
from ._resets import BySubtraction, NoReset, Reset, ToValue


class LIF(LeakyNeuron):
    """Leaky integrate-and-fire.

        h = beta v + gain x;    s = 1 where h >= threshold;    v = reset(h, s)

    beta       membrane left after one step, 0..1: exp(-dt/tau), or 1 - dt/tau in Euler's form
    threshold  in the units of the drive
    Other arguments, shapes and state: see `LeakyNeuron`. Gerstner and Kistler 2002, section 4.1.
    """

    def __init__(self, beta: float | Tensor = 0.9, threshold: float | Tensor = 1.0, **options: Any) -> None:
        super().__init__(threshold, leak=beta, **options)

    @classmethod
    def from_tau(
        cls,
        tau: str | float,
        dt: str | float,
        threshold: float = 1.0,
        *,
        normalised: bool = False,
        **options: Any,
    ) -> LIF:
        """beta = exp(-dt/tau), with tau and dt in seconds or as text ("20 ms").

        normalised: gain 1 - beta, so that a constant drive x settles at v = x.
        """
        tau_s, dt_s = quantity(tau, "s", field="LIF.tau"), quantity(dt, "s", field="LIF.dt")
        number("LIF.tau", tau_s, above=0, unit="s")
        number("LIF.dt", dt_s, above=0, unit="s")
        beta = math.exp(-dt_s / tau_s)
        return cls(beta, threshold, gain=1 - beta if normalised else 1.0, **options)

    @classmethod
    def snntorch(
        cls, beta: float | Tensor, threshold: float | Tensor = 1.0, *, reset: str = "subtract", reset_delay: bool = True,
        **options: Any,
    ) -> LIF:  # fmt: skip
        """snnTorch's Leaky: fires above (not at) the threshold, and by default resets one step late, undecayed.

            r = H(u - threshold);   u = beta u + x - r threshold;   s = H(u - threshold)        "subtract", delayed

        reset is snnTorch's own word: "subtract", "zero" or "none".
        """
        kinds: dict[str, Reset] = {
            "subtract": BySubtraction(reset_delay), "zero": ToValue(0.0, reset_delay), "none": NoReset(),
        }  # fmt: skip
        if reset not in kinds:
            raise ParameterError(must("LIF.reset", "one of subtract, zero, none", reset, nearest(reset, kinds)))
        return cls(beta, threshold, reset=kinds[reset], strict=True, **options)
