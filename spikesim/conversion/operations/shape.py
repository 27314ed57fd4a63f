"""Changes of shape: everything that moves values about without computing; concatenation; upsampling that computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from ...layers.shape import Concat, Upsample
from ..sketch import Ref, Sketch, Unsupported
from .arithmetic import constant, shifted

REARRANGEMENTS = frozenset((
    "flatten", "view", "reshape", "squeeze", "unsqueeze", "transpose", "permute", "getitem", "slice", "select",
    "narrow", "index_select", "chunk", "split", "split_with_sizes", "unbind", "tensor_split", "_unsafe_view",
    "unflatten", "swapaxes", "swapdims", "movedim", "moveaxis", "expand", "expand_as", "repeat",
    "repeat_interleave", "tile", "flip", "roll", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle",
    "native_channel_shuffle", "constant_pad_nd", "pad", "reflection_pad1d", "reflection_pad2d",
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
    if len(refs) == len(parts):
        return s.emit(Concat(axis), *refs) if len(refs) > 1 else refs[0]
    if len(refs) != 1:
        raise Unsupported("a concatenation of constants and several activations")
    return _with_constants(s, parts, refs[0], axis)


def _with_constants(s: Sketch, parts: Any, x: Ref, axis: int) -> Ref:
    at = next(i for i, part in enumerate(parts) if isinstance(part, Ref))
    before = sum(part.shape[axis] for part in parts[:at])
    after = sum(part.shape[axis] for part in parts[at + 1 :])
    room = [0, 0] * (x.ndim - axis - 1) + [before, after]
    padded = s.rearranged(x, lambda t: functional.pad(t, room))
    still = [
        torch.zeros(x.shape) if isinstance(part, Ref) else part.expand(x.shape[0], *part.shape[1:]) for part in parts
    ]
    return shifted(s, padded, constant(padded, torch.cat(still, axis)))


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
    if mode != "bilinear" or x.ndim != 4:
        raise Unsupported(f"an interpolation of mode {mode}")
    shape = functional.interpolate(torch.zeros(1, 1, *x.shape[2:]), size, scale_factor, mode).shape[2:]
    return s.emit(Upsample((shape[0], shape[1]), bool(align_corners)), x)


def upsample_bilinear2d(s: Sketch, x: Ref, size: Any, align_corners: bool, *scales: Any) -> Ref:
    """ATen's bilinear upsampling."""
    factor = None if size is not None else scales[0] if isinstance(scales[0], (list, tuple)) else list(scales)
    return interpolate(s, x, size, factor, "bilinear", align_corners)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "cat": cat, "concat": cat, "concatenate": cat, "stack": stack, "interpolate": interpolate,
    "upsample_bilinear2d": upsample_bilinear2d,
}  # fmt: skip
