"""IF: the integrate-and-fire neuron, which never leaks. Conversion makes these."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ._leaky import LeakyNeuron


class IF(LeakyNeuron):
    """Integrate-and-fire: h = v + x;  s = 1 where h >= threshold;  v = reset(h, s).

    With reset by subtraction and a constant drive z in [0, threshold], the mean of `threshold s` over T steps is z
    to within threshold/T; starting at threshold/2 rounds instead of flooring. Rueckauer et al. 2017.
    Arguments, shapes and state: see `LeakyNeuron`.
    """

    def __init__(self, threshold: float | Tensor = 1.0, **options: Any) -> None:
        super().__init__(threshold, leak=1.0, **options)
