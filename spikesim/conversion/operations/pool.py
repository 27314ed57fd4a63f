"""Pools: averages, maxima, adaptive and global ones, in one and two dimensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ..sketch import Ref, Sketch, Unsupported
from .owned import one, pair


def max_pool2d(
    s: Sketch, x: Ref, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> Ref:  # fmt: skip
    """The maximum of windows of maps (B, C, H, W)."""
    if return_indices or x.ndim != 4:
        raise Unsupported("a max pool with indices" if return_indices else f"a pool of {x.shape[1:]}")
    window = (pair(kernel_size), pair(stride or kernel_size), pair(padding), pair(dilation))
    return s.emit(nn.MaxPool2d(*window, ceil_mode=ceil_mode), x)


def avg_pool2d(
    s: Sketch, x: Ref, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Ref:  # fmt: skip
    """The mean of windows of maps (B, C, H, W)."""
    if x.ndim != 4:
        raise Unsupported(f"a pool of {x.shape[1:]}")
    window = (pair(kernel_size), pair(stride or kernel_size), pair(padding))
    return s.emit(nn.AvgPool2d(*window, ceil_mode, count_include_pad, divisor_override), x)


def _windows(x: Ref, output_size: Any) -> tuple[list[int], tuple[int, int] | None]:
    """The output's size, and the window where all are equal."""
    wanted = [size if n is None else int(n) for n, size in zip(_both(output_size), x.shape[2:])]
    if all(size % n == 0 for n, size in zip(wanted, x.shape[2:])):
        return wanted, (x.shape[2] // wanted[0], x.shape[3] // wanted[1])
    return wanted, None


def _both(size: Any) -> tuple[Any, Any]:
    return (tuple(size) * (2 // len(size)))[:2] if isinstance(size, (tuple, list)) else (size, size)  # type: ignore[return-value]


def adaptive_avg_pool2d(s: Sketch, x: Ref, output_size: Any) -> Ref:
    """An average pool where the windows are equal, torch's adaptive one otherwise."""
    if x.ndim != 4:
        raise Unsupported(f"a pool of {x.shape[1:]}")
    wanted, window = _windows(x, output_size)
    return avg_pool2d(s, x, window) if window else s.emit(nn.AdaptiveAvgPool2d((wanted[0], wanted[1])), x)


def adaptive_max_pool2d(s: Sketch, x: Ref, output_size: Any, return_indices: bool = False) -> Ref:
    """A max pool; the windows must be equal."""
    window = _windows(x, output_size)[1] if x.ndim == 4 else None
    if window is None:
        raise Unsupported("an adaptive max pool of unequal windows")
    return max_pool2d(s, x, window, return_indices=return_indices)


def _in_line(operation: Callable[..., Ref], sizes: tuple[str, ...]) -> Callable[..., Ref]:
    """The one-dimensional form: x (B, C, L) as (B, C, 1, L)."""

    def along(s: Sketch, x: Ref, first: Any, *args: Any, **kwargs: Any) -> Ref:
        flat = s.rearranged(x, lambda t: t.unsqueeze(2))
        given = dict(zip(sizes[1:], args)) | kwargs
        fill = {"padding": 0}
        wide = {
            k: (fill.get(k, 1), one(v)) if k in ("stride", "padding", "dilation") and v not in (None, []) else v
            for k, v in given.items()
        }
        y = operation(s, flat, (1, one(first)), **wide)
        return s.rearranged(y, _squeezed)

    return along


def _squeezed(t: Tensor) -> Tensor:
    return t.squeeze(2)


_MAX = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
_AVG = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
OPERATIONS: dict[str, Callable[..., Any]] = {
    "max_pool2d": max_pool2d, "avg_pool2d": avg_pool2d, "adaptive_avg_pool2d": adaptive_avg_pool2d,
    "_adaptive_avg_pool2d": adaptive_avg_pool2d, "adaptive_max_pool2d": adaptive_max_pool2d,
    "max_pool1d": _in_line(max_pool2d, _MAX), "avg_pool1d": _in_line(avg_pool2d, _AVG),
    "adaptive_avg_pool1d": _in_line(adaptive_avg_pool2d, ("output_size",)),
    "adaptive_max_pool1d": _in_line(adaptive_max_pool2d, ("output_size",)),
}  # fmt: skip
