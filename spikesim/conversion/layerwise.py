"""Running a converted network layer by layer over all steps, with a say at every neuron: what calibrations need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ..network import INPUT, Network
from ..neurons import Neuron

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


def _run(module: nn.Module, parts: list[Tensor]) -> Tensor:
    joins = bool(getattr(module, "joins", False))
    given: list[Any] = parts if joins else [sum(parts[1:], parts[0])]
    if hasattr(module, "initial_state"):
        return module(tuple(given) if joins else given[0])[0]  # type: ignore[no-any-return]
    shape = given[0].shape[:2]
    return module(*(part.flatten(0, 1) for part in given)).unflatten(0, shape)  # type: ignore[no-any-return]
