"""What stages share: packed weights that follow their parameters, and the dense way round when input is not sparse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..core.raster import SparseRaster
from ..layers.linear import padded
from ..neurons import State
from ..neurons._leaky import LeakyNeuron
from ..neurons._membrane import Coefficients
from .packed import Bits


def stamp(*modules: nn.Module) -> list[int]:
    """Changes whenever a parameter or buffer of the modules has changed in place or been exchanged."""
    found: list[int] = []
    for module in modules:
        for group in (module._parameters, module._buffers):
            for t in group.values():
                if t is not None:
                    found.append(t.data_ptr())
                    found.append(-1 if t.is_inference() else t._version)
    return found


class Stage:
    """Abstract: a linear node and the neurons it alone drives.

    name           of the neuron node, which owns the state
    linear, neuron the modules
    in_shape, out_shape   of one sample's events that come in, and spikes that leave (after pooling)
    """

    break_even: float
    """Share of non-zero inputs above which a dense product and the neuron's own kernel are faster."""

    def __init__(
        self, name: str, linear: Any, neuron: LeakyNeuron, in_shape: tuple[int, ...], out_shape: tuple[int, ...]
    ) -> None:
        self.name, self.linear, self.neuron = name, linear, neuron
        self.in_shape, self.out_shape = in_shape, out_shape
        self.neuron_shape, self.out_name = out_shape, name
        self.gated = neuron.reset.delayed
        self._stamp: Any = None
        self._packed: tuple[Any, ...] = ()
        self._neuron_stamp: Any = None
        self._neurons: Any = None

    def pack(self) -> tuple[Any, ...]:
        """Weights, bias and coefficients as the kernel reads them."""
        raise NotImplementedError

    def spikes(self, x: SparseRaster, v: np.ndarray | None) -> tuple[Bits, np.ndarray]:
        """Events in, spikes and the last membranes (B, N) out; v None: from the neuron's initial potential."""
        raise NotImplementedError

    def packed(self) -> tuple[Any, ...]:
        """What `pack` gives, made again only when a parameter has changed."""
        now = stamp(*self.modules)
        if now != self._stamp:
            self._packed, self._stamp = self.pack(), now
        return self._packed

    def neurons(self, size: int) -> tuple[Coefficients, np.ndarray]:
        """Coefficients, scalars or rows, and membranes before the first step (size,), padded to `size`; made again only when one
        of the neuron's numbers has changed."""
        now = size, stamp(self.neuron)
        if now != self._neuron_stamp:
            first = padded(self.first_membrane(), size)
            self._neurons, self._neuron_stamp = (self.coefficient_rows(size), first), now
        return self._neurons

    def coefficient_rows(self, size: int) -> Coefficients:
        """The neuron's coefficients: scalars, or rows in the neuron's own order, padded to `size`."""
        c = self.neuron.coefficients(torch.zeros(()))
        return Coefficients(*(self._row(n.detach(), size) for n in c))

    def first_membrane(self) -> np.ndarray:
        """The membranes (N,) before the first step, in the neuron's own order."""
        return self.neuron.initial_state((1, *self.neuron_shape), torch.zeros(())).v.reshape(-1).numpy()

    def _row(self, n: Tensor, size: int) -> Any:
        if n.numel() == 1:
            return np.float32(n.item())
        return padded(n.expand(self.neuron_shape).reshape(-1).numpy(), size)

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """All modules the stage stands for."""
        return self.linear, self.neuron

    def run(
        self, x: SparseRaster | Tensor, states: Mapping[Any, Any], *, always: bool
    ) -> tuple[Bits | Tensor, dict[Any, Any]]:
        """Spikes of the whole raster and the states after it: by events where that is faster (`always`: in any case)."""
        state, x = states.get(self.name), self.where_sparse(x, always)
        if isinstance(x, Tensor):
            out, after = self.densely(x, state)
            return out, {self.name: after}
        batch = x.batch
        spikes, v = self.spikes(x, None if state is None else state.v.reshape(batch, -1).numpy())
        return spikes, {self.name: State(torch.from_numpy(v).view(batch, *self.neuron_shape))}

    def where_sparse(self, x: SparseRaster | Tensor, always: bool) -> SparseRaster | Tensor:
        """x as events where the kernel is the faster way (`always`: in any case), else dense."""
        limit = 1.0 if always else self.break_even
        if isinstance(x, Tensor):
            return SparseRaster.where_sparse(x, limit)
        return x if x.density <= limit else x.dense()

    def densely(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """The same by one dense product over all steps and the neuron's own kernel."""
        drive = self.linear(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        state = state or self.neuron.initial_state(drive.shape[1:], drive)
        spikes, state = self.neuron.by_kernel(drive, state)
        return self.pooled(spikes), state

    def pooled(self, spikes: Tensor) -> Tensor:
        """(T, B, *neuron_shape) to (T, B, *out_shape)."""
        return spikes
