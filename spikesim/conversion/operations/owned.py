"""Plain modules that own their tensors."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn


def owned(module: nn.Module, **tensors: Tensor | None) -> nn.Module:
    """`module` with copies of these tensors in place of its empty ones; nothing requires a gradient."""
    for name, tensor in tensors.items():
        if tensor is not None:
            getattr(module, name).data = tensor.detach().clone()
    return module.eval().requires_grad_(False)


def with_tensors(module: nn.Module, **tensors: Tensor) -> nn.Module:
    """A copy of `module` with these parameters or buffers in their place, as float32; the others are shared."""
    fresh = copy.copy(module)
    fresh._parameters, fresh._buffers = dict(module._parameters), dict(module._buffers)
    for name, tensor in tensors.items():
        value = tensor.detach().float().clone()
        if name in fresh._parameters:
            fresh._parameters[name] = nn.Parameter(value, requires_grad=False)
        else:
            fresh._buffers[name] = value
    return fresh


def pair(value: Any) -> Any:
    """(n, n) of n; sequences as tuples, words as they are."""
    if isinstance(value, str):
        return value
    if isinstance(value, (tuple, list)):
        return tuple(int(v) for v in value) * (2 // len(value))
    return (int(value), int(value))


def one(value: Any) -> Any:
    """n of (n,) or n; words as they are."""
    return value[0] if isinstance(value, (tuple, list)) else value
