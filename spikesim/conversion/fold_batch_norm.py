"""FoldBatchNorm: batch normalisation right after weights becomes part of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from .draft import Draft
from .operations import with_tensors


@dataclass(frozen=True)
class FoldBatchNorm:
    """W' = (gamma / sigma) W,  b' = (gamma / sigma) (b - mu) + beta,  sigma = sqrt(var + eps).

    Done where a convolution or linear layer feeds nothing but the normalisation; exact up to rounding (computed in
    float64). Anywhere else the normalisation stays: it is linear, so running it at every step is exact too.
    """

    def __call__(self, draft: Draft) -> Draft:
        for kind in (nn.BatchNorm1d, nn.BatchNorm2d):
            for layer, norm in list(draft.chain((nn.Conv2d, nn.Linear), kind)):
                folded = replace(layer, module=_folded(layer.module, norm.module))
                draft = draft.changed(folded).without(norm.name)
        return draft


def _folded(layer: nn.Module, norm: nn.Module) -> nn.Module:
    weight, gamma, beta, mean, var = (
        t.double() for t in (layer.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var)
    )
    factor = gamma / torch.sqrt(var + norm.eps)
    bias = beta - factor * mean if layer.bias is None else factor * (layer.bias.double() - mean) + beta
    return with_tensors(layer, weight=weight * factor.reshape(-1, *[1] * (weight.ndim - 1)), bias=bias)
