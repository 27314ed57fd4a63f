"""TemporalScale: one learned number per time step, which a layer's currents are multiplied with."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..core.params import number
from ..errors import ShapeError, must


class Steps(NamedTuple):
    """Steps done so far, (B,) int64: the same for all samples."""

    done: Tensor


class TemporalScale(nn.Module):
    """y[t] = p[t] x[t], p (T,) learned, all 1 at first: the temporal-wise spiking mechanism.

    x (T, B, *shape) -> y (T, B, *shape), Steps;  a run may be cut anywhere, and have fewer than T steps, but not more.
    Cao et al. 2024, arXiv 2408.16467, section 4.2: after every convolution (its bias included), before the normalisation.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        number("TemporalScale.steps", steps, at_least=1, integer=True)
        self.steps = steps
        self.factor = nn.Parameter(torch.ones(steps))

    def initial_state(self, shape: tuple[int, ...] | torch.Size, like: Tensor) -> Steps:
        """No step done, for a batch of `shape` (B, *shape)."""
        return Steps(torch.zeros(shape[0], dtype=torch.int64, device=like.device))

    def forward(self, x: Tensor, state: Steps | None = None) -> tuple[Tensor, Steps]:
        state = state or self.initial_state(x.shape[1:], x)
        begin = int(state.done[0]) if len(state.done) else 0
        if begin + len(x) > self.steps:
            rule = f"at most {self.steps} steps, as many as it learned"
            raise ShapeError(must("TemporalScale.x", rule, begin + len(x)))
        factor = self.factor[begin : begin + len(x)]
        return x * factor.reshape(-1, *[1] * (x.ndim - 1)), Steps(state.done + len(x))

    def extra_repr(self) -> str:
        return f"{self.steps}"
