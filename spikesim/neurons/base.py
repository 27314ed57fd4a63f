"""A neuron as a torch module: it sees whole sequences (T, B, *shape), and its state comes in and goes out.

How the time loop runs is an `Unroll`: `by_kernel` (one compiled loop, CPU) or `by_steps` (plain torch, any device,
differentiable). LIF and IF are coefficient sets of the equation in `_membrane.py`; read `lif.py`, `iaf.py`, then
`signed.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ..core.params import number
from ..errors import ShapeError, must

MEMBRANE_DTYPES = (torch.float32, torch.float64)


class State(NamedTuple):
    """What a neuron carries from step to step: the membrane v (B, *shape)."""

    v: Tensor


class Neuron(nn.Module):
    """Abstract: a spiking neuron over sequences. Subclasses give the first state and the two ways to run the loop."""

    spiking: ClassVar[bool] = True
    """Whether the output is spikes, which hardware sends as events."""

    def initial_state(self, shape: tuple[int, ...] | torch.Size, like: Tensor) -> Any:
        """The state before the first step for a batch of `shape` (B, *shape); a NamedTuple whose first field is v."""
        raise NotImplementedError

    def by_steps(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Run over x (T, B, *shape) in torch operations."""
        raise NotImplementedError

    def by_kernel(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Run over x (T, B, *shape) in one compiled loop."""
        raise NotImplementedError

    def checked(self, name: str, value: float | Tensor, **bounds: Any) -> Tensor:
        """The value as a finite float tensor within `bounds` (see `core.params.number`)."""
        tensor = torch.as_tensor(value).detach().clone()
        tensor = tensor if tensor.dtype in MEMBRANE_DTYPES else tensor.to(torch.get_default_dtype())
        for extreme in (tensor.min(), tensor.max()) if tensor.numel() else ():
            number(f"{type(self).__name__}.{name}", float(extreme), **bounds)
        return tensor

    def forward(self, x: Tensor, state: Any = None, unroll: Unroll | None = None) -> tuple[Tensor, Any]:
        """Run over x (T, B, *shape); `unroll` None takes the kernel where it can (CPU, float32 or float64). Under `torch.autocast`
        membranes are float32, whatever the drive was computed in."""
        if x.is_floating_point() and x.dtype not in MEMBRANE_DTYPES and torch.is_autocast_enabled(x.device.type):
            x = x.float()
        if x.ndim < 2 or not x.shape[0] or x.dtype not in MEMBRANE_DTYPES:
            got = f"{tuple(x.shape)} {x.dtype}"
            raise ShapeError(must(f"{type(self).__name__}.x", "(T, B, *shape) in float32 or float64", got))
        state = state or self.initial_state(x.shape[1:], x)
        if state.v.shape != x.shape[1:]:
            rule = f"{tuple(x.shape[1:])} as its drive"
            raise ShapeError(must(f"{type(self).__name__}.state", rule, tuple(state.v.shape), "one state per batch"))
        return (unroll or (by_kernel if x.device.type == "cpu" else by_steps))(self, x, state)


Unroll = Callable[[Neuron, Tensor, Any], tuple[Tensor, Any]]
"""A way to run a neuron's time loop: (neuron, x, state) -> spikes, state."""


def by_steps(neuron: Neuron, x: Tensor, state: Any) -> tuple[Tensor, Any]:
    """The loop in torch operations: any device, differentiable through the surrogate."""
    return neuron.by_steps(x, state)


def by_kernel(neuron: Neuron, x: Tensor, state: Any) -> tuple[Tensor, Any]:
    """The loop as a compiled kernel on the CPU."""
    return neuron.by_kernel(x, state)


def short(n: Tensor) -> str:
    """A coefficient for a repr: the number, or the range of a tensor."""
    return f"{n.item():g}" if n.numel() == 1 else f"[{n.min().item():.3g}..{n.max().item():.3g}]"
