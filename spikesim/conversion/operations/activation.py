"""Activations that become neurons: ReLU, ReLU with a ceiling, and what is a sum of such."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ...layers.quantised import QuantisedReLU
from ..sketch import Ref, Sketch, Unsupported
from .arithmetic import add, scaled, shifted, sub
from .owned import owned


def relu(s: Sketch, x: Ref, inplace: bool = False) -> Ref:
    """max(x, 0)."""
    return s.emit(nn.ReLU(), x)


def clamp(s: Sketch, x: Ref, min: Any = None, max: Any = None) -> Ref:
    """Values held within two numbers: a ReLU, with a ceiling, between two shifts."""
    low, high = (_number(bound) for bound in (min, max))
    if low is None:
        if high is None:
            return x
        return scaled(s, relu_from(s, scaled(s, x, -1.0), -high), -1.0)
    return relu_from(s, x, low, high)


def relu_from(s: Sketch, x: Ref, low: float, high: float | None = None) -> Ref:
    """min(max(x, low), high)."""
    y = shifted(s, x, -low) if low else x
    if high is None or math.isinf(high):
        y = s.emit(nn.ReLU(), y)
    elif high <= low:
        raise Unsupported(f"a clamp from {low:g} to {high:g}")
    else:
        y = s.emit(nn.Hardtanh(0.0, high - low), y)
    return shifted(s, y, low) if low else y


def hardtanh(s: Sketch, x: Ref, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Ref:
    """clamp(x, -1, 1)."""
    return clamp(s, x, min_val, max_val)


def relu6(s: Sketch, x: Ref, inplace: bool = False) -> Ref:
    """clamp(x, 0, 6)."""
    return clamp(s, x, 0.0, 6.0)


def quantised_relu(s: Sketch, x: Ref, threshold: Tensor, levels: int) -> Ref:
    """theta clip(floor(L x / theta + 1/2) / L, 0, 1): a neuron whose threshold the training has found."""
    return s.emit(owned(QuantisedReLU(levels, tuple(threshold.shape)), threshold=threshold), x)


def hardsigmoid(s: Sketch, x: Ref, inplace: bool = False) -> Ref:
    """clamp(x / 6 + 1/2, 0, 1)."""
    return clamp(s, shifted(s, scaled(s, x, 1 / 6), 0.5), 0.0, 1.0)


def leaky_relu(s: Sketch, x: Ref, negative_slope: float = 0.01, inplace: bool = False) -> Ref:
    """relu(x) - slope relu(-x): two neurons."""
    return _two_sided(s, x, torch.tensor(float(negative_slope), dtype=torch.float64))


def prelu(s: Sketch, x: Ref, weight: Tensor) -> Ref:
    """The same with a slope per channel, weight (1,) or (C,)."""
    slope = weight.detach()
    return _two_sided(s, x, slope[0] if slope.numel() == 1 else slope.reshape(-1, *[1] * (x.ndim - 2)))


def absolute(s: Sketch, x: Ref) -> Ref:
    """relu(x) + relu(-x)."""
    return _two_sided(s, x, torch.tensor(-1.0))


def _two_sided(s: Sketch, x: Ref, slope: Tensor) -> Ref:
    up = s.emit(nn.ReLU(), x)
    if not bool(slope.any()):
        return up
    down = s.emit(nn.ReLU(), scaled(s, x, -1.0))
    return s.emit(nn.Identity(), up, scaled(s, down, -slope))


def threshold(s: Sketch, x: Ref, threshold: float, value: float, inplace: bool = False) -> Ref:
    """x above the threshold, `value` elsewhere; the two must be one number."""
    if threshold != value:
        raise Unsupported(f"a threshold of {threshold:g} with another value, {value:g}")
    return relu_from(s, x, float(threshold))


def maximum(s: Sketch, x: Ref | Tensor, other: Any) -> Ref:
    """max(x, y) = x + relu(y - x); of a number a shifted ReLU."""
    if isinstance(x, Ref) and isinstance(other, Ref):
        return add(s, x, relu(s, sub(s, other, x)))
    x, bound = (x, other) if isinstance(x, Ref) else (other, x)
    return clamp(s, x, bound, None)


def minimum(s: Sketch, x: Ref | Tensor, other: Any) -> Ref:
    """min(x, y) = x - relu(x - y); of a number a shifted ReLU."""
    if isinstance(x, Ref) and isinstance(other, Ref):
        return sub(s, x, relu(s, sub(s, x, other)))
    x, bound = (x, other) if isinstance(x, Ref) else (other, x)
    return clamp(s, x, None, bound)


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, Ref) or (isinstance(value, Tensor) and value.numel() != 1):
        raise Unsupported("a clamp between values that are not two numbers")
    return float(value)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "relu": relu, "relu_": relu, "clamp": clamp, "clamp_": clamp, "clip": clamp, "hardtanh": hardtanh,
    "hardtanh_": hardtanh, "relu6": relu6, "relu6_": relu6, "hardsigmoid": hardsigmoid, "leaky_relu": leaky_relu,
    "leaky_relu_": leaky_relu, "prelu": prelu, "_prelu_kernel": prelu, "abs": absolute,
    "quantised_relu": quantised_relu, "clamp_min": maximum, "clamp_min_": maximum, "clamp_max": minimum,
    "clamp_max_": minimum, "maximum": maximum, "minimum": minimum,
    "threshold": threshold, "threshold_": threshold, "_threshold": threshold, "abs_": absolute, "absolute": absolute,
}  # fmt: skip
