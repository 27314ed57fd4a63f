"""Fully connected layers: one dense product over all steps, or weight rows added up for the spikes alone.

y = W x + b        x (T, B, n_in) -> y (T, B, n_out)
"""

from __future__ import annotations

import numpy as np
import torch
from numba import prange
from torch import Tensor, nn

from ..core.kernel import kernel
from ..core.operator import Context
from .counting import count_operations


def rows_added_reference(
    ptr: np.ndarray, idx: np.ndarray, val: np.ndarray, weight: np.ndarray, bias: np.ndarray, out: np.ndarray
) -> None:
    """out[r] = bias + sum over k in ptr[r]:ptr[r+1] of val[k] weight[idx[k]]; weight (n_in, n_out), input-major."""
    for r in range(out.shape[0]):
        out[r] = bias
        for k in range(ptr[r], ptr[r + 1]):
            out[r] += val[k] * weight[idx[k]]


@kernel(reference=rows_added_reference, parallel=True)
def rows_added_kernel(ptr, idx, val, weight, bias, out):  # type: ignore[no-untyped-def]
    for r in prange(out.shape[0]):
        row = out[r]
        row[:] = bias
        for k in range(ptr[r], ptr[r + 1]):
            w, a = weight[idx[k]], val[k]
            for j in range(row.size):
                row[j] += a * w[j]


class Packed:
    """A weight laid out for the event kernels, packed again only when the parameter has changed."""

    def __init__(self, order: tuple[int, ...]) -> None:
        self._order, self._stamp, self._array = order, (0, 0), np.empty(0, np.float32)

    def of(self, weight: Tensor) -> np.ndarray:
        """The weight with its axes in the kernel's order, contiguous float32."""
        stamp = (weight.data_ptr(), -1 if weight.is_inference() else weight._version)
        if stamp != self._stamp:
            self._array = np.ascontiguousarray(weight.detach().numpy().transpose(self._order), np.float32)
            self._stamp = stamp
        return self._array


def bias_of(module: nn.Linear | nn.Conv2d, size: int) -> np.ndarray:
    """The module's bias as float32 (size,), zeros where it has none."""
    return np.zeros(size, np.float32) if module.bias is None else module.bias.detach().numpy().astype(np.float32)


class Dense:
    """`nn.Linear` as a LinearOperator."""

    break_even = 0.2
    """Share of non-zero inputs above which the dense product is faster (benchmarks/README.md)."""

    def __init__(self, module: nn.Linear) -> None:
        self.module, self._packed = module, Packed((1, 0))
        self._fanout = np.full(module.in_features, module.out_features, np.int64)

    def apply(self, x: Tensor, ctx: Context) -> Tensor:
        """x (T, B, n_in) -> (T, B, n_out), one product over T*B."""
        count_operations(x, self._fanout, ctx)
        return self.module(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def apply_events(self, ptr: np.ndarray, idx: np.ndarray, val: np.ndarray | None, ctx: Context) -> Tensor:
        """Index lists of T*B rows -> (T*B, n_out)."""
        weight = self._packed.of(self.module.weight)
        out = np.empty((ptr.size - 1, weight.shape[1]), np.float32)
        values = np.ones(idx.size, np.float32) if val is None else val
        rows_added_kernel(ptr, idx, values, weight, bias_of(self.module, weight.shape[1]), out)
        return torch.from_numpy(out)

    def row_fanout(self) -> np.ndarray:
        """n_out for every input."""
        return self._fanout
