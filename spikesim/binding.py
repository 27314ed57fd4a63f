"""What a converted network remembers of its ANN, and how it is bound to event data of T bins."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from torch import nn

from .core.packing import Shapes


@dataclass(frozen=True)
class Conversion:
    """What a converted network remembers of its ANN.

    entry_linear, entry_neurons   nodes before and at the first neurons: where the factor T of event data is folded
    entry_scales                  where values of the input meet those of neurons: they get the factor T back
    steps                         T it is folded for; None: not yet (`Network.bound`)
    recipe                        name of the recipe
    inputs                        (*shape) of each tensor the ANN takes, where it takes several: the network's input is
                                  (sum of sizes), all of them side by side
    counts                        whether calibration inputs are counts of recordings, whose bins are what is run; None: a
                                  tensor, which does not say
    """

    entry_linear: tuple[str, ...] = ()
    entry_neurons: tuple[str, ...] = ()
    steps: int | None = None
    recipe: str = ""
    entry_scales: tuple[str, ...] = ()
    inputs: Shapes = ()
    counts: bool | None = None

    def factors(self, steps: int) -> dict[str, float]:
        """Node -> what its offsets are multiplied by for event data of `steps` bins."""
        factor = (self.steps or 1) / steps
        inward = dict.fromkeys((*self.entry_linear, *self.entry_neurons), factor)
        return {**inward, **dict.fromkeys(self.entry_scales, 1 / factor)}


_OFFSETS = ("bias", "threshold", "initial", "unit", "gain")
"""What scales with the input: offsets, not weights."""


def scaled(module: nn.Module, factor: float, names: tuple[str, ...] = _OFFSETS) -> nn.Module:
    """A copy of a node with these of its numbers times `factor`, an entry node's offsets; weights are shared."""
    fresh = copy.copy(module)
    fresh._parameters, fresh._buffers = dict(module._parameters), dict(module._buffers)
    for name in names:
        parameter, buffer = fresh._parameters.get(name), fresh._buffers.get(name)
        if parameter is not None:
            fresh._parameters[name] = nn.Parameter(parameter.detach() * factor, parameter.requires_grad)
        if buffer is not None:
            fresh._buffers[name] = buffer * factor
    return fresh
