"""Weights: linear layers, convolutions and transposed convolutions in one and two dimensions, batch norm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import skip_init

from ...layers.shape import MatMul
from ..sketch import Ref, Sketch, Unsupported
from .owned import one, owned, pair
from .smooth import difference, group_norm


def linear(s: Sketch, x: Ref, weight: Tensor, bias: Tensor | None = None) -> Ref:
    """x W^T + b; weight (n_out, n_in)."""
    shell = skip_init(nn.Linear, weight.shape[1], weight.shape[0], bias=bias is not None, device=weight.device)
    return s.emit(owned(shell, weight=weight, bias=bias), x)


def addmm(s: Sketch, bias: Tensor, x: Ref, weight: Tensor) -> Ref:
    """bias + x W; weight (n_in, n_out)."""
    if not isinstance(weight, Tensor) or not isinstance(x, Ref) or not isinstance(bias, Tensor):
        raise Unsupported("addmm of more than one activation")
    return linear(s, x, weight.t(), bias.expand(weight.shape[1]))


def matmul(s: Sketch, a: Ref | Tensor, b: Ref | Tensor) -> Ref:
    """a b: weights on the right are a linear layer; two activations a product through temporal difference."""
    if isinstance(a, Ref) and isinstance(b, Ref):
        return difference(s, MatMul(), a, b)
    if isinstance(a, Ref) and isinstance(b, Tensor) and b.ndim == 2 and a.ndim > 1:
        return linear(s, a, b.t())
    raise Unsupported("a product with weights on the left")


def conv2d(
    s: Sketch, x: Ref, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1, padding_mode: str = "zeros",
) -> Ref:  # fmt: skip
    """A convolution of maps x (B, C, H, W); weight (O, C / groups, kh, kw)."""
    if x.ndim != 4:
        raise Unsupported(f"a convolution of {x.shape[1:]}")
    shell = skip_init(
        nn.Conv2d, x.shape[1], weight.shape[0], tuple(weight.shape[2:]), pair(stride), pair(padding), pair(dilation),
        groups, bias is not None, padding_mode, device=weight.device,
    )  # fmt: skip
    return s.emit(owned(shell, weight=weight, bias=bias), x)


def conv1d(
    s: Sketch, x: Ref, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1, padding_mode: str = "zeros",
) -> Ref:  # fmt: skip
    """A convolution of x (B, C, L) as one of maps (B, C, 1, L)."""
    flat = s.rearranged(x, lambda t: t.unsqueeze(2))
    pad = padding if isinstance(padding, str) else (0, one(padding))
    y = conv2d(
        s, flat, weight.unsqueeze(2), bias, (1, one(stride)), pad, (1, one(dilation)), groups, padding_mode
    )  # fmt: skip
    return s.rearranged(y, lambda t: t.squeeze(2))


def conv_transpose2d(
    s: Sketch, x: Ref, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Ref:  # fmt: skip
    """A transposed convolution: zeros between the inputs, then a convolution with the kernel turned round.

    weight (C, O / groups, kh, kw)
    """
    if x.ndim != 4:
        raise Unsupported(f"a transposed convolution of {x.shape[1:]}")
    steps, pads, more, wide = pair(stride), pair(padding), pair(output_padding), pair(dilation)
    border = [d * (k - 1) - p for d, k, p in zip(wide, weight.shape[2:], pads)]

    def spread(t: Tensor) -> Tensor:
        size = [(n - 1) * m + 1 for n, m in zip(t.shape[2:], steps)]
        out = t.new_zeros(*t.shape[:2], *size)
        out[:, :, :: steps[0], :: steps[1]] = t
        return functional.pad(out, (border[1], border[1] + more[1], border[0], border[0] + more[0]))

    c, o, kh, kw = weight.shape
    turned = weight.flip(2, 3).reshape(groups, c // groups, o, kh, kw).transpose(1, 2)
    return conv2d(s, s.rearranged(x, spread), turned.reshape(groups * o, c // groups, kh, kw), bias, 1, 0, wide, groups)


def conv_transpose1d(
    s: Sketch, x: Ref, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Ref:  # fmt: skip
    """The same in one dimension."""
    flat = s.rearranged(x, lambda t: t.unsqueeze(2))
    sizes = [(one(v), w) for v, w in ((stride, 1), (padding, 0), (output_padding, 0), (dilation, 1))]
    st, pa, op, di = ((w, v) for v, w in sizes)
    y = conv_transpose2d(s, flat, weight.unsqueeze(2), bias, st, pa, op, groups, di)
    return s.rearranged(y, lambda t: t.squeeze(2))


def convolution(
    s: Sketch, x: Ref, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any,
    transposed: bool, output_padding: Any, groups: int, *rest: Any,
) -> Ref:  # fmt: skip
    """ATen's one convolution."""
    line = x.ndim == 3
    if transposed:
        turned = conv_transpose1d if line else conv_transpose2d
        return turned(s, x, weight, bias, stride, padding, output_padding, groups, dilation)
    return (conv1d if line else conv2d)(s, x, weight, bias, stride, padding, dilation, groups)


