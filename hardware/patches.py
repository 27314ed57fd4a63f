"""Patches: how a layer's input is cut into pieces that its rows read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from spikesim.errors import ShapeError, must

from ._list import Layout


@dataclass(frozen=True)
class Patches:
    """Kernel, stride, padding and dilation of maps (C, H, W), or of series (C, L) as maps one pixel high; 0 axes: (n_in,).

    by_pixel   layer rows are (u kw + v) C + c instead of c kh kw + u kw + v
    """

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    axes: int = 0
    by_pixel: bool = False

    @classmethod
    def of(cls, module: Any, by_pixel: bool = False) -> Patches:
        """Those of an nn.Linear, nn.Conv1d or nn.Conv2d."""
        if isinstance(module, nn.Linear):
            return cls()
        axes = 1 if isinstance(module, nn.Conv1d) else 2

        def both(values: tuple[int, ...], fill: int) -> tuple[int, int]:
            return (fill, values[0]) if axes == 1 else (values[0], values[1])

        padding = module.padding
        if isinstance(padding, str):
            reach = [d * (k - 1) // 2 for d, k in zip(module.dilation, module.kernel_size)]
            padding = tuple(reach if padding == "same" else [0] * axes)
        return cls(
            both(module.kernel_size, 1),
            both(module.stride, 1),
            both(padding, 0),
            both(module.dilation, 1),
            axes,
            by_pixel,
        )

    @property
    def pixels(self) -> int:
        """Pixels of the kernel."""
        return self.kernel[0] * self.kernel[1]

    def layout(self, node: str, in_shape: tuple[int, ...], channels: int) -> Layout:
        """The geometry for inputs (C, H, W), (C, L) or (n_in,) of so many channels.

        Raises ShapeError where inputs have others or are smaller than the kernel.
        """
        (ky, kx), (sy, sx), (py, px), (dy, dx) = self.kernel, self.stride, self.padding, self.dilation
        height, width = (1, 1, *in_shape[1:])[-2:] if len(in_shape) == self.axes + 1 else (0, 0)
        high, wide = (height + 2 * py - dy * (ky - 1) - 1) // sy + 1, (width + 2 * px - dx * (kx - 1) - 1) // sx + 1
        if not (height and in_shape[0] == channels and min(high, wide) > 0):
            axes = ("", ", L", ", H, W")[self.axes]
            rule = f"(T, B, {channels}{axes})" + (", at least as large as its kernel" if self.axes else "")
            raise ShapeError(must(f"{node}.x", rule, f"(T, B, {', '.join(map(str, in_shape))})"))
        rows = (1, kx * channels, channels) if self.by_pixel else (ky * kx, kx, 1)
        return Layout(height, width, ky, kx, sy, sx, py, px, dy, dx, high, wide, *rows)
