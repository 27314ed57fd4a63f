"""Layers without state, in both directions. Shapes are those of one sample at one step."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from ...core.operator import Context
from ...errors import GraphError, must
from ...layers import Gain, Reduce, Reshape, Scale, Shift, SparseLinear, SumPool2d
from .base import Unsaid, compact, full, package, pair

DENSE = 2**26
"""Entries up to which sparse or diagonal weights are written out as a matrix: 256 MiB."""

WIDEST = 1024
"""Padding and dilation that are still believed."""

Shape = tuple[int, ...]
Parts = list[tuple[str, Any]]
"""NIR nodes of one of ours, in a row: (suffix of the name, node)."""


def shape_after(module: nn.Module, shape: Shape) -> Shape:
    """What a node of ours makes of values of `shape`; those with a state keep it."""
    if isinstance(module, SparseLinear):
        return (module.out_features,)
    if hasattr(module, "initial_state"):
        return shape
    with torch.no_grad():
        return tuple(module(torch.zeros(1, *shape)).shape[1:])


def array(value: Tensor) -> np.ndarray:
    """Weights as float32."""
    return value.detach().cpu().float().numpy().copy()


def _bias(module: Any, size: int) -> np.ndarray:
    return np.zeros(size, np.float32) if module.bias is None else array(module.bias)


def _flat(shape: Shape) -> Any:
    return package().Flatten(input_type={"input": np.array(shape)}, start_dim=0, end_dim=-1)


def linear_out(m: nn.Linear, shape: Shape, out: Shape) -> Parts:
    """Affine, with a bias of zeros where there is none: more readers know Affine than Linear."""
    if len(shape) != 1:
        raise Unsaid(f"weights along the last axis of {shape} (flatten before them)")
    return [("", package().Affine(weight=array(m.weight), bias=_bias(m, m.out_features)))]


def sparse_out(m: SparseLinear, shape: Shape, out: Shape) -> Parts:
    """The synapses as a matrix."""
    if m.synapses.delay.size:
        raise Unsaid("delays of single synapses")
    if m.in_features * m.out_features > DENSE:
        raise Unsaid(f"{m.in_features} by {m.out_features} sparse weights, too many to write as a matrix")
    eye = torch.eye(m.in_features)[:, None]
    with torch.no_grad():
        weight = m.operator.apply(eye, Context("", 0, np.zeros(1, np.int64))).squeeze(1).T
    return [("", package().Affine(weight=array(weight), bias=np.zeros(m.out_features, np.float32)))]


def conv_out(m: nn.Conv2d, shape: Shape, out: Shape) -> Parts:
    """Conv2d."""
    if m.padding_mode != "zeros":
        raise Unsaid(f"padding by {m.padding_mode}")
    padding = m.padding if isinstance(m.padding, str) else np.array(m.padding)
    node = package().Conv2d(
        input_shape=shape[1:], weight=array(m.weight), stride=np.array(m.stride), padding=padding,
        dilation=np.array(m.dilation), groups=m.groups, bias=_bias(m, m.out_channels),
    )  # fmt: skip
    return [("", node)]


def line_out(m: nn.Conv2d, length: int) -> Parts:
    """Conv1d, of a convolution over maps one high."""
    padding = m.padding if isinstance(m.padding, str) else int(m.padding[1])
    node = package().Conv1d(
        input_shape=length, weight=array(m.weight)[:, :, 0], stride=int(m.stride[1]), padding=padding,
        dilation=int(m.dilation[1]), groups=m.groups, bias=_bias(m, m.out_channels),
    )  # fmt: skip
    return [("", node)]


def _pooled(kind: str, kernel: Any, stride: Any, padding: Any) -> Any:
    return getattr(package(), kind)(
        kernel_size=np.array(pair(kernel)), stride=np.array(pair(stride)), padding=np.array(pair(padding))
    )


def pool_out(m: Any, shape: Shape, out: Shape) -> Parts:
    """SumPool2d or AvgPool2d."""
    kernel, stride, padding = pair(m.kernel_size), pair(m.stride), pair(m.padding)
    floor = tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(shape[1:], kernel, stride, padding))
    if floor != out[1:]:
        raise Unsaid("windows that reach over the rim (ceil_mode)")
    average = isinstance(m, nn.AvgPool2d)
    if average and (m.divisor_override is not None or (any(padding) and not m.count_include_pad)):
        raise Unsaid("an average with a divisor of its own")
    return [("", _pooled("AvgPool2d" if average else "SumPool2d", kernel, stride, padding))]


def adaptive_out(m: nn.AdaptiveAvgPool2d, shape: Shape, out: Shape) -> Parts:
    """AvgPool2d, where all windows are alike."""
    if any(n % k for n, k in zip(shape[1:], out[1:])):
        raise Unsaid("windows of different sizes")
    kernel = tuple(n // k for n, k in zip(shape[1:], out[1:]))
    return [("", _pooled("AvgPool2d", kernel, kernel, 0))]


def reduce_out(m: Reduce, shape: Shape, out: Shape) -> Parts:
    """A pool over the whole map, and a Flatten where its axes go."""
    if len(shape) != 3 or sorted(d % 4 for d in m.dims) != [2, 3]:
        raise Unsaid(f"a sum or mean over axes {m.dims}")
    pool = _pooled("AvgPool2d" if m.mean else "SumPool2d", shape[1:], shape[1:], 0)
    return [("", pool)] if m.keepdim else [("", pool), ("_flat", _flat((shape[0], 1, 1)))]


def flatten_out(m: nn.Flatten, shape: Shape, out: Shape) -> Parts:
    """Flatten; NIR's axes leave out the batch."""
    axes = len(shape) + 1
    first, last = m.start_dim % axes, m.end_dim % axes
    if not first:
        raise Unsaid("a flattening of the batch")
    node = package().Flatten(
        input_type={"input": np.array(shape)}, start_dim=first - 1, end_dim=-1 if last == axes - 1 else last - 1
    )
    return [("", node)]


