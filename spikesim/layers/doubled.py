"""A 3 x 3 convolution of a picture that was doubled, as one transposed convolution of the picture: 16 products instead of 36.

    y[i] = b + sum over u of w[u] x[(i + u - 1) // 2],  u in {0, 1, 2}   (one axis; x of n pixels, y of 2 n)
         = b + sum over m of k[i - 2 m + 1] x[m],       k = (w2, w1 + w2, w0 + w1, w0)

since x[m] is read for outputs 2 m - 1 to 2 m + 2, padding of 0 outside. Rounded otherwise than the two layers by themselves.
"""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional


def doubles(module: nn.Module) -> bool:
    """Whether a module repeats every pixel of (N, C, H, W) twice along both axes."""
    whole = type(module) is nn.Upsample and module.size is None and module.mode == "nearest"
    return whole and module.scale_factor in (2, (2, 2))


def fits(conv: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether a module is a plain 3 x 3 convolution that keeps the size of (N, C, H, W)."""
    return (
        type(conv) is nn.Conv2d and conv.kernel_size == (3, 3) and conv.padding == (1, 1) and conv.padding_mode == "zeros"
        and conv.stride == conv.dilation == (1, 1) and conv.groups == 1
    )  # fmt: skip


def doubled_conv(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The convolution by weight (O, C, 3, 3) of x (N, C, H, W), doubled -> (N, O, 2 H, 2 W)"""
    order = torch.channels_last if weight.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    kernel = _spread(_spread(weight.transpose(0, 1), 2), 3).contiguous(memory_format=order)
    return functional.conv_transpose2d(x, kernel, bias, stride=2, padding=1)


def _spread(weight: Tensor, axis: int) -> Tensor:
    first, second, third = weight.unbind(axis)
    return torch.stack([third, second + third, first + second, first], axis)
