"""AdaptiveLIF: a threshold that rises with the neuron's own spikes."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .general import Adaptation, Variant
from .lif import LIF


class AdaptiveLIF(LIF):
    """Adaptive LIF (ALIF).

        h = beta v + x;    s = 1 where h >= threshold + strength a;    a = rho a + (1 - rho) s

    rho       share of the adaptation left after one step, exp(-dt/tau_a)
    strength  of the adaptation, in units of the threshold
    The reset subtracts the threshold in force. Other arguments, shapes and state: see `LeakyNeuron`.
    Bellec et al. 2018, equations of the LSNN.
    """

    def __init__(
        self, beta: float | Tensor = 0.9, threshold: float | Tensor = 1.0, *, rho: float = 0.97, strength: float = 1.8,
        **options: Any,
    ) -> None:  # fmt: skip
        adaptation = Adaptation(rho, strength, 1 - rho)
        super().__init__(beta, threshold, variant=Variant(adaptation=adaptation), **options)
