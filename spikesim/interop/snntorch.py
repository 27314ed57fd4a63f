"""snnTorch networks as ours: layers and Leaky neurons in the order they are applied, spike for spike."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from torch import nn

from ..errors import ConversionError, must
from ..network import Network
from ..neurons import LIF
from ..readout import Sum

_LAYERS = (
    nn.Linear,
    nn.Conv2d,
    nn.AvgPool2d,
    nn.MaxPool2d,
    nn.Flatten,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.Dropout,
    nn.Identity,
)


def from_snntorch(modules: nn.Sequential | Iterable[nn.Module], **options: Any) -> Network:
    """A Network of the given torch layers and `snntorch.Leaky` neurons, applied one after the other at every step.

    snnTorch keeps the order in the user's `forward`, so it is given here: `from_snntorch([net.fc1, net.lif1, ...])`.
    The neurons keep beta, threshold, reset mechanism and `reset_delay`; the readout is the spike count unless given.
    Layers are copied: the user's network is not changed. Options as `Network`.
    Raises ConversionError for any other module, and for `reset_delay=False` with reset by subtraction, whose residual
    spike has no counterpart here.
    """
    return Network.chain(
        *(_ours(i, m) for i, m in enumerate(modules)), **{"readout": Sum(), **options}
    ).eval()  # fmt: skip


def _ours(index: int, module: Any) -> nn.Module:
    if isinstance(module, _LAYERS):
        return copy.deepcopy(module)
    import snntorch

    if type(module) is not snntorch.Leaky:
        rule = "a torch layer or snntorch.Leaky"
        raise ConversionError(must(f"modules[{index}]", rule, type(module).__name__, "convert it by hand"))
    mechanism = str(module.reset_mechanism)
    if mechanism == "subtract" and not module.reset_delay:
        raise ConversionError(must(f"modules[{index}].reset_delay", "True where the reset subtracts", False))
    beta = module.beta.detach().clamp(0, 1)
    return LIF.snntorch(beta, module.threshold.detach(), reset=mechanism, reset_delay=bool(module.reset_delay))
