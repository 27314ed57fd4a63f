"""Noise-aware fine-tuning: a few epochs with arrays in the loop, so that the weights suit what arrays do to them.

Every batch is read from another chip of the macro (`refresh="batch"`), or all from one (`"chip"`): see `hardware.loop`. The
gradient is the ideal layer's. What comes back is an ordinary network, to be deployed like any other.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from torch import Tensor, nn

from spikesim.core.seeds import Seeds
from spikesim.network import Network
from spikesim.training import Loss, ReadoutCrossEntropy, Training, fit
from spikesim.training.loop import Batches

from ..loop import in_the_loop
from ..macro import Macro
from .base import Way


@dataclass(frozen=True, eq=False)
class FineTuning(Way):
    """Batches of training samples (B, T, *shape) and labels, and how long and fast.

    training      few epochs at a low rate: Training(epochs=2, learning_rate=1e-3, weight_decay=0)
    steps         T that a converted network is bound to first; None: it is bound, or its batches need no binding
    refresh       as `in_the_loop`
    calibration   as `deploy`
    """

    batches: Batches
    training: Training = field(default_factory=lambda: Training(epochs=2, learning_rate=1e-3, weight_decay=0.0))
    steps: int | None = None
    loss: Loss = field(default_factory=ReadoutCrossEntropy)
    refresh: str = "batch"
    calibration: Tensor | None = None

    def prepared(self, network: Network, macro: Macro, *, seeds: Seeds) -> Network:
        """The network with weights and biases that were tuned, bound to `steps` where these are given."""
        start = network if self.steps is None else network.bound(self.steps)
        loop = in_the_loop(start, macro, seeds=seeds.child("loop"), calibration=self.calibration, refresh=self.refresh)
        fit(loop, self.batches, self.loss, self.training, seeds=seeds.child("training"))
        tuned: dict[str, nn.Module] = {}
        for name in start.names:
            node, learned = start.node(name), loop.node(name)
            if node is not learned:
                tuned[name] = _with(node, learned)
        return start.replaced(tuned)


def _with(layer: nn.Module, learned: nn.Module) -> nn.Module:
    """A copy of a layer with the weights and the bias of another."""
    fresh = copy.deepcopy(layer)
    fresh.load_state_dict({k: v for k, v in learned.state_dict().items() if k != "passes"})
    return fresh.requires_grad_(False)
