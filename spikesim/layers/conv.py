"""Two-dimensional convolution: torch's dense one over all steps, or the kernel scattered for the spikes alone.

y[o, i, j] = b[o] + sum over c, u, v of K[o, c, u, v] x[c, s i + u - p, s j + v - p]
x (T, B, C, H, W) -> y (T, B, O, H', W');  s stride, p padding
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..core.kernel import kernel, shared_out
from ..core.operator import Context
from ..errors import ParameterError, must
from .counting import count_operations
from .linear import Packed, bias_of


class Geometry(NamedTuple):
    """What the scatter kernel must know: input height and width, stride and padding per axis."""

    height: int
    width: int
    stride_y: int
    stride_x: int
    pad_y: int
    pad_x: int


def scattered_reference(
    ptr: np.ndarray,
    idx: np.ndarray,
    val: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    g: Geometry,
    out: np.ndarray,
) -> None:
    """Add weight[c, u, v] (C, kh, kw, O) times the value of each event to out (R, H', W', O), which starts at bias."""
    out[:] = bias
    for r in range(out.shape[0]):
        for k in range(ptr[r], ptr[r + 1]):
            c, rest = divmod(int(idx[k]), g.height * g.width)
            y, x = rest // g.width + g.pad_y, rest % g.width + g.pad_x
            for u in range(weight.shape[1]):
                for v in range(weight.shape[2]):
                    i, ui = divmod(y - u, g.stride_y)
                    j, vj = divmod(x - v, g.stride_x)
                    if ui == 0 and vj == 0 and 0 <= i < out.shape[1] and 0 <= j < out.shape[2]:
                        out[r, i, j] += val[k] * weight[c, u, v]


@kernel(reference=scattered_reference, items=lambda *a: len(a[-1]))
def scattered_kernel(ptr, idx, val, weight, bias, g, out, begin, end, team):  # type: ignore[no-untyped-def]
    if shared_out(begin, end, team):
        return
    _, high, wide, channels = out.shape
    plane = g.height * g.width
    for r in range(begin, end):
        for i in range(high):
            for j in range(wide):
                out[r, i, j, :] = bias
        for k in range(ptr[r], ptr[r + 1]):
            c, rest = idx[k] // plane, idx[k] % plane
            y, x, a = rest // g.width + g.pad_y, rest % g.width + g.pad_x, val[k]
            for u in range(y % g.stride_y, min(weight.shape[1], y + 1), g.stride_y):
                i = (y - u) // g.stride_y
                if i >= high:
                    continue
                for v in range(x % g.stride_x, min(weight.shape[2], x + 1), g.stride_x):
                    j = (x - v) // g.stride_x
                    if j >= wide:
                        continue
                    w, target = weight[c, u, v], out[r, i, j]
                    for o in range(channels):
                        target[o] += a * w[o]


def _channels_last(weight: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(weight.transpose(1, 2, 3, 0))


class Convolution:
    """`nn.Conv2d` as a LinearOperator for inputs of in_shape (C, H, W)."""

    break_even = 0.04
    """Share of non-zero inputs above which torch's dense convolution is faster (benchmarks/README.md)."""

    def __init__(self, module: nn.Conv2d, in_shape: tuple[int, ...]) -> None:
        self.module, self.in_shape, self._packed = module, tuple(in_shape), Packed(_channels_last)
        if len(in_shape) != 3 or in_shape[0] != module.in_channels:
            raise ParameterError(must("Convolution.in_shape", f"({module.in_channels}, H, W)", tuple(in_shape)))
        plain = module.groups == 1 and module.dilation == (1, 1) and module.padding_mode == "zeros"
        self.scatters = plain and not isinstance(module.padding, str)
        self._fanout = self._reached()

    def _reached(self) -> np.ndarray:
        """How many (output pixel, output channel) pairs each input pixel feeds: padding makes the rim poorer."""
        m = self.module
        with torch.inference_mode(False), torch.enable_grad():
            ones = torch.ones(1, *self.in_shape, dtype=torch.float64, requires_grad=True)
            weight = torch.ones(m.weight.shape, dtype=torch.float64)
            y = nn.functional.conv2d(ones, weight, None, m.stride, m.padding, m.dilation, m.groups)
            (fanout,) = torch.autograd.grad(y.sum(), ones)
        return np.rint(fanout.numpy().ravel()).astype(np.int64)

    def apply(self, x: Tensor, ctx: Context) -> Tensor:
        """x (T, B, C, H, W) -> (T, B, O, H', W'), one convolution over T*B images."""
        count_operations(x, self._fanout, ctx)
        return self.module(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def apply_events(self, ptr: np.ndarray, idx: np.ndarray, val: np.ndarray | None, ctx: Context) -> Tensor:
        """Index lists of T*B rows -> (T*B, O, H', W')."""
        m, (_, height, width) = self.module, self.in_shape
        (sy, sx), (py, px) = m.stride, (int(p) for p in m.padding)
        kh, kw = m.kernel_size
        size = ((height + 2 * py - kh) // sy + 1, (width + 2 * px - kw) // sx + 1, m.out_channels)
        out = np.empty((ptr.size - 1, *size), np.float32)
        values = np.ones(idx.size, np.float32) if val is None else val
        geometry = Geometry(height, width, sy, sx, py, px)
        scattered_kernel(ptr, idx, values, self._packed.of(m.weight), bias_of(m, m.out_channels), geometry, out)
        return torch.from_numpy(out).permute(0, 3, 1, 2)

    def row_fanout(self) -> np.ndarray:
        """(C*H*W,) int64: synapses that one event at each input pixel reaches."""
        return self._fanout
