"""The layer-synchronous closed form: every layer waits for all T steps of the one before and then says its count at once.

    count = clip(floor((T z + v(0)) / theta), 0, T peak),      z the mean drive

No order of arrival, so no unevenness: what is left is clipping and quantisation. It is post-training quantisation of
the ANN with T levels, the best that neurons of these thresholds can do, in one pass whatever T.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..core.params import number
from ..layers.difference import TemporalDifference
from ..layers.pool import CumulativeMaxPool2d
from ..network import Network
from ..neurons import IF, CorrectedIF, GradedIF, SignedIF


class Count(nn.Module):
    """A neuron's mean over T steps of a drive that is known whole. z (N, *shape) -> (N, *shape)."""

    def __init__(self, neuron: IF | SignedIF | GradedIF | CorrectedIF, steps: int) -> None:
        super().__init__()
        self.steps, self.peak = steps, getattr(neuron, "peak", 1)
        self.register_buffer("threshold", neuron.threshold.detach())
        self.register_buffer("initial", neuron.initial.detach())

    threshold: Tensor
    initial: Tensor

    def counts(self, z: Tensor) -> Tensor:
        """Spikes in all, as whole numbers."""
        return torch.floor((z * self.steps + self.initial) / self.threshold).clamp(0, self.steps * self.peak)

    def forward(self, z: Tensor) -> Tensor:
        return self.counts(z) / self.steps


def layer_synchronous(network: Network, steps: int) -> Network:
    """The network whose run over one step is the closed form over `steps`: `run(it, x, steps=1)`.

    For constant inputs x (B, *shape), and for networks of plain integrate-and-fire neurons as conversion makes them.
    """
    number("layer_synchronous.steps", steps, at_least=1, integer=True)
    changes: dict[str, nn.Module] = {}
    for name, module in network.nodes.items():
        if isinstance(module, (IF, SignedIF, GradedIF, CorrectedIF)):
            changes[name] = Count(module, steps)
        elif isinstance(module, TemporalDifference):
            changes[name] = module.function
        elif isinstance(module, CumulativeMaxPool2d):
            window = (module.kernel_size, module.stride, module.padding, module.dilation)
            changes[name] = nn.MaxPool2d(*window, ceil_mode=module.ceil_mode)
    return network.replaced(changes)
