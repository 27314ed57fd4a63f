"""ONNX operators in terms of our operations: (sketch, inputs, attributes) -> Ref or list of Refs.

Inputs are Refs, tensors for constants, None where left out. https://onnx.ai/onnx/operators
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .operations import activation, arithmetic, linear, pool, rounding, shape, smooth
from .sketch import Ref, Sketch, Unsupported

Inputs = list[Any]
Attributes = Mapping[str, Any]


def _pads(
    a: Attributes, sizes: tuple[int, ...], kernel: list[int], strides: list[int], dilations: list[int]
) -> list[int]:
    """Explicit paddings [begin ..., end ...] from pads or auto_pad."""
    auto = a.get("auto_pad", "NOTSET")
    if auto in ("NOTSET", "VALID", ""):
        return list(a.get("pads", [0] * 2 * len(kernel))) if auto != "VALID" else [0] * 2 * len(kernel)
    begin, end = [], []
    for n, k, s, d in zip(sizes, kernel, strides, dilations):
        room = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
        small, large = room // 2, room - room // 2
        begin.append(small if auto == "SAME_UPPER" else large)
        end.append(large if auto == "SAME_UPPER" else small)
    return begin + end


def _padded(s: Sketch, x: Ref, pads: list[int]) -> tuple[Ref, list[int]]:
    """x with zeros where the padding is not the same on both sides, and what padding is left."""
    half = len(pads) // 2
    if pads[:half] == pads[half:]:
        return x, pads[:half]
    room = [p for axis in reversed(range(half)) for p in (pads[axis], pads[half + axis])]
    return s.rearranged(x, lambda t: functional.pad(t, room)), [0] * half


def _geometry(a: Attributes, kernel: list[int]) -> tuple[list[int], list[int]]:
    n = len(kernel)
    return list(a.get("strides", [1] * n)), list(a.get("dilations", [1] * n))


def conv(s: Sketch, i: Inputs, a: Attributes) -> Ref:
    """Conv, 1d and 2d, any padding."""
    x, weight, bias = i[0], i[1], i[2] if len(i) > 2 else None
    kernel = list(weight.shape[2:])
    strides, dilations = _geometry(a, kernel)
    x, padding = _padded(s, x, _pads(a, x.shape[2:], kernel, strides, dilations))
    run = linear.conv1d if len(kernel) == 1 else linear.conv2d
    return run(s, x, weight, bias, strides, padding, dilations, int(a.get("group", 1)))


def conv_transpose(s: Sketch, i: Inputs, a: Attributes) -> Ref:
    """ConvTranspose with symmetric paddings."""
    weight, bias = i[1], i[2] if len(i) > 2 else None
    kernel = list(weight.shape[2:])
    strides, dilations = _geometry(a, kernel)
    pads = list(a.get("pads", [0] * 2 * len(kernel)))
    half = len(kernel)
    if a.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or "output_shape" in a or pads[:half] != pads[half:]:
        raise Unsupported("a transposed convolution with automatic padding")
    run = linear.conv_transpose1d if half == 1 else linear.conv_transpose2d
    more = list(a.get("output_padding", [0] * half))
    return run(s, i[0], weight, bias, strides, pads[:half], more, int(a.get("group", 1)), dilations)


def gemm(s: Sketch, i: Inputs, a: Attributes) -> Ref:
    """alpha A B + beta C with a constant B."""
    x, weight = i[0], i[1]
    if not isinstance(x, Ref) or not isinstance(weight, Tensor) or a.get("transA"):
        raise Unsupported("a product of two activations or of weights on the left")
    weight = (weight if a.get("transB") else weight.t()) * float(a.get("alpha", 1.0))
    bias = i[2] * float(a.get("beta", 1.0)) if len(i) > 2 and i[2] is not None else None
    return linear.linear(s, x, weight, None if bias is None else bias.reshape(-1).expand(weight.shape[0]))


def batch_normalization(s: Sketch, i: Inputs, a: Attributes) -> Ref:
    """BatchNormalization by running statistics."""
    if a.get("training_mode"):
        raise Unsupported("in training mode")
    return linear.batch_norm(s, i[0], i[1], i[2], i[3], i[4], eps=float(a.get("epsilon", 1e-5)))


def _window(s: Sketch, x: Ref, a: Attributes) -> tuple[list[int], list[int], list[int], bool]:
    """(kernel, strides, padding, ceil_mode) of a pool; padding at the end alone is what ceil_mode does."""
    kernel = list(a["kernel_shape"])
    strides, dilations = _geometry(a, kernel)
    pads, half = _pads(a, x.shape[2:], kernel, strides, dilations), len(kernel)
    begin, end = pads[:half], pads[half:]
    if begin == end:
        return kernel, strides, begin, bool(a.get("ceil_mode", 0))
    sizes = [
        (n + p + q - d * (k - 1) - 1) // t + 1
        for n, p, q, d, k, t in zip(x.shape[2:], begin, end, dilations, kernel, strides)
    ]
    ceiled = [
        -(-(n + 2 * p - d * (k - 1) - 1) // t) + 1
        for n, p, d, k, t in zip(x.shape[2:], begin, dilations, kernel, strides)
    ]
    if sizes != ceiled:
        raise Unsupported("a pool padded unequally")
    return kernel, strides, begin, True


def max_pool(s: Sketch, i: Inputs, a: Attributes) -> Ref:
    """MaxPool, 1d and 2d."""
    kernel, strides, padding, ceil = _window(s, i[0], a)
    dilations = _geometry(a, kernel)[1]
    run = pool.OPERATIONS["max_pool1d" if len(kernel) == 1 else "max_pool2d"]
    return run(s, i[0], kernel, strides, padding, dilations, ceil)  # type: ignore[no-any-return]


def average_pool(s: Sketch, i: Inputs, a: Attributes) -> Ref:
    """AveragePool, 1d and 2d; padding does not count unless count_include_pad."""
    kernel, strides, padding, ceil = _window(s, i[0], a)
    run = pool.OPERATIONS["avg_pool1d" if len(kernel) == 1 else "avg_pool2d"]
    include = bool(a.get("count_include_pad", 0)) or not (any(padding) or ceil)
    return run(s, i[0], kernel, strides, padding, ceil, include)  # type: ignore[no-any-return]


def global_pool(name: str) -> Callable[[Sketch, Inputs, Attributes], Ref]:
    """GlobalAveragePool, GlobalMaxPool."""

    def run(s: Sketch, i: Inputs, a: Attributes) -> Ref:
        line = i[0].ndim == 3
        return pool.OPERATIONS[f"adaptive_{name}_pool{'1d' if line else '2d'}"](s, i[0], 1)  # type: ignore[no-any-return]

    return run


def clip(s: Sketch, i: Inputs, a: Attributes) -> Ref:
    """Clip between two numbers, as attributes or as inputs."""
    low = i[1] if len(i) > 1 else a.get("min")
    high = i[2] if len(i) > 2 else a.get("max")
    return activation.clamp(s, i[0], low, high)


def prelu(s: Sketch, i: Inputs, a: Attributes) -> Ref:
    """PRelu with a slope per channel or one for all."""
    slope = i[1]
    if slope.numel() not in (1, i[0].shape[1]):
        raise Unsupported("slopes per pixel")
    return activation.prelu(s, i[0], slope.reshape(-1))


def hard_sigmoid(s: Sketch, i: Inputs, a: Attributes) -> Ref:
    """clip(alpha x + beta, 0, 1)."""
    y = arithmetic.shifted(s, arithmetic.scaled(s, i[0], float(a.get("alpha", 0.2))), float(a.get("beta", 0.5)))
    return activation.clamp(s, y, 0.0, 1.0)


def _axes(i: Inputs, a: Attributes) -> list[int] | None:
    given = i[1] if len(i) > 1 and i[1] is not None else a.get("axes")
    return None if given is None else [int(v) for v in given]


def reduce_over(operation: Callable[..., Ref]) -> Callable[[Sketch, Inputs, Attributes], Ref]:
    """ReduceMean, ReduceSum."""

    def run(s: Sketch, i: Inputs, a: Attributes) -> Ref:
        return operation(s, i[0], _axes(i, a), bool(a.get("keepdims", 1)))

    return run


def moved(function: Callable[[Tensor, Inputs, Attributes], Tensor]) -> Callable[[Sketch, Inputs, Attributes], Ref]:
    """An operator that only moves values."""

    def run(s: Sketch, i: Inputs, a: Attributes) -> Ref:
        return s.rearranged(i[0], lambda t: function(t, i, a))

    return run


def _reshape(t: Tensor, i: Inputs, a: Attributes) -> Tensor:
    wanted = [t.shape[k] if int(n) == 0 and not a.get("allowzero") else int(n) for k, n in enumerate(i[1])]
    return t.reshape(wanted)


def _flatten(t: Tensor, i: Inputs, a: Attributes) -> Tensor:
    axis = int(a.get("axis", 1)) % (t.ndim + 1)
    return t.reshape(int(torch.Size(t.shape[:axis]).numel()), -1)


def _squeeze(t: Tensor, i: Inputs, a: Attributes) -> Tensor:
    axes = _axes(i, a)
    return t.squeeze(tuple(axes) if axes is not None else tuple(k for k in range(1, t.ndim) if t.shape[k] == 1))


def _unsqueeze(t: Tensor, i: Inputs, a: Attributes) -> Tensor:
    axes = _axes(i, a) or []
    for axis in sorted(k % (t.ndim + len(axes)) for k in axes):
        t = t.unsqueeze(axis)
    return t


def _slice(t: Tensor, i: Inputs, a: Attributes) -> Tensor:
    if len(i) == 1:
        i = [t, *(torch.tensor(a[k]) if k in a else None for k in ("starts", "ends", "axes"))]
    starts, ends = ([int(v) for v in part] for part in i[1:3])
    axes = [int(v) for v in i[3]] if len(i) > 3 and i[3] is not None else list(range(len(starts)))
    steps = [int(v) for v in i[4]] if len(i) > 4 and i[4] is not None else [1] * len(starts)
    for first, last, axis, step in zip(starts, ends, axes, steps):
        chosen = torch.arange(t.shape[axis])[slice(first, last, step)] if step > 0 else None
        if chosen is None:
            chosen = torch.tensor(
                list(range(t.shape[axis]))[slice(first, None if last < -t.shape[axis] else last, step)]
            )
        t = t.index_select(axis, chosen)
    return t


def _gather(t: Tensor, i: Inputs, a: Attributes) -> Tensor:
    axis, index = int(a.get("axis", 0)) % t.ndim, i[1].long()
    picked = t.index_select(axis, index.reshape(-1) % t.shape[axis])
    return picked.reshape(*t.shape[:axis], *index.shape, *t.shape[axis + 1 :])


def pad(s: Sketch, i: Inputs, a: Attributes) -> Ref:
    """Pad with zeros, a constant, or values of the input."""
    x = i[0]
    if len(i) > 3 and i[3] is not None:
        raise Unsupported("a padding of chosen axes")
    pads = [int(v) for v in (i[1] if len(i) > 1 else a["pads"])]
    value = float(i[2]) if len(i) > 2 and i[2] is not None else float(a.get("value", 0.0))
    mode = {"edge": "replicate", "wrap": "circular"}.get(a.get("mode", "constant"), a.get("mode", "constant"))
    room = [p for k in reversed(range(x.ndim)) for p in (pads[k], pads[x.ndim + k])]
    return shape.pad(s, x, room if mode == "constant" else room[: 2 * (x.ndim - 2)], mode, value)


def _depth_to_space(t: Tensor, i: Inputs, a: Attributes) -> Tensor:
    r, (b, c, h, w) = int(a["blocksize"]), t.shape
    if a.get("mode", "DCR") == "CRD":
        return functional.pixel_shuffle(t, r)
    return t.reshape(b, r, r, c // r**2, h, w).permute(0, 3, 4, 1, 5, 2).reshape(b, c // r**2, h * r, w * r)


def _space_to_depth(t: Tensor, i: Inputs, a: Attributes) -> Tensor:
    r, (b, c, h, w) = int(a["blocksize"]), t.shape
    return t.reshape(b, c, h // r, r, w // r, r).permute(0, 3, 5, 1, 2, 4).reshape(b, c * r**2, h // r, w // r)


def split(s: Sketch, i: Inputs, a: Attributes, outputs: int) -> list[Ref]:
    """Split into parts of given or equal sizes."""
    axis = int(a.get("axis", 0))
    given = i[1] if len(i) > 1 and i[1] is not None else a.get("split")
    sizes = [int(v) for v in given] if given is not None else None

    def parts(t: Tensor) -> tuple[Tensor, ...]:
        return t.split(sizes if sizes is not None else -(-t.shape[axis] // outputs), axis)

    return [s.picked(i[0], index) for index in s.indices(i[0], parts)]


def resize(s: Sketch, i: Inputs, a: Attributes) -> Ref:
    """Resize and Upsample: nearest by whole factors, or linear."""
    x = i[0]
    scales = next(
        (v for v in (i[2] if len(i) > 2 else None, i[1] if len(i) == 2 else None) if v is not None and v.numel()), None
    )
    sizes = i[3] if len(i) > 3 else None
    size = [int(v) for v in sizes][2:] if sizes is not None else None
    if size is None:
        if scales is None and "scales" not in a:
            raise Unsupported("a resize to nothing")
        factors = [float(v) for v in (a["scales"] if scales is None else scales)][2:]
        size = [int(n * f) for n, f in zip(x.shape[2:], factors)]
    mode = a.get("mode", "nearest")
    if mode == "nearest" and any(n % m for n, m in zip(size, x.shape[2:])):
        raise Unsupported("a nearest resize by a fraction")
    where = a.get("coordinate_transformation_mode", "half_pixel")
    if mode == "linear" and where not in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        raise Unsupported(f"a linear resize of {where}")
    linear_mode = "bilinear" if x.ndim == 4 else "linear"
    return shape.interpolate(s, x, size, None, linear_mode if mode == "linear" else mode, where == "align_corners")


def softmax(name: str) -> Callable[[Sketch, Inputs, Attributes], Ref]:
    """Softmax, LogSoftmax over one axis."""

    def run(s: Sketch, i: Inputs, a: Attributes) -> Ref:
        return smooth.OPERATIONS[name](s, i[0], int(a.get("axis", -1)))  # type: ignore[no-any-return]

    return run


def layer_normalization(s: Sketch, i: Inputs, a: Attributes) -> Ref:
    """LayerNormalization over the last axes."""
    axis = int(a.get("axis", -1)) % i[0].ndim
    bias = i[2] if len(i) > 2 else None
    return smooth.layer_norm(s, i[0], i[0].shape[axis:], i[1], bias, float(a.get("epsilon", 1e-5)))


def group_normalization(s: Sketch, i: Inputs, a: Attributes) -> Ref:
    """GroupNormalization with a factor per channel (opset 21)."""
    if i[1].numel() != i[0].shape[1]:
        raise Unsupported("with a factor per group")
    return smooth.group_norm(s, i[0], int(a["num_groups"]), i[1], i[2], float(a.get("epsilon", 1e-5)))


def thresholded(s: Sketch, i: Inputs, a: Attributes) -> Ref:
    """ThresholdedRelu with threshold 0."""
    return activation.threshold(s, i[0], float(a.get("alpha", 1.0)), 0.0)


def instance_normalization(s: Sketch, i: Inputs, a: Attributes) -> Ref:
    """InstanceNormalization."""
    return linear.instance_norm(s, i[0], i[1], i[2], eps=float(a.get("epsilon", 1e-5)))


def _plain(
    name: str, family: Mapping[str, Callable[..., Any]], **attributes: Any
) -> Callable[[Sketch, Inputs, Attributes], Ref]:
    """An operator whose inputs are the operation's arguments; `attributes`: name there -> (name here, default)."""

    def run(s: Sketch, i: Inputs, a: Attributes) -> Ref:
        given = {ours: type(default)(a.get(theirs, default)) for ours, (theirs, default) in attributes.items()}
        return family[name](s, *i, **given)  # type: ignore[no-any-return]

    return run


