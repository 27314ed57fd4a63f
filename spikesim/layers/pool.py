"""Pooling of spikes and currents: sums that keep counts whole, and a maximum that is exact over time."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class SumPool2d(nn.Module):
    """Sum over windows: average pooling without its division, so that spikes stay whole numbers.

    x (N, C, H, W) -> (N, C, H', W'). Arguments as `nn.AvgPool2d`; its factor 1/k^2 belongs in the next weights.
    """

    def __init__(
        self, kernel_size: int | tuple[int, int], stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0, ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode, divisor_override=1)


class PoolState(NamedTuple):
    """Input summed so far (B, C, H, W) and the maximum of that sum (B, C, H', W')."""

    total: Tensor
    best: Tensor


class CumulativeMaxPool2d(nn.Module):
    """Max pooling whose output sums to the maximum of the summed input, at every step.

        y_t = maxpool(X_t) - maxpool(X_{t-1}),      X_t = x_1 + ... + x_t

    Placed before a neuron it makes ReLU then MaxPool exact in the limit, since max(relu(z)) = relu(max(z)); pooling
    spikes or single currents instead takes the maximum of noise. y is signed.
    x (T, B, C, H, W), PoolState -> y (T, B, C, H', W'), PoolState. Arguments as `nn.MaxPool2d`.
    """

    def __init__(
        self, kernel_size: int | tuple[int, int], stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] = 0, dilation: int | tuple[int, int] = 1, ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation, self.ceil_mode = padding, dilation, ceil_mode

    def _pool(self, x: Tensor) -> Tensor:
        return functional.max_pool2d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)

    def initial_state(self, shape: tuple[int, ...] | torch.Size, like: Tensor) -> PoolState:
        """Zero sums for a batch of `shape` (B, C, H, W)."""
        total = like.new_zeros(tuple(shape))
        return PoolState(total, self._pool(total))

    def forward(self, x: Tensor, state: PoolState | None = None) -> tuple[Tensor, PoolState]:
        state = state or self.initial_state(x.shape[1:], x)
        totals = [state.total]
        for drive in x:  # one sum after the other, so that a run cut anywhere adds in the same order
            totals.append(totals[-1] + drive)
        best = torch.stack([state.best, *(self._pool(total) for total in totals[1:])])
        return torch.diff(best, dim=0), PoolState(totals[-1], best[-1])
