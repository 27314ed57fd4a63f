"""What can be converted. Every operation is a function (sketch, x, ...) -> Ref that writes plain nodes.

Arguments are those of the torch function or ATen operator of that name, with a `Ref` for every value that depends on
the input and tensors for constants. To support one more operation, add one function to one of these files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import activation, arithmetic, linear, pool, rounding, shape, smooth
from .modules import LEAVES, module_call

_FILES = (activation, arithmetic, linear, pool, rounding, shape, smooth)
OPERATIONS: Mapping[str, Callable[..., Any]] = {name: f for file in _FILES for name, f in file.OPERATIONS.items()}
"""Name of a function, method or ATen operator -> what writes its nodes."""

REARRANGEMENTS = shape.REARRANGEMENTS
"""Names of functions that only move values about; they are run on the values' numbers instead."""

UNCHANGED = shape.UNCHANGED
"""Names of functions that give their first argument back."""

SUPPORTED = (
    "convolutions, linear layers, normalisations, ReLU and its relatives, pools, sums, products, concatenation, "
    "changes of shape, softmax, GELU, SiLU, sigmoid, tanh, attention"
)
"""What an error says can be converted."""

__all__ = ["LEAVES", "OPERATIONS", "REARRANGEMENTS", "SUPPORTED", "UNCHANGED", "module_call"]