def reshape_out(m: Reshape, shape: Shape, out: Shape) -> Parts:
    """Flatten, where one axis is left."""
    if len(out) != 1:
        raise Unsaid(f"the shape {out} made of {shape}")
    return [("", _flat(shape))]


def scale_out(m: Scale, shape: Shape, out: Shape) -> Parts:
    """Scale."""
    return [("", package().Scale(scale=full(m.factor, shape)))]


def gain_out(m: Gain, shape: Shape, out: Shape) -> Parts:
    """Scale."""
    return [("", package().Scale(scale=full(m.gain, shape)))]


def shift_out(m: Shift, shape: Shape, out: Shape) -> Parts:
    """An affine map that only adds."""
    return _diagonal(np.ones(1, np.float32), array(m.bias), shape)


def norm_out(m: nn.BatchNorm1d | nn.BatchNorm2d, shape: Shape, out: Shape) -> Parts:
    """The affine map per channel that it is in evaluation."""
    if m.running_mean is None or m.running_var is None:
        raise Unsaid("a normalisation by the batch at hand")
    weight = 1 / torch.sqrt(m.running_var.double() + m.eps) * (1.0 if m.weight is None else m.weight.double())
    bias = -m.running_mean.double() * weight + (0.0 if m.bias is None else m.bias.double())
    wide = (-1, *[1] * (len(shape) - 1))
    return _diagonal(array(weight).reshape(wide), array(bias).reshape(wide), shape)


def _diagonal(weight: np.ndarray, bias: np.ndarray, shape: Shape) -> Parts:
    """y = weight x + bias per neuron (Affine) or per channel (Conv2d of one weight a channel)."""
    nir, wide = package(), [1] * (len(shape) - 1)
    if len(shape) == 1 and shape[0] ** 2 <= DENSE:
        return [("", nir.Affine(weight=np.diag(full(weight, shape)), bias=full(bias, shape)))]
    if len(shape) != 3 or any(a.size > 1 and a.shape != (shape[0], *wide) for a in (weight, bias)):
        raise Unsaid(f"constants of shape {bias.shape} on {shape}")
    channels = (shape[0],)
    node = nir.Conv2d(
        input_shape=shape[1:], weight=full(weight.ravel(), channels).reshape(-1, 1, 1, 1), stride=np.array((1, 1)),
        padding=np.array((0, 0)), dilation=np.array((1, 1)), groups=shape[0], bias=full(bias.ravel(), channels),
    )  # fmt: skip
    return [("", node)]


OUT: dict[type[nn.Module], Callable[[Any, Shape, Shape], Parts]] = {
    nn.Linear: linear_out, SparseLinear: sparse_out, nn.Conv2d: conv_out, SumPool2d: pool_out, nn.AvgPool2d: pool_out,
    nn.AdaptiveAvgPool2d: adaptive_out, Reduce: reduce_out, nn.Flatten: flatten_out, Reshape: reshape_out,
    Scale: scale_out, Gain: gain_out, Shift: shift_out, nn.BatchNorm1d: norm_out, nn.BatchNorm2d: norm_out,
}  # fmt: skip
"""Ours -> NIR: (module, shape in, shape out) -> nodes."""


