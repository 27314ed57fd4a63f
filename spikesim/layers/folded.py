"""Batch normalisation in evaluation mode as part of the weights before it.

W' = (gamma / sigma) W,    b' = (gamma / sigma) (b - mu) + beta,    sigma = sqrt(var + eps)
"""

from __future__ import annotations

from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional

from .doubled import doubled_conv


def foldable(norm: nn.Module) -> TypeGuard[nn.BatchNorm2d]:
    """Whether a module is a batch normalisation of (N, C, H, W) by numbers that it keeps."""
    return type(norm) is nn.BatchNorm2d and not norm.training and norm.running_mean is not None


def folded(layer: Any, norm: Any) -> tuple[Tensor, Tensor]:
    """gamma / sigma (O,) and b' (O,) of a convolution or linear layer and the normalisation after it, in float64."""
    mean, sigma = norm.running_mean.double(), torch.sqrt(norm.running_var.double() + norm.eps)
    factor = 1 / sigma if norm.weight is None else norm.weight.double() / sigma
    offset = -factor * mean if norm.bias is None else norm.bias.double() - factor * mean
    return factor, offset if layer.bias is None else offset + factor * layer.bias.double()


def run_folded(x: Tensor, conv: nn.Conv2d, norm: nn.Module | None, *, doubled: bool) -> Tensor:
    """[nearest upsampling by 2,] conv [, norm] of x (N, C, H, W) in one product."""
    weight, bias = conv.weight, conv.bias
    if norm is not None:
        factor, bias = (n.to(weight) for n in folded(conv, norm))
        weight = weight * factor.reshape(-1, 1, 1, 1)
    if doubled:
        return doubled_conv(x, weight, bias)
    return functional.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)
