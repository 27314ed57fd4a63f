"""Integrator: a readout whose output is its membrane; it never fires."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import Neuron, State, short
from .synapse import AFTER_DECAY, current_by_kernel, current_by_steps


class Integrator(Neuron):
    """Leaky integrator, or with leak 1 a plain sum.

        v = leak v + x;    output v

    x      (T, B, *shape)        state  State(v (B, *shape)), zeros at first        ->  v (T, B, *shape), State
    leak   kept after one step, 0..1: a number, or a tensor that broadcasts to *shape
    learn  whether the leak becomes a parameter
    """

    leak: Tensor
    spiking = False

    def __init__(self, leak: float | Tensor = 1.0, *, learn: bool = False) -> None:
        super().__init__()
        kept = self.checked("leak", leak, at_least=0, at_most=1)
        if learn:
            self.register_parameter("leak", nn.Parameter(kept))
        else:
            self.register_buffer("leak", kept)

    def initial_state(self, shape: tuple[int, ...] | torch.Size, like: Tensor) -> State:
        """Zeros."""
        return State(like.new_zeros(tuple(shape)))

    def by_steps(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, v = current_by_steps(x, state.v, self.leak, AFTER_DECAY)
        return y, State(v)

    def by_kernel(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, v = current_by_kernel(x, state.v, self.leak, AFTER_DECAY)
        return y, State(v)

    def extra_repr(self) -> str:
        return f"leak={short(self.leak)}"