def affine_in(name: str, node: Any, shape: Shape) -> Parts:
    """nn.Linear, without a bias where that is nothing."""
    weight, bias = np.asarray(node.weight), np.asarray(getattr(node, "bias", 0.0))
    if weight.ndim != 2 or shape[-1:] != weight.shape[1:]:
        _misfit(name, "weight", f"(n_out, {shape[-1] if shape else 0})", weight.shape)
    if bias.shape not in ((), weight.shape[:1]):
        _misfit(name, "bias", f"({weight.shape[0]},)", bias.shape)
    m = skip_init(nn.Linear, weight.shape[1], weight.shape[0], bias=bool(bias.any()))
    return [("", _filled(m, weight, bias))]


def _filled(m: Any, weight: np.ndarray, bias: np.ndarray) -> nn.Module:
    m.weight.data = torch.from_numpy(np.array(weight, np.float32))
    if m.bias is not None:
        m.bias.data = torch.from_numpy(full(bias, tuple(m.bias.shape)))
    return m


def _misfit(name: str, field: str, rule: str, got: Any) -> None:
    raise GraphError(must(f"from_nir.{name}.{field}", rule, tuple(got)))


def conv_in(name: str, node: Any, shape: Shape) -> Parts:
    """nn.Conv2d."""
    if len(shape) != 3:
        _misfit(name, "input", "(C, H, W)", shape)
    padding = node.padding if isinstance(node.padding, str) else pair(node.padding)
    weight = np.asarray(node.weight)
    return [("", _conv(name, weight, node, shape, pair(node.stride), padding, pair(node.dilation)))]


def line_in(name: str, node: Any, shape: Shape) -> Parts:
    """Conv1d as nn.Conv2d over maps one high."""
    if len(shape) != 2:
        _misfit(name, "input", "(C, L)", shape)
    padding = node.padding if isinstance(node.padding, str) else (0, pair(node.padding)[0])
    stride, dilation = (1, pair(node.stride)[0]), (1, pair(node.dilation)[0])
    weight, tall = np.asarray(node.weight), (shape[0], 1, shape[1])
    if weight.ndim != 3:
        _misfit(name, "weight", "(C_out, C_in, K)", weight.shape)
    conv = _conv(name, weight[:, :, None], node, tall, stride, padding, dilation)
    out = shape_after(conv, tall)
    return [("_in", Reshape(tall)), ("", conv), ("_out", Reshape((out[0], out[2])))]


def _conv(
    name: str, weight: np.ndarray, node: Any, shape: Shape, stride: Any, padding: Any, dilation: Any
) -> nn.Module:
    groups, bias = int(node.groups), np.asarray(node.bias)
    if weight.ndim != 4 or groups < 1 or weight.shape[1] * groups != shape[0] or weight.shape[0] % groups:
        _misfit(name, "weight", f"(C_out, {shape[0]} / {groups} groups, ...)", weight.shape)
    if bias.shape not in ((), weight.shape[:1]):
        _misfit(name, "bias", f"({weight.shape[0]},)", bias.shape)
    if max(0 if isinstance(p, str) else p for p in (*padding, *dilation)) > WIDEST:
        _misfit(name, "padding", f"and dilation at most {WIDEST}", (padding, dilation))
    m = skip_init(
        nn.Conv2d, shape[0], weight.shape[0], weight.shape[2:], stride, padding, dilation, groups, bias=bool(bias.any())
    )
    return _filled(m, weight, bias)


def pool_in(name: str, node: Any, shape: Shape) -> Parts:
    """SumPool2d or nn.AvgPool2d."""
    kind: Any = SumPool2d if type(node).__name__ == "SumPool2d" else nn.AvgPool2d
    return [("", kind(pair(node.kernel_size), pair(node.stride), pair(node.padding)))]


def flatten_in(name: str, node: Any, shape: Shape) -> Parts:
    """nn.Flatten. NIR counts axes without the batch; some writers count it: the shape they give then decides."""
    first, last = int(node.start_dim), int(node.end_dim)
    given = None if node.input_type.get("input") is None else tuple(np.ravel(node.input_type["input"]).tolist())
    counted = given is not None and len(given) == len(shape) + 1 and prod(given) == prod(shape) * given[0]
    shift = 0 if counted else 1
    return [("", nn.Flatten(first + shift if first >= 0 else first, last + shift if last >= 0 else last))]


def scale_in(name: str, node: Any, shape: Shape) -> Parts:
    """Scale."""
    factor = compact(node.scale, shape)
    m = Scale(tuple(factor.shape))
    m.factor.copy_(factor)
    return [("", m)]


IN: dict[str, Callable[[str, Any, Shape], Parts]] = {
    "Affine": affine_in, "Linear": affine_in, "Conv2d": conv_in, "Conv1d": line_in, "SumPool2d": pool_in,
    "AvgPool2d": pool_in, "Flatten": flatten_in, "Scale": scale_in,
}  # fmt: skip
"""NIR -> ours: (name, node, shape in) -> modules."""