def batch_norm(
    s: Sketch, x: Ref, weight: Tensor | None, bias: Tensor | None, mean: Tensor | None, var: Tensor | None,
    training: bool = False, momentum: float | None = 0.1, eps: float = 1e-5, *rest: Any,
) -> Ref:  # fmt: skip
    """Batch normalisation of (B, C), (B, C, L) or (B, C, H, W), always with weight and bias."""
    if training or mean is None or var is None:
        raise Unsupported("a normalisation by the batch's own statistics")
    if x.ndim not in (2, 3, 4):
        raise Unsupported(f"a normalisation of {x.shape[1:]}")
    flat = s.rearranged(x, lambda t: t.unsqueeze(2)) if x.ndim == 3 else x
    kind = nn.BatchNorm1d if x.ndim == 2 else nn.BatchNorm2d
    shell = skip_init(kind, len(mean), eps, momentum or 0.1, device=mean.device)
    shell.num_batches_tracked.zero_()
    weight = torch.ones_like(mean) if weight is None else weight
    bias = torch.zeros_like(mean) if bias is None else bias
    y = s.emit(owned(shell, weight=weight, bias=bias, running_mean=mean, running_var=var), flat)
    return s.rearranged(y, lambda t: t.squeeze(2)) if x.ndim == 3 else y


def functional_batch_norm(
    s: Sketch, x: Ref, mean: Tensor | None, var: Tensor | None, weight: Tensor | None = None,
    bias: Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Ref:  # fmt: skip
    """F.batch_norm, whose arguments stand in another order."""
    return batch_norm(s, x, weight, bias, mean, var, training, momentum, eps)


def instance_norm(
    s: Sketch, x: Ref, weight: Tensor | None = None, bias: Tensor | None = None, mean: Tensor | None = None,
    var: Tensor | None = None, use_input_stats: bool = True, momentum: float = 0.1, eps: float = 1e-5, *rest: Any,
) -> Ref:  # fmt: skip
    """Instance normalisation (ATen's order): a group norm of one channel a group."""
    if not use_input_stats:  # a batch normalisation by another name
        return batch_norm(s, x, weight, bias, mean, var, eps=eps)
    return group_norm(s, x, x.shape[1], weight, bias, eps)


def functional_instance_norm(
    s: Sketch, x: Ref, running_mean: Tensor | None = None, running_var: Tensor | None = None,
    weight: Tensor | None = None, bias: Tensor | None = None, use_input_stats: bool = True, momentum: float = 0.1,
    eps: float = 1e-5,
) -> Ref:  # fmt: skip
    """F.instance_norm, whose arguments stand in another order."""
    return instance_norm(s, x, weight, bias, running_mean, running_var, use_input_stats, momentum, eps)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "linear": linear, "addmm": addmm, "matmul": matmul, "mm": matmul, "bmm": matmul, "conv2d": conv2d,
    "conv1d": conv1d, "conv_transpose2d": conv_transpose2d, "conv_transpose1d": conv_transpose1d,
    "convolution": convolution, "batch_norm": batch_norm, "functional_batch_norm": functional_batch_norm,
    "instance_norm": instance_norm, "functional_instance_norm": functional_instance_norm,
}  # fmt: skip
