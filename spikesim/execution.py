"""Three ways to run the same node; a law test holds them to the same spikes.

    Reference     torch operations only, one step after the other: any device, differentiable
    Fused         dense products over all steps at once, neuron time loops as numba kernels (forward and backward)
    EventDriven   inputs and spikes as index lists: weight rows are added for spikes alone (inference, CPU)

An engine is passed to `run` or to the network; None lets `choose` decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .core.operator import Context, LinearOperator
from .core.params import check
from .core.raster import SparseRaster
from .errors import ParameterError, must
from .layers.counting import as_rows, event_lists, more_than
from .neurons import Neuron, Unroll, by_kernel, by_steps

BUDGET_MB = 8.0
"""Default of the largest activation: it stays in the caches, and what is freed is used again. Blocks of 32 MB and more come
fresh from the system, page by page: with 64 a ResNet-14 took 2.2 times as long."""


class Engine:
    """Abstract: how linear nodes and neurons are run, and how large an activation may become."""

    budget_mb: float
    unroll: Unroll | None

    def linear(self, module: nn.Module, operator: LinearOperator, x: Tensor, ctx: Context) -> Tensor:
        """Weights times x (T, B, *in_shape) -> (T, B, *out_shape)."""
        raise NotImplementedError

    def temporal(self, module: nn.Module, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """A node with state over x (T, B, *shape) -> (T, B, *shape'), its state."""
        if isinstance(module, Neuron):
            return module(x, state, self.unroll)
        return module(x, state)


@dataclass(frozen=True)
class Reference(Engine):
    """Torch all the way: the engine that the others are compared with."""

    budget_mb: float = BUDGET_MB
    unroll: Unroll | None = by_steps

    def __post_init__(self) -> None:
        check(self, "budget_mb", above=0, unit="MB")

    def linear(self, module: nn.Module, operator: LinearOperator, x: Tensor, ctx: Context) -> Tensor:
        return operator.apply(x, ctx)


@dataclass(frozen=True)
class Fused(Engine):
    """Dense products over all steps; neuron loops in one kernel each. `budget_mb` bounds the largest activation."""

    budget_mb: float = BUDGET_MB
    unroll: Unroll | None = by_kernel

    def __post_init__(self) -> None:
        check(self, "budget_mb", above=0, unit="MB")

    def linear(self, module: nn.Module, operator: LinearOperator, x: Tensor, ctx: Context) -> Tensor:
        return operator.apply(x, ctx)


@dataclass(frozen=True)
class EventDriven(Engine):
    """Cost follows activity: a linear node takes index lists where its input is sparser than its break-even share.

    stages  a network that is a chain runs as one (`stages/`); False: node by node (used by the law tests)
    always  take index lists at any density (used by the law tests)
    weights what fully connected layers of a chain keep their weight rows in: torch.float32; torch.float16 or torch.int8
            with one scale s per neuron, x = sum over events of q, h = leak v + (gain s) x + bias, q = W / s rounded
            (`stages/narrow.py`); all else stays float32. A network without such a layer is refused
    """

    budget_mb: float = BUDGET_MB
    unroll: Unroll | None = by_kernel
    stages: bool = True
    always: bool = False
    weights: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        check(self, "budget_mb", above=0, unit="MB")
        if self.weights not in (torch.float32, torch.float16, torch.int8):
            rule = "torch.float32, torch.float16 or torch.int8"
            raise ParameterError(must("EventDriven.weights", rule, self.weights))

    def sparse(self, operator: LinearOperator, x: Tensor) -> bool:
        """Whether inputs x (T, B, *shape) are so few that adding weight rows for them alone is cheaper."""
        limit = 1.0 if self.always else getattr(operator, "break_even", 0.0)
        scatters = getattr(operator, "scatters", True) and limit > 0
        return scatters and (self.always or not more_than(x, limit * x.numel()))

    def linear(self, module: nn.Module, operator: LinearOperator, x: Tensor, ctx: Context) -> Tensor:
        hooked = bool(module._forward_hooks or module._forward_pre_hooks)
        if hooked or ctx.ledger is not None or not self.sparse(operator, x):
            return operator.apply(x, ctx)
        rows = as_rows(x).reshape(x.shape[0] * x.shape[1], -1)
        return operator.apply_events(*event_lists(rows), ctx).unflatten(0, x.shape[:2])


_FUSED, _EVENT_DRIVEN = Fused(), EventDriven()


def choose(x: Tensor | SparseRaster, parameters: Any) -> Engine:
    """The engine for input x: fused where a gradient is asked for, event-driven at CPU inference, else reference."""
    asked = torch.is_grad_enabled() and any(p.requires_grad for p in parameters)
    if isinstance(x, SparseRaster):
        return _FUSED if asked else _EVENT_DRIVEN
    if x.device.type != "cpu":
        return Reference()
    wanted = asked or (torch.is_grad_enabled() and x.requires_grad)
    return _FUSED if wanted or x.dtype != torch.float32 else _EVENT_DRIVEN
