"""Temporal difference: a function that spikes cannot compute, made exact for means over time."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class DifferenceState(NamedTuple):
    """Per input the sum so far (B, *shape), the sum of outputs so far (B, *shape'), and the steps done (B,)."""

    totals: tuple[Tensor, ...]
    said: Tensor
    done: Tensor


class TemporalDifference(nn.Module):
    """Emits at every step what brings the mean output to the function of the mean input.

        y_t = unit (t f(X_t / (unit t)) - (t-1) f(X_{t-1} / (unit (t-1)))),      X_t = x_1 + ... + x_t

    So the sum of y over T steps is T unit f(mean x / unit). While f is not finite (the logarithm of nothing),
    y is 0. f is a float operator (GELU, softmax, LayerNorm, a product): this is no spiking neuron, and reports say so.
    unit is 1, or 1/T where T bins sum to the ANN's input.

    function   a module of (N, *shape), or of several of them where it `joins`
    x (T, B, *shape), or a tuple of such  ->  y (T, B, *shape'), DifferenceState
    Huang et al., "Towards high-performance spiking transformers from ANN to SNN conversion", ACM MM 2024.
    """

    unit: Tensor

    def __init__(self, function: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.joins = bool(getattr(function, "joins", False))
        self.register_buffer("unit", torch.ones(()))

    def initial_state(self, shape: tuple[int, ...] | torch.Size, like: Tensor) -> DifferenceState:
        """Nothing summed, nothing said, for one input of `shape` (B, *shape)."""
        return self._fresh((like.new_zeros((1, *shape)),))

    def _fresh(self, x: tuple[Tensor, ...]) -> DifferenceState:
        totals = tuple(part.new_zeros(part.shape[1:]) for part in x)
        return DifferenceState(totals, torch.zeros_like(self.function(*totals)), x[0].new_zeros(x[0].shape[1]))

    def forward(
        self, x: Tensor | tuple[Tensor, ...], state: DifferenceState | None = None
    ) -> tuple[Tensor, DifferenceState]:
        parts = x if isinstance(x, tuple) else (x,)
        state = state or self._fresh(parts)
        outputs, totals, said, done = [], list(state.totals), state.said, state.done
        for drives in zip(*parts):  # one after the other, so that a run cut anywhere adds in the same order
            totals = [total + drive for total, drive in zip(totals, drives)]
            done = done + 1
            means = (total / (self.unit * _column(done, total)) for total in totals)
            value = self.function(*means)
            value = self.unit * _column(done, value) * value
            value = torch.where(torch.isfinite(value), value, said)
            outputs.append(value - said)
            said = value
        return torch.stack(outputs), DifferenceState(tuple(totals), said, done)


def _column(steps: Tensor, like: Tensor) -> Tensor:
    """steps (B,) against (B, *shape)."""
    return steps.reshape(-1, *[1] * (like.ndim - 1))
