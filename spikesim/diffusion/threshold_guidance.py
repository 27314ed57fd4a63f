"""Threshold guidance: a trained spiking network samples with thresholds that are a little off those it was trained with.

    theta' = factor theta      for all neurons, or layer by layer

Nothing is trained: a factor is tried and its pictures are judged. Cao et al., "Spiking diffusion models", arXiv 2408.16467,
section 4.3, whose sweep goes from 0.997 to 1.003. A reset by subtraction takes the new threshold; weights stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from ..binding import scaled
from ..core.params import number
from ..errors import GraphError, ParameterError, must, nearest
from ..network import Network
from ..neurons.base import Neuron


def with_thresholds(network: Network, factor: float | Mapping[str, float]) -> Network:
    """A network with thresholds times `factor` (of every layer, or of those named), which shares everything else.

    GraphError for a name that is no layer with thresholds, or where there is none; ParameterError for a factor that is not
    above 0, or takes a threshold to the membrane's rest.
    """
    layers = guided_layers(network)
    factors = dict(factor) if isinstance(factor, Mapping) else dict.fromkeys(layers, factor)
    made = {}
    for name, by in factors.items():
        if name not in layers:
            rule = "a layer with thresholds"
            raise GraphError(must("with_thresholds.factor", rule, name, nearest(name, layers)))
        number(f"with_thresholds.factor[{name}]", by, above=0)
        made[name] = scaled(layers[name], by, ("threshold",))
        rest, threshold = made[name]._buffers.get("rest"), made[name].state_dict()["threshold"]
        if rest is not None and bool((threshold <= rest).any()):
            rule = "so that the threshold stays above the membrane's rest"
            raise ParameterError(must(f"with_thresholds.factor[{name}]", rule, by))
    return network.replaced(made)


def guided_layers(network: Network) -> dict[str, nn.Module]:
    """The layers that have thresholds, by name in the order of execution; GraphError where there is none."""
    layers = {name: network.node(name) for name in network.order if _has_threshold(network.node(name))}
    if not layers:
        raise GraphError(must("with_thresholds.network", "one with neurons that have thresholds", "none"))
    return layers


def _has_threshold(module: nn.Module) -> bool:
    return isinstance(module, Neuron) and ("threshold" in module._buffers or "threshold" in module._parameters)
