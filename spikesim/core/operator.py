"""The seam between layers and crossbars: weights times spikes.

A dense matrix, a convolution and a programmed crossbar are all LinearOperators. The network hands them input
and context and asks nothing about what they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch

from .ledger import Ledger
from .seeds import Seeds


class Activity(NamedTuple):
    """How often each input was active over some steps: unit (-1 or 1) and some (not 0), both (B, N) int32."""

    unit: np.ndarray
    some: np.ndarray


@dataclass(frozen=True)
class Context:
    """What travels with a call: where it happens, when, for whom, and what is drawn and counted.

    where        the node's name
    step0        time step of the first row of x (draws are keyed by absolute step)
    sample_ids   (B,) int64, identity of each batch row; negative = padding
    seeds        None: nothing random is drawn
    ledger       None: nothing is counted
    activity     of the input, where it has been counted already; None: not yet
    """

    where: str = ""
    step0: int = 0
    sample_ids: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    seeds: Seeds | None = None
    ledger: Ledger | None = None
    activity: Activity | None = None

    def at(self, where: str, activity: Activity | None = None) -> Context:
        """The same context at another node, with what is known about its input."""
        return Context(where, self.step0, self.sample_ids, self.seeds, self.ledger, activity)


@runtime_checkable
class LinearOperator(Protocol):
    """Weights times spikes.

    apply(x, ctx)                       x (T, B, *in_shape) -> (T, B, *out_shape)
    apply_events(ptr, idx, val, ctx)    the same product from index lists: row r = t*B + b holds inputs
                                        idx[ptr[r]:ptr[r+1]] (int32, flat index in in_shape) with values
                                        val (float32, or None for all ones) -> (T*B, *out_shape) float32
    row_fanout()                        (prod(in_shape),) int64: synapses that one input event reaches
    """

    def apply(self, x: torch.Tensor, ctx: Context) -> torch.Tensor: ...

    def apply_events(self, ptr: np.ndarray, idx: np.ndarray, val: np.ndarray | None, ctx: Context) -> torch.Tensor: ...

    def row_fanout(self) -> np.ndarray: ...
