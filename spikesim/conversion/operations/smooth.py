"""Functions that spikes do not compute: they run as float operators through temporal difference, and reports say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ...layers.shape import Attention, Pointwise
from ..sketch import Ref, Sketch, Unsupported
from .owned import owned


class FloatOperator(nn.Module):
    """In a draft: a function that becomes a `TemporalDifference` around it."""

    def __init__(self, function: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.joins = bool(getattr(function, "joins", False))

    def forward(self, *parts: Tensor) -> Tensor:
        return self.function(*parts)  # type: ignore[no-any-return]


def difference(s: Sketch, function: nn.Module, *sources: Ref) -> Ref:
    """A float operator of one or several values."""
    return s.emit(FloatOperator(function.eval().requires_grad_(False)), *sources)


def _plain(make: Callable[..., nn.Module]) -> Callable[..., Ref]:
    """An operation that ignores `inplace` and hands its other arguments to a module."""

    def operation(s: Sketch, x: Ref, *args: Any, inplace: bool = False, **kwargs: Any) -> Ref:
        try:
            return difference(s, make(*args, **kwargs), x)
        except TypeError as error:
            raise Unsupported(f"with arguments {args} {kwargs}") from error

    return operation


def _softmax(kind: type[nn.Module]) -> Callable[..., Ref]:
    def operation(s: Sketch, x: Ref, dim: int | None = None, *rest: Any, **more: Any) -> Ref:
        if dim is None or dim % x.ndim == 0:
            raise Unsupported("a softmax over samples, or over no given axis")
        return difference(s, kind(dim), x)  # type: ignore[call-arg]

    return operation


def layer_norm(
    s: Sketch, x: Ref, normalized_shape: Any, weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5, *rest: Any,
) -> Ref:  # fmt: skip
    """Layer normalisation over the last axes."""
    module = nn.LayerNorm(tuple(normalized_shape), eps, weight is not None, bias=bias is not None)
    return difference(s, owned(module, weight=weight, bias=bias), x)


def rms_norm(s: Sketch, x: Ref, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None) -> Ref:
    """Division by the root mean square over the last axes."""
    module = nn.RMSNorm(tuple(normalized_shape), eps, weight is not None)
    return difference(s, owned(module, weight=weight), x)


def group_norm(
    s: Sketch, x: Ref, groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5,
    *rest: Any,
) -> Ref:  # fmt: skip
    """Group normalisation: statistics of the sample itself, so not linear."""
    return difference(s, owned(nn.GroupNorm(groups, x.shape[1], eps, weight is not None), weight=weight, bias=bias), x)


def attention(
    s: Sketch, q: Ref, k: Ref, v: Ref, mask: Any = None, dropout: float = 0.0, is_causal: bool = False,
    *rest: Any, scale: float | None = None, **more: Any,
) -> Ref:  # fmt: skip
    """Scaled dot product attention."""
    if mask is not None or dropout:
        raise Unsupported("attention with a mask or with dropout")
    return difference(s, Attention(scale, is_causal), q, k, v)


def _elu(alpha: float = 1.0, *rest: Any) -> nn.Module:
    return nn.ELU(alpha)


def _pointwise(name: str) -> Callable[[Sketch, Ref], Ref]:
    def operation(s: Sketch, x: Ref) -> Ref:
        return difference(s, Pointwise(name), x)

    return operation


OPERATIONS: dict[str, Callable[..., Any]] = {
    **{name: _pointwise(name) for name in Pointwise.FUNCTIONS}, "gelu": _plain(nn.GELU), "silu": _plain(nn.SiLU),
    "sigmoid": _plain(nn.Sigmoid), "tanh": _plain(nn.Tanh), "elu": _plain(_elu), "celu": _plain(nn.CELU),
    "rms_norm": rms_norm, "selu": _plain(nn.SELU), "softplus": _plain(nn.Softplus), "mish": _plain(nn.Mish),
    "hardswish": _plain(nn.Hardswish), "logsigmoid": _plain(nn.LogSigmoid), "softsign": _plain(nn.Softsign),
    "silu_": _plain(nn.SiLU), "hardswish_": _plain(nn.Hardswish), "sigmoid_": _plain(nn.Sigmoid),
    "tanh_": _plain(nn.Tanh), "elu_": _plain(_elu), "softmax": _softmax(nn.Softmax), "_softmax": _softmax(nn.Softmax),
    "log_softmax": _softmax(nn.LogSoftmax), "_log_softmax": _softmax(nn.LogSoftmax), "layer_norm": layer_norm,
    "group_norm": group_norm, "scaled_dot_product_attention": attention,
}  # fmt: skip
