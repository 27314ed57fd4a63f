"""What can be converted: each operation as a plain torch module that owns its tensors.

A module is read by its type, a function or ATen operator by its name; both end in the same few modules. To support
one more operation, add one builder.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

Pair = int | tuple[int, int]

LEAVES: tuple[type[nn.Module], ...] = (
    nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.ReLU, nn.AvgPool2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d,
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.Flatten, nn.Identity,
)  # fmt: skip
"""Module types that are read as they are."""

SUPPORTED = "Conv2d, Linear, BatchNorm1d/2d, ReLU, AvgPool2d, MaxPool2d, AdaptiveAvgPool2d, Dropout, Flatten, add"
"""What an error says can be converted."""


def _owned(module: nn.Module, **tensors: Tensor | None) -> nn.Module:
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


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> nn.Module | None:
    """nn.Linear of flat inputs x (B, n_in); weight (n_out, n_in)."""
    if x.ndim != 2:
        return None
    shell = skip_init(nn.Linear, weight.shape[1], weight.shape[0], bias=bias is not None, device=weight.device)
    return _owned(shell, weight=weight, bias=bias)


def conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Pair = 1, padding: Pair | str = 0,
    dilation: Pair = 1, groups: int = 1, padding_mode: str = "zeros",
) -> nn.Module | None:  # fmt: skip
    """nn.Conv2d of maps x (B, C, H, W); weight (O, C / groups, kh, kw)."""
    if x.ndim != 4:
        return None
    shell = skip_init(
        nn.Conv2d, x.shape[1], weight.shape[0], tuple(weight.shape[2:]), _pair(stride), _pair(padding), _pair(dilation),
        groups, bias is not None, padding_mode, device=weight.device,
    )  # fmt: skip
    return _owned(shell, weight=weight, bias=bias)


def batch_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor | None, var: Tensor | None,
    training: bool = False, momentum: float = 0.1, eps: float = 1e-5, *rest: Any,
) -> nn.Module | None:  # fmt: skip
    """nn.BatchNorm1d of x (B, C) or nn.BatchNorm2d of x (B, C, H, W), always with weight and bias.

    None where it takes its statistics from the batch, which is not a fixed function.
    """
    if training or mean is None or var is None or x.ndim not in (2, 4):
        return None
    kind = nn.BatchNorm1d if x.ndim == 2 else nn.BatchNorm2d
    shell = skip_init(kind, len(mean), eps, momentum or 0.1, device=mean.device)
    shell.num_batches_tracked.zero_()
    weight = torch.ones_like(mean) if weight is None else weight
    bias = torch.zeros_like(mean) if bias is None else bias
    return _owned(shell, weight=weight, bias=bias, running_mean=mean, running_var=var)


def functional_batch_norm(
    x: Tensor, mean: Tensor | None, var: Tensor | None, weight: Tensor | None = None, bias: Tensor | None = None,
    training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> nn.Module | None:  # fmt: skip
    """F.batch_norm, whose arguments stand in another order."""
    return batch_norm(x, weight, bias, mean, var, training, momentum, eps)


def max_pool2d(
    x: Tensor, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0, dilation: Pair = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> nn.Module | None:  # fmt: skip
    """nn.MaxPool2d of maps x (B, C, H, W), without indices."""
    if return_indices or x.ndim != 4:
        return None
    return nn.MaxPool2d(
        _pair(kernel_size), _pair(stride or kernel_size), _pair(padding), _pair(dilation), ceil_mode=ceil_mode
    )


def avg_pool2d(
    x: Tensor, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> nn.Module | None:  # fmt: skip
    """nn.AvgPool2d of maps x (B, C, H, W)."""
    if x.ndim != 4:
        return None
    return nn.AvgPool2d(
        _pair(kernel_size), _pair(stride or kernel_size), _pair(padding), ceil_mode, count_include_pad, divisor_override
    )


def adaptive_avg_pool2d(x: Tensor, output_size: Any) -> nn.Module | None:
    """nn.AvgPool2d of maps x (B, C, H, W) where the windows are equal, nn.AdaptiveAvgPool2d otherwise."""
    if x.ndim != 4:
        return None
    wanted = [size if n is None else n for n, size in zip(_pair(output_size), x.shape[2:])]
    if all(size % n == 0 for n, size in zip(wanted, x.shape[2:])):
        return avg_pool2d(x, (x.shape[2] // wanted[0], x.shape[3] // wanted[1]))
    return nn.AdaptiveAvgPool2d((wanted[0], wanted[1]))


def _relu(x: Tensor, inplace: bool = False) -> nn.Module:
    return nn.ReLU()


def _dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> nn.Module | None:
    return None if training and p else nn.Identity()


def _unchanged(x: Tensor, *rest: Any, **more: Any) -> nn.Module:
    return nn.Identity()


def _reshaped(x: Tensor, y: Tensor) -> nn.Module | None:
    """nn.Flatten where y (B, n) are the values of x (B, *shape) in their order; None for any other new shape."""
    if x.shape == y.shape:
        return nn.Identity()
    return nn.Flatten(1) if y.shape == (x.shape[0], math.prod(x.shape[1:])) else None


_BUILDERS: dict[str, Callable[..., nn.Module | None]] = {
    "linear": linear, "conv2d": conv2d, "batch_norm": batch_norm, "functional_batch_norm": functional_batch_norm,
    "max_pool2d": max_pool2d, "avg_pool2d": avg_pool2d, "adaptive_avg_pool2d": adaptive_avg_pool2d,
    "relu": _relu, "relu_": _relu,
    **dict.fromkeys(("dropout", "dropout_", "dropout1d", "dropout2d", "feature_dropout", "alpha_dropout"), _dropout),
    **dict.fromkeys(("contiguous", "clone", "detach", "float"), _unchanged),
}  # fmt: skip
_RESHAPES = ("flatten", "view", "reshape", "squeeze", "_unsafe_view")
ADDITIONS = ("add", "add_", "iadd")
"""Names of the sum of two activations."""


def module_of_function(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], y: Tensor) -> nn.Module | None:
    """The module that does what the function `name` did when it made y from args; None where it is not supported."""
    if name in _RESHAPES:
        return _reshaped(args[0], y)
    builder = _BUILDERS.get(name)
    if builder is None:
        return None
    try:
        return builder(*args, **kwargs)
    except (TypeError, IndexError):  # an argument no builder knows, such as bilinear padding: not supported
        return None


def module_of_module(module: nn.Module, x: Tensor, y: Tensor) -> nn.Module | None:
    """A plain copy of a leaf module that made y from x; None where it is not supported."""
    m: Any = module
    match module:
        case nn.Conv2d():
            return conv2d(x, m.weight, m.bias, m.stride, m.padding, m.dilation, m.groups, m.padding_mode)
        case nn.Linear():
            return linear(x, m.weight, m.bias)
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return batch_norm(x, m.weight, m.bias, m.running_mean, m.running_var, False, m.momentum, m.eps)
        case nn.MaxPool2d():
            return max_pool2d(x, m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode, m.return_indices)
        case nn.AvgPool2d():
            window = (m.kernel_size, m.stride, m.padding, m.ceil_mode, m.count_include_pad, m.divisor_override)
            return avg_pool2d(x, *window)
        case nn.AdaptiveAvgPool2d():
            return adaptive_avg_pool2d(x, m.output_size)
        case nn.ReLU():
            return nn.ReLU()
        case nn.Flatten():
            return _reshaped(x, y)
        case nn.Identity() | nn.Dropout() | nn.Dropout1d() | nn.Dropout2d() | nn.AlphaDropout():
            return nn.Identity()
    return None


def _pair(value: Any) -> Any:
    """(n, n) of n; sequences as tuples, words as they are."""
    if isinstance(value, str):
        return value
    if isinstance(value, (tuple, list)):
        return tuple(value) * (2 // len(value))
    return (value, value)
