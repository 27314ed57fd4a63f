"""Layers: torch's own modules, wrapped once as LinearOperators, dense and event-driven; pooling over time.

`operator_of(module, in_shape)` gives the operator of an `nn.Linear` or `nn.Conv2d`; a module that carries one as its
`operator` (a crossbar) says so itself. Read `linear.py` first.
"""

from __future__ import annotations

from torch import nn

from ..core.operator import LinearOperator
from .conv import Convolution
from .difference import TemporalDifference
from .linear import Dense
from .planes import Channels, ClassEmbedding, TimeEmbedding
from .pool import CumulativeMaxPool2d, SumPool2d
from .quantised import QuantisedReLU
from .scale import Scale
from .shape import (
    Attention,
    Concat,
    Divide,
    Gain,
    MatMul,
    Multiply,
    Pointwise,
    Rearrange,
    Reduce,
    Reshape,
    Shift,
    Upsample,
)
from .sparse import DelayedLinear, SparseLinear
from .temporal_scale import TemporalScale


def operator_of(module: nn.Module, in_shape: tuple[int, ...]) -> LinearOperator | None:
    """The LinearOperator of `module` for inputs of `in_shape`, or None where it is not weights times spikes."""
    if hasattr(module, "operator"):
        return module.operator  # type: ignore[return-value]
    if isinstance(module, nn.Linear):
        return Dense(module, in_shape)
    if isinstance(module, nn.Conv2d):
        return Convolution(module, in_shape)
    return None


__all__ = [
    "Attention",
    "Channels",
    "ClassEmbedding",
    "Concat",
    "Convolution",
    "CumulativeMaxPool2d",
    "DelayedLinear",
    "Dense",
    "Divide",
    "Gain",
    "MatMul",
    "Multiply",
    "Pointwise",
    "QuantisedReLU",
    "Rearrange",
    "Reduce",
    "Reshape",
    "Scale",
    "Shift",
    "SparseLinear",
    "SumPool2d",
    "TemporalDifference",
    "TemporalScale",
    "TimeEmbedding",
    "Upsample",
    "operator_of",
]
