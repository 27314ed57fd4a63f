"""Changes of shape: everything that moves values about without computing; concatenation; upsampling that computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...layers.shape import Concat, Multiply, Upsample
from ..sketch import Ref, Sketch, Unsupported
from .activation import maximum, minimum
from .arithmetic import constant, shifted
from .smooth import difference

REARRANGEMENTS = frozenset((
    "flatten", "view", "reshape", "squeeze", "unsqueeze", "transpose", "permute", "getitem", "slice", "select",
    "narrow", "index_select", "chunk", "split", "split_with_sizes", "unbind", "tensor_split", "_unsafe_view",
    "unflatten", "swapaxes", "swapdims", "movedim", "moveaxis", "expand", "expand_as", "repeat",
    "repeat_interleave", "tile", "flip", "roll", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle",
    "native_channel_shuffle", "reflection_pad1d", "reflection_pad2d",
    "replication_pad1d", "replication_pad2d", "upsample_nearest2d", "upsample_nearest1d", "unfold", "im2col", "t",
    "adjoint", "view_as", "reshape_as",
))  # fmt: skip
UNCHANGED = frozenset((
    "contiguous", "clone", "detach", "float", "to", "type_as", "dropout", "dropout_", "dropout1d", "dropout2d",
    "dropout3d", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "_to_copy", "alias",
    "lift_fresh_copy", "requires_grad_", "cpu", "identity",
))  # fmt: skip


def cat(s: Sketch, parts: Any, dim: int = 0, **more: Any) -> Ref:
    """Activations side by side; a constant among them becomes zeros and a constant current."""
    refs = [part for part in parts if isinstance(part, Ref)]
    if "axis" in more:
        dim = more["axis"]
    axis = dim % refs[0].ndim
    if axis == 0:
        raise Unsupported("a concatenation of samples")
    x = s.emit(Concat(axis), *refs) if len(refs) > 1 else refs[0]
    return x if len(refs) == len(parts) else _with_constants(s, parts, x, axis)


def _with_constants(s: Sketch, parts: Any, x: Ref, axis: int) -> Ref:
    """x, its activations side by side, with zeros where the constants belong, and then the constants."""
    sizes = [part.shape[axis] for part in parts if isinstance(part, Ref)]

    def spread(t: Tensor) -> Tensor:
        blocks = iter(t.split(sizes, axis))
        room = list(t.shape)
        return torch.cat([
            next(blocks) if isinstance(part, Ref) else t.new_zeros(*room[:axis], part.shape[axis], *room[axis + 1 :])
            for part in parts
        ], axis)  # fmt: skip

    placed = s.rearranged(x, spread)
    still = [
        torch.zeros(part.shape) if isinstance(part, Ref) else part.expand(x.shape[0], *part.shape[1:]) for part in parts
    ]
    return shifted(s, placed, constant(placed, torch.cat(still, axis)))


def pad(s: Sketch, x: Ref, pad: Any, mode: Any = "constant", value: float | None = None) -> Ref:
    """A border of zeros, of a constant, or of values of x."""
    if not isinstance(mode, str):  # ATen's order
        mode, value = "constant", mode
    room = tuple(int(p) for p in pad)
    padded = s.rearranged(x, lambda t: functional.pad(t, room, mode, None if mode != "constant" else 0.0))
    if mode != "constant" or not value:
        return padded
    border = functional.pad(torch.zeros(1, *x.shape[1:]), room, value=float(value))
    return shifted(s, padded, constant(padded, border))


def glu(s: Sketch, x: Ref, dim: int = -1) -> Ref:
    """a sigmoid(b) of two halves."""
    size = x.shape[dim] // 2
    a = s.rearranged(x, lambda t: t.narrow(dim, 0, size))
    b = s.rearranged(x, lambda t: t.narrow(dim, size, size))
    return difference(s, Multiply(), a, difference(s, nn.Sigmoid(), b))


def amax(s: Sketch, x: Ref, dim: Any = None, keepdim: bool = False) -> Ref:
    """The maximum over axes: a max pool over them, side by side."""
    dims = sorted({int(d) % x.ndim for d in (dim if isinstance(dim, (tuple, list)) else (dim,))}) if dim != () else []
    if not dims or 0 in dims:
        raise Unsupported("a maximum over samples")
    rest = [d for d in range(1, x.ndim) if d not in dims]
    kept = [1 if d in dims else x.shape[d] for d in range(1, x.ndim) if keepdim or d not in dims]
    size = int(torch.Size([x.shape[d] for d in dims]).numel())
    rows = s.rearranged(x, lambda t: t.permute(0, *rest, *dims).reshape(t.shape[0], 1, -1, size))
    best = s.emit(nn.MaxPool2d((1, size), (1, size), (0, 0), (1, 1)), rows)
    return s.rearranged(best, lambda t: t.reshape(t.shape[0], *kept))


def max_of(s: Sketch, x: Ref, other: Any = None, keepdim: bool = False, dim: Any = None) -> Any:
    """torch.max in its forms: of two tensors, or (maximum over an axis, its place), of which the place is not known."""
    if isinstance(other, (Ref, Tensor)):
        return maximum(s, x, other)
    axis = other if dim is None else dim
    if axis is None:
        raise Unsupported("a maximum over samples")
    return [amax(s, x, axis, keepdim)]


def min_of(s: Sketch, x: Ref, other: Any = None, *rest: Any, **more: Any) -> Ref:
    """torch.min of two tensors."""
    if not isinstance(other, (Ref, Tensor)):
        raise Unsupported("a minimum over an axis")
    return minimum(s, x, other)


def stack(s: Sketch, parts: Any, dim: int = 0) -> Ref:
    """Activations side by side along a new axis."""
    if not all(isinstance(part, Ref) for part in parts):
        raise Unsupported("a stack of activations and constants")
    axis = dim % (parts[0].ndim + 1)
    return cat(s, [s.rearranged(part, lambda t: t.unsqueeze(axis)) for part in parts], axis)


def interpolate(
    s: Sketch, x: Ref, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None, *rest: Any, **more: Any,
) -> Ref:  # fmt: skip
    """F.interpolate: nearest moves values, bilinear is linear."""
    if mode in ("nearest", "nearest-exact"):
        return s.rearranged(x, lambda t: functional.interpolate(t, size, scale_factor, mode))
    if mode == "linear" and x.ndim == 3:
        sized = functional.interpolate(torch.zeros(1, 1, x.shape[2]), size, scale_factor, mode).shape[2]
        y = s.emit(Upsample((1, sized), bool(align_corners)), s.rearranged(x, lambda t: t.unsqueeze(2)))
        return s.rearranged(y, lambda t: t.squeeze(2))
    if mode != "bilinear" or x.ndim != 4:
        raise Unsupported(f"an interpolation of mode {mode}")
    shape = functional.interpolate(torch.zeros(1, 1, *x.shape[2:]), size, scale_factor, mode).shape[2:]
    return s.emit(Upsample((shape[0], shape[1]), bool(align_corners)), x)


def upsample_linear1d(s: Sketch, x: Ref, size: Any, align_corners: bool, *scales: Any) -> Ref:
    """ATen's linear upsampling."""
    factor = None if size is not None else scales[0]
    return interpolate(s, x, size, factor, "linear", align_corners)


def upsample_bilinear2d(s: Sketch, x: Ref, size: Any, align_corners: bool, *scales: Any) -> Ref:
    """ATen's bilinear upsampling."""
    factor = None if size is not None else scales[0] if isinstance(scales[0], (list, tuple)) else list(scales)
    return interpolate(s, x, size, factor, "bilinear", align_corners)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "cat": cat, "concat": cat, "concatenate": cat, "stack": stack, "interpolate": interpolate,
    "upsample_bilinear2d": upsample_bilinear2d, "upsample_linear1d": upsample_linear1d, "pad": pad,
    "constant_pad_nd": pad, "amax": amax, "max": max_of, "min": min_of, "glu": glu,
}  # fmt: skip
