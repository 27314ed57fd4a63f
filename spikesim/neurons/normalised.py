"""NormalisedLIF: a LIF whose membrane is measured in thresholds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._leaky import LeakyNeuron
from ._membrane import Coefficients
from .lif import LIF


class NormalisedLIF(LeakyNeuron):
    """Leaky integrate-and-fire with a membrane in units of its threshold, the form that IIR-SNN trains.

        u = beta u + (gain x + bias) / threshold;    s = 1 where u > 1 (>= where not `strict`);    u = reset(u, s)

    With u = U / V this is U = lambda U + x, s = H(U / V - 1), U -= V s: same spikes, and gradients of a threshold that
    is learned, with the surrogate a function of U / V - 1, whatever V.

    beta, threshold  as in `LIF`; other arguments, shapes and state (of u): see `LeakyNeuron`.
    Chowdhury et al. 2021, arXiv 2110.05929.
    """

    def __init__(
        self, beta: float | Tensor = 1.0, threshold: float | Tensor = 1.0, *, strict: bool = True, **options: Any
    ) -> None:
        super().__init__(threshold, leak=beta, strict=strict, **options)

    def coefficients(self, like: Tensor) -> Coefficients:
        """The plain equation's numbers in the dtype and on the device of `like`."""
        threshold = self.threshold.to(like)
        one = torch.ones_like(threshold.detach())
        fires = torch.nextafter(one, one.new_full((), torch.inf)) if self.strict else one
        scale, shift = self.reset.numbers(one)
        gain, bias = self.gain.to(like) / threshold, self.optional("bias", like) / threshold
        return Coefficients(self.leak.to(like), gain, bias, fires, scale, shift)

    def as_lif(self) -> LIF:
        """The same neuron as a `LIF` of threshold 1, for everything that takes no other: chips, files of other tools."""
        c = self.coefficients(self.threshold)
        return LIF(
            c.leak.detach(), 1.0, gain=c.gain.detach(), bias=c.bias.detach(), initial=self.initial, strict=self.strict,
            reset=self.reset, surrogate=self.surrogate, detach_reset=self.detach_reset,
        )  # fmt: skip
