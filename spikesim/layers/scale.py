"""Scale: what one spike stands for, put back where no weights follow that could carry it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Scale(nn.Module):
    """y = factor x, with a factor per channel or per neuron.

    x (N, *shape) -> y (N, *shape);  shape: the factor's, broadcast to *shape ((C, 1, 1) for maps). It starts at 1.
    """

    factor: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.register_buffer("factor", torch.ones(self.shape))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor
