"""Running a converted network layer by layer over all steps, with a say at every neuron: what calibrations need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..network import INPUT, Network
from ..neurons import Neuron

TOGETHER = 2**20
"""Numbers of an input that a layer or a neuron is shown at once. 4 MB stay in the caches and are used again; 64 MB came fresh
from the system every time, which took a third to a half of a conversion (ResNet-14, T = 32)."""

Adjusted = Callable[[str, Neuron, Tensor], Tensor]
"""(name, neuron, its drive (T, B, *shape)) -> its spikes (T, B, *shape), which go on to the next layers."""


def layer_by_layer(network: Network, x: Tensor, adjusted: Adjusted) -> None:
    """Run x (T, B, *shape) through a network without delays; each node's values live until their last reader."""
    values: dict[str, Tensor] = {INPUT: x}
    readers = {name: [e.target for e in network.edges if e.source == name] for name in (INPUT, *network.names)}
    for name in network.order:
        module = network.node(name)
        parts = [values[e.source] for e in network.edges if e.target == name]
        if isinstance(module, Neuron):
            values[name] = adjusted(name, module, sum(parts[1:], parts[0]))
        else:
            values[name] = _run(module, parts)
        for source in {e.source for e in network.edges if e.target == name}:
            readers[source] = [target for target in readers[source] if target != name]
            if not readers[source]:
                del values[source]


def spikes_of(neuron: Neuron, drive: Tensor, added: Tensor | None = None, more_v: Tensor | None = None) -> Tensor:
    """Spikes (T, B, *shape) of a drive (T, B, *shape).

    added   to the drive of every step, more_v to the first membranes: both broadcast to (B, *shape), alike for all samples
    """
    made = torch.empty_like(drive, memory_format=torch.contiguous_format)
    for here in _parts(drive, 1):
        part = drive[:, here] if added is None else drive[:, here] + added
        state = neuron.initial_state(part.shape[1:], part)
        made[:, here], _ = neuron(part, state if more_v is None else state._replace(v=state.v + more_v))
    return made


def mean_spikes(neuron: Neuron, drive: Tensor) -> Tensor:
    """Means over time (B, *shape) of the spikes of a drive (T, B, *shape)."""
    return torch.cat([neuron(drive[:, here])[0].mean(0) for here in _parts(drive, 1)])


def _parts(x: Tensor, along: int) -> list[slice]:
    """Slices along one of its first two dimensions, of TOGETHER numbers or a single one."""
    each = max(1, TOGETHER * x.shape[along] // max(1, x.numel()))
    return [slice(low, low + each) for low in range(0, x.shape[along], each)]


def _run(module: nn.Module, parts: list[Tensor]) -> Tensor:
    joins = bool(getattr(module, "joins", False))
    given: list[Any] = parts if joins else [sum(parts[1:], parts[0])]
    if hasattr(module, "initial_state"):
        return module(tuple(given) if joins else given[0])[0]  # type: ignore[no-any-return]
    made, steps = None, given[0].shape[0]
    for here in _parts(given[0], 0):
        shown = [part[here] for part in given]
        found = module(*(part.flatten(0, 1) for part in shown)).unflatten(0, shown[0].shape[:2])
        made = found.new_empty((steps, *found.shape[1:])) if made is None else made
        made[here] = found
    assert made is not None
    return made
