"""A network of an ANN's layers as the module that conversion reads: one step, without time."""

from __future__ import annotations

from torch import Tensor, nn

from ..errors import ConversionError, must
from ..graph import INPUT, joins
from ..network import Network


class NetworkModule(nn.Module):
    """x (B, *shape) -> what a run of one step reads out. Its layers are the network's own, under its own names.

    ConversionError where a node has state (a neuron) or an edge a delay.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        for name, module in network.nodes.items():
            if hasattr(module, "initial_state"):
                raise ConversionError(must(f"ann.{name}", "a layer without state", type(module).__name__))
        if any(edge.delay for edge in network.edges):
            raise ConversionError(must("ann.edges", "without delay", "a delayed one"))
        for name, child in network._modules.items():
            self._modules[name] = child  # not add_module: a layer may be called "output"
        self._layers = network.nodes
        self._sources = {name: [e.source for e in network.edges if e.target == name] for name in network.order}
        self._output = network.output

    def forward(self, x: Tensor) -> Tensor:
        values = {INPUT: x}
        for name, sources in self._sources.items():
            module, parts = self._layers[name], [values[source] for source in sources]
            values[name] = module(*parts) if joins(module) else module(sum(parts[1:], parts[0]))
        return values[self._output]
