"""IF: the integrate-and-fire neuron, which never leaks. Conversion makes these."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ._leaky import LeakyNeuron
from ._resets import BySubtraction, ToValue


class IF(LeakyNeuron):
    """Integrate-and-fire: h = v + x;  s = 1 where h >= threshold;  v = reset(h, s).

    With reset by subtraction and a constant drive z in [0, threshold], the mean of `threshold s` over T steps is z
    to within threshold/T; starting at threshold/2 rounds instead of flooring. Rueckauer et al. 2017.
    Arguments, shapes and state: see `LeakyNeuron`.
    """

    def __init__(self, threshold: float | Tensor = 1.0, **options: Any) -> None:
        super().__init__(threshold, leak=1.0, **options)

    @classmethod
    def spikingjelly(cls, v_threshold: float = 1.0, v_reset: float | None = 0.0, **options: Any) -> IF:
        """SpikingJelly's IFNode: v_reset None for the soft reset; starts at v_reset."""
        options.setdefault("reset", BySubtraction() if v_reset is None else ToValue(v_reset))
        return cls(v_threshold, initial=v_reset or 0.0, **options)
