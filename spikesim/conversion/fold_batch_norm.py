"""FoldBatchNorm: batch normalisation right after weights becomes part of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from ..layers.folded import folded
from .draft import Draft
from .operations.owned import with_tensors


@dataclass(frozen=True)
class FoldBatchNorm:
    """W' = (gamma / sigma) W,  b' = (gamma / sigma) (b - mu) + beta,  sigma = sqrt(var + eps).

    Done where a convolution or linear layer feeds nothing but the normalisation; exact up to rounding (computed in
    float64). Anywhere else the normalisation stays: it is linear, so running it at every step is exact too.
    """

    def __call__(self, draft: Draft) -> Draft:
        while pair := next(draft.chain((nn.Conv2d, nn.Linear), (nn.BatchNorm1d, nn.BatchNorm2d)), None):
            layer, norm = pair
            folded = replace(layer, module=_folded(layer.module, norm.module))
            draft = draft.changed(folded).without(norm.name)
        return draft


def _folded(layer: Any, norm: Any) -> nn.Module:
    factor, bias = folded(layer, norm)
    weight = layer.weight.double()
    return with_tensors(layer, weight=weight * factor.reshape(-1, *[1] * (weight.ndim - 1)), bias=bias)
