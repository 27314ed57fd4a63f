"""Roundings: parts of quantised activations that people write by hand, see `staircase.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..sketch import Ref, Sketch
from .activation import clamp
from .arithmetic import scaled, shifted


class Floor(nn.Module):
    """In a draft: the floor of every value, until it is known what it is part of."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.floor(x)


def floor(s: Sketch, x: Ref) -> Ref:
    """floor(x)."""
    return s.emit(Floor(), x)


def rounded(s: Sketch, x: Ref, decimals: int = 0) -> Ref:
    """floor(x + 1/2): differs from round(x), which goes to even numbers, at exact halves only."""
    if decimals:
        return scaled(s, rounded(s, scaled(s, x, 10.0**decimals)), 10.0**-decimals)
    return floor(s, shifted(s, x, 0.5))


def ceil(s: Sketch, x: Ref) -> Ref:
    """ceil(x) = floor(x + 1), but at whole numbers."""
    return floor(s, shifted(s, x, 1.0))


def fake_quantize(s: Sketch, x: Ref, scale: Any, zero_point: Any, low: int, high: int, *rest: Any) -> Ref:
    """(clip(round(x / scale) + zero, low, high) - zero) scale."""
    step, zero = float(scale), float(zero_point)
    level = clamp(s, shifted(s, rounded(s, scaled(s, x, 1.0 / step)), zero), low, high)
    return scaled(s, shifted(s, level, -zero), step)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "floor": floor, "floor_": floor, "round": rounded, "round_": rounded, "ceil": ceil, "ceil_": ceil,
    "fake_quantize_per_tensor_affine": fake_quantize,
}  # fmt: skip
