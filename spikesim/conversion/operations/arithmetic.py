"""Sums, differences, products and quotients of activations and constants; means and sums over axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ...layers.scale import Scale
from ...layers.shape import Divide, Multiply, Pointwise, Reduce, Shift
from ..sketch import Ref, Sketch, Unsupported
from .smooth import difference

Value = Ref | Tensor | float | int


def exact(value: Any) -> Tensor:
    """A constant of the model's as a tensor; numbers keep all their digits."""
    return value.detach() if isinstance(value, Tensor) else torch.as_tensor(value, dtype=torch.float64)


def constant(x: Ref, value: Any) -> Tensor:
    """A constant that is added to or multiplied with x (B, *shape), as (*shape) or fewer axes; never per sample."""
    c = exact(value)
    if c.ndim > x.ndim:
        raise Unsupported("a constant of more axes than the activation")
    if c.ndim == x.ndim:
        if c.shape[0] != 1 and bool((c != c[:1]).any()):
            raise Unsupported("a constant that differs from sample to sample")
        c = c[0]
    return c


def scaled(s: Sketch, x: Ref, factor: Any) -> Ref:
    """x times a constant."""
    c = constant(x, factor)
    if torch.broadcast_shapes(c.shape, x.shape[1:]) != torch.Size(x.shape[1:]):
        raise Unsupported("a constant that spreads the activation")
    module = Scale(tuple(c.shape))
    module.factor = c.double()
    return s.emit(module, x)


def shifted(s: Sketch, x: Ref, offset: Any) -> Ref:
    """x plus a constant."""
    c = constant(x, offset)
    if torch.broadcast_shapes(c.shape, x.shape[1:]) != torch.Size(x.shape[1:]):
        raise Unsupported("a constant that spreads the activation")
    if not bool(c.any()):
        return x
    module = Shift(tuple(c.shape))
    module.bias = c.double()
    return s.emit(module, x)


def add(s: Sketch, a: Value, b: Value, *, alpha: float = 1) -> Ref:
    """a + alpha b."""
    if isinstance(a, Ref) and isinstance(b, Ref):
        other = b if alpha == 1 else scaled(s, b, alpha)
        if a.shape != other.shape:
            a, other = (spread(s, part, torch.broadcast_shapes(a.shape, other.shape)) for part in (a, other))
        if a.name == other.name:
            return scaled(s, a, 2.0)
        return s.emit(nn.Identity(), a, other)
    if isinstance(a, Ref):
        return shifted(s, a, exact(b) * alpha)
    if not isinstance(b, Ref):
        raise Unsupported("a sum of constants")
    return shifted(s, b if alpha == 1 else scaled(s, b, alpha), a)


def sub(s: Sketch, a: Value, b: Value, *, alpha: float = 1) -> Ref:
    """a - alpha b."""
    return add(s, a, b, alpha=-alpha)


def rsub(s: Sketch, a: Value, b: Value, *, alpha: float = 1) -> Ref:
    """b - alpha a."""
    return add(s, b, a, alpha=-alpha)


def mul(s: Sketch, a: Value, b: Value) -> Ref:
    """a b: a factor, or a gate (a product of two activations, through temporal difference)."""
    if isinstance(a, Ref) and isinstance(b, Ref):
        return difference(s, Multiply(), a, b)
    return scaled(s, a, b) if isinstance(a, Ref) else scaled(s, b, a)  # type: ignore[arg-type]


def div(s: Sketch, a: Value, b: Value, *, rounding_mode: Any = None) -> Ref:
    """a / b: a factor for a constant b, else through temporal difference."""
    if rounding_mode is not None:
        raise Unsupported(f"a division that rounds ({rounding_mode})")
    if isinstance(a, Ref):
        return difference(s, Divide(), a, b) if isinstance(b, Ref) else scaled(s, a, 1.0 / exact(b).double())
    assert isinstance(b, Ref)
    return mul(s, difference(s, Pointwise("reciprocal"), b), a)


def power(s: Sketch, x: Ref | Tensor, exponent: Any) -> Ref:
    """x^2, x^3 as products, square roots and reciprocals through temporal difference."""
    if not isinstance(x, Ref) or isinstance(exponent, Ref) or torch.as_tensor(exponent).numel() != 1:
        raise Unsupported("a power that is not one number")
    n = float(exponent)
    if n in (1.0, 2.0, 3.0):
        y = x
        for _ in range(int(n) - 1):
            y = difference(s, Multiply(), y, x)
        return y
    name = {0.5: "sqrt", -0.5: "rsqrt", -1.0: "reciprocal"}.get(n)
    if name is None:
        raise Unsupported(f"a power of {n:g}")
    return difference(s, Pointwise(name), x)


def square(s: Sketch, x: Ref) -> Ref:
    """x^2."""
    return power(s, x, 2)


def neg(s: Sketch, x: Ref) -> Ref:
    """-x."""
    return scaled(s, x, -1.0)


def spread(s: Sketch, x: Ref, shape: Any) -> Ref:
    """x repeated to `shape` (B, *shape)."""
    return s.rearranged(x, lambda t: t.expand(*shape))


def _reduced(s: Sketch, x: Ref, dim: Any, keepdim: bool, mean: bool) -> Ref:
    axes = range(1, x.ndim) if dim is None else dim if isinstance(dim, (tuple, list)) else (dim,)
    dims = tuple(sorted(int(d) % x.ndim for d in axes))
    if dim is None or 0 in dims:
        raise Unsupported("a mean or sum over samples")
    if mean and dims == (2, 3) and x.ndim == 4:
        pooled = s.emit(nn.AvgPool2d((x.shape[2], x.shape[3])), x)
        return pooled if keepdim else s.rearranged(pooled, lambda t: t.flatten(1))
    return s.emit(Reduce(dims, keepdim, mean), x)


def mean(s: Sketch, x: Ref, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Ref:
    """The mean over axes; that of all pixels is an average pool."""
    return _reduced(s, x, dim, keepdim, True)


def total(s: Sketch, x: Ref, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Ref:
    """The sum over axes."""
    return _reduced(s, x, dim, keepdim, False)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": add, "add_": add, "iadd": add, "sub": sub, "sub_": sub, "isub": sub, "rsub": rsub, "mul": mul, "mul_": mul,
    "imul": mul, "div": div, "div_": div, "truediv": div, "itruediv": div, "neg": neg, "negative": neg, "neg_": neg,
    "mean": mean, "sum": total, "subtract": sub, "multiply": mul, "divide": div, "true_divide": div, "pow": power,
    "ipow": power, "pow_": power, "square": square,
}  # fmt: skip
