"""ParametricLIF: a LIF whose leak is learned."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ._leaky import LeakyNeuron


class ParametricLIF(LeakyNeuron):
    """Parametric LIF (PLIF): the leak is a sigmoid of a learned number, so that it stays within (0, 1).

        h = (1 - k) v + k x   (decay_input; else (1 - k) v + x),      k = sigmoid(w) = 1 / tau

    tau    initial time constant in steps, above 1; a number, or a tensor that broadcasts to *shape
    Other arguments, shapes and state: see `LeakyNeuron`. Fang et al. 2021, equation 11.
    """

    SETTINGS = ("decay_input",)

    def __init__(
        self, tau: float | Tensor = 2.0, threshold: float | Tensor = 1.0, *, decay_input: bool = True, **options: Any
    ) -> None:
        super().__init__(threshold, leak=None, gain=None, **options)
        taus = self.checked("tau", tau, above=1, unit="steps")
        self.w = nn.Parameter(-torch.log(taus - 1))
        self.decay_input = decay_input

    @property
    def leak(self) -> Tensor:  # type: ignore[override]
        """1 - sigmoid(w)"""
        return 1 - self.w.sigmoid()

    @property
    def gain(self) -> Tensor:  # type: ignore[override]
        """sigmoid(w) where the input decays too, else 1."""
        return self.w.sigmoid() if self.decay_input else torch.ones_like(self.w)

    @property
    def tau(self) -> float:
        """The mean time constant now, in steps."""
        return float((1 / self.w.detach().sigmoid()).mean())

    def extra_repr(self) -> str:
        return f"tau={self.tau:.3g}, {super().extra_repr()}"
