"""Where a loss that is not finite comes from."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import SpikesimError


def first_not_finite(model: nn.Module, show: Any, x: Tensor) -> str:
    """The first that is not finite: the input, a parameter, or the output of a layer when `show()` runs the model again."""
    if not bool(torch.isfinite(x).all()):
        return "the input"
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            return f"parameter {name}"
    found: list[str] = []

    def look(name: str) -> Any:
        def hook(module: nn.Module, given: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple) else output
            if not found and isinstance(first, Tensor) and not bool(torch.isfinite(first).all()):
                found.append(name)

        return hook

    leaves = [(name, m) for name, m in model.named_modules() if not list(m.children())]
    hooks = [module.register_forward_hook(look(name)) for name, module in leaves]
    try:
        with torch.no_grad(), contextlib.suppress(SpikesimError):
            show()
    finally:
        for hook in hooks:
            hook.remove()
    return f"layer {found[0]}" if found else "the loss itself"
