"""Noise-aware fine-tuning: a few epochs with arrays in the loop, so that the weights suit what arrays do to them.

Every batch is read from another chip of the macro (`refresh="batch"`), or all from one (`"chip"`): see `hardware.loop`. The
gradient is the ideal layer's. What comes back is an ordinary network, to be deployed like any other.

Weights are learned in units of their layer's root mean square: converted networks have layers that differ a hundredfold, and
Adam moves every parameter by about the learning rate. A rate of 1e-3 is a thousandth of
a layer's weights in every step. Surrogate slopes are as wide as thresholds are high.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from spikesim.core.seeds import Seeds
from spikesim.network import Network
from spikesim.neurons import Neuron
from spikesim.surrogate import ATan
from spikesim.training import Loss, ReadoutCrossEntropy, Training, fit
from spikesim.training.loop import Batches

from ..loop import InTheLoop, in_the_loop
from ..macro import Macro
from .base import Way


@dataclass(frozen=True, eq=False)
class FineTuning(Way):
    """Batches of training samples (B, T, *shape) and labels, and how long and fast.

    training      few epochs at a low rate: Training(epochs=2, learning_rate=3e-3, weight_decay=0)
    steps         T that a converted network is bound to first; None: it is bound, or its batches need no binding
    refresh       as `in_the_loop`
    calibration   as `deploy`
    """

    batches: Batches
    training: Training = field(default_factory=lambda: Training(epochs=2, learning_rate=3e-3, weight_decay=0.0))
    steps: int | None = None
    loss: Loss = field(default_factory=ReadoutCrossEntropy)
    refresh: str = "batch"
    calibration: Tensor | None = None

    def prepared(self, network: Network, macro: Macro, *, seeds: Seeds) -> Network:
        """The network with weights and biases that were tuned, bound to `steps` where these are given."""
        start = network if self.steps is None else network.bound(self.steps)
        loop = in_the_loop(start, macro, seeds=seeds.child("loop"), calibration=self.calibration, refresh=self.refresh)
        loop = loop.replaced({name: _wide(node) for name, node in loop.nodes.items() if isinstance(node, Neuron)})
        for node in loop.modules():
            if isinstance(node, InTheLoop):
                _in_units(node)
        fit(loop, self.batches, self.loss, self.training, seeds=seeds.child("training"))
        tuned: dict[str, nn.Module] = {}
        for name in start.names:
            learned = loop.node(name)
            if isinstance(learned, InTheLoop):
                tuned[name] = _with(start.node(name), learned)
        return start.replaced(tuned)


class _Scaled(nn.Module):
    """Parametrisation: value = unit x parameter."""

    def __init__(self, unit: float) -> None:
        super().__init__()
        self.unit = unit

    def forward(self, x: Tensor) -> Tensor:
        return x * self.unit

    def right_inverse(self, value: Tensor) -> Tensor:
        return value / self.unit


def _in_units(node: InTheLoop) -> None:
    """Weights and bias of a node as parameters in units of their root mean square."""
    for name in ("weight", "bias"):
        value = getattr(node, name)
        if value is not None and bool(value.detach().any()):
            register_parametrization(node, name, _Scaled(float(value.detach().square().mean().sqrt())))


def _wide(neuron: Neuron) -> Neuron:
    """A copy of a neuron whose surrogate slope is as wide as its threshold is high, as it is for thresholds of 1."""
    surrogate, threshold = getattr(neuron, "surrogate", None), getattr(neuron, "threshold", None)
    if not isinstance(surrogate, ATan) or not isinstance(threshold, Tensor):
        return neuron
    fresh: Any = copy.copy(neuron)
    fresh.surrogate = replace(surrogate, alpha=surrogate.alpha / float(threshold.mean()))
    return fresh  # type: ignore[no-any-return]


def _with(layer: nn.Module, learned: InTheLoop) -> nn.Module:
    """A copy of a layer with the weights and the bias of another."""
    fresh: Any = copy.deepcopy(layer)
    with torch.no_grad():
        fresh.weight.copy_(learned.weight)
        if learned.bias is not None:
            fresh.bias.copy_(learned.bias)
    return fresh.requires_grad_(False)  # type: ignore[no-any-return]
