"""QuantisedReLU: the activation that networks are trained with when few steps are to be enough."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..core.params import number


class QuantisedReLU(nn.Module):
    """h(z) = theta clip(floor(L z / theta + 1/2) / L, 0, 1), theta learned, gradients straight through the floor.

        dh/dz = 1 inside the clip, 0 outside;      dh/dtheta = h / theta - (z / theta) dh/dz

    which is what a neuron of threshold theta, starting at theta / 2, says of a constant drive in T = L steps.

    z (N, *shape) -> (N, *shape);  levels  L;  shape  theta's, broadcast to *shape: () or (C, 1, 1). It starts at 1.
    Bu et al., "Optimal ANN-SNN conversion", ICLR 2022 (QCFS); Hu et al. 2023 (Fast-SNN: L = 2^bits - 1).
    """

    def __init__(self, levels: int, shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        number("QuantisedReLU.levels", levels, at_least=1, integer=True, remedy="8 suits T = 8")
        self.levels, self.shape = levels, tuple(shape)
        self.threshold = nn.Parameter(torch.ones(shape))

    def forward(self, z: Tensor) -> Tensor:
        return _Quantise.apply(z, self.threshold.abs().clamp(min=1e-6), self.levels)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"levels={self.levels}, shape={self.shape}"


class _Quantise(torch.autograd.Function):
    """One pass over the values forward, two backward: plain operations would keep four maps per activation."""

    @staticmethod
    def forward(context: Any, z: Tensor, theta: Tensor, levels: int) -> Tensor:
        count = (z * (levels / theta)).add_(0.5).floor_()
        h = count.clamp(0, levels).mul_(theta / levels)
        if any(context.needs_input_grad):
            context.save_for_backward(z, h, (count >= 0) & (count <= levels), theta)
        return h

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:  # type: ignore[override]
        z, h, inside, theta = context.saved_tensors
        passed = gradient * inside
        if not context.needs_input_grad[1]:
            return passed, None, None
        along = (gradient * h).sub_(passed * z)
        return passed, along.sum_to_size(theta.shape).div_(theta), None