def several(operation: Callable[..., Ref]) -> Callable[[Sketch, Inputs, Attributes], Ref]:
    """Sum of any number of inputs."""

    def run(s: Sketch, i: Inputs, a: Attributes) -> Ref:
        y = i[0]
        for part in i[1:]:
            y = operation(s, y, part)
        return y

    return run


def concat(s: Sketch, i: Inputs, a: Attributes) -> Ref:
    """Concat."""
    return shape.cat(s, i, int(a["axis"]))


def identity(s: Sketch, i: Inputs, a: Attributes) -> Ref:
    """Identity, Dropout at inference, Cast between floats."""
    return i[0]


_A, _S, _M = activation.OPERATIONS, smooth.OPERATIONS, arithmetic.OPERATIONS
OPERATORS: dict[str, Callable[..., Any]] = {
    "Conv": conv, "ConvTranspose": conv_transpose, "Gemm": gemm, "MatMul": _plain("matmul", linear.OPERATIONS),
    "BatchNormalization": batch_normalization, "LayerNormalization": layer_normalization,
    "InstanceNormalization": instance_normalization, "MaxPool": max_pool, "AveragePool": average_pool,
    "GlobalAveragePool": global_pool("avg"), "GlobalMaxPool": global_pool("max"), "Relu": _plain("relu", _A),
    "Clip": clip, "LeakyRelu": _plain("leaky_relu", _A, negative_slope=("alpha", 0.01)), "PRelu": prelu,
    "HardSigmoid": hard_sigmoid, "Abs": _plain("abs", _A), "Max": several(activation.maximum),
    "Min": several(activation.minimum), "ThresholdedRelu": thresholded,
    "Celu": _plain("celu", _S, alpha=("alpha", 1.0)), "Softsign": _plain("softsign", _S),
    "Floor": _plain("floor", rounding.OPERATIONS), "Round": _plain("round", rounding.OPERATIONS),
    "Ceil": _plain("ceil", rounding.OPERATIONS), "Pow": _plain("pow", _M), "GroupNormalization": group_normalization,
    **{name: _plain(name.lower(), _S) for name in ("Exp", "Log", "Sqrt", "Erf", "Reciprocal", "Sin", "Cos")},
    "HardSwish": _plain("hardswish", _S), "Sigmoid": _plain("sigmoid", _S), "Tanh": _plain("tanh", _S),
    "Elu": _plain("elu", _S, alpha=("alpha", 1.0)), "Selu": _plain("selu", _S), "Softplus": _plain("softplus", _S),
    "Mish": _plain("mish", _S), "Softmax": softmax("softmax"), "LogSoftmax": softmax("log_softmax"),
    "Gelu": _plain("gelu", _S, approximate=("approximate", "none")), "Add": _plain("add", _M),
    "Sub": _plain("sub", _M), "Mul": _plain("mul", _M), "Div": _plain("div", _M), "Neg": _plain("neg", _M),
    "Sum": several(arithmetic.add), "ReduceMean": reduce_over(arithmetic.mean),
    "ReduceSum": reduce_over(arithmetic.total), "ReduceMax": reduce_over(shape.amax), "Concat": concat,
    "Split": split, "Resize": resize, "Upsample": resize, "Identity": identity, "Dropout": identity, "Cast": identity,
    "Reshape": moved(_reshape), "Flatten": moved(_flatten), "Squeeze": moved(_squeeze),
    "Unsqueeze": moved(_unsqueeze), "Slice": moved(_slice), "Gather": moved(_gather), "Pad": pad,
    "Transpose": moved(lambda t, i, a: t.permute(*a.get("perm", range(t.ndim - 1, -1, -1)))),
    "Expand": moved(lambda t, i, a: t.expand(torch.broadcast_shapes(t.shape, tuple(int(n) for n in i[1])))),
    "Tile": moved(lambda t, i, a: t.repeat(*(int(n) for n in i[1]))), "DepthToSpace": moved(_depth_to_space),
    "SpaceToDepth": moved(_space_to_depth),
}  # fmt: skip
