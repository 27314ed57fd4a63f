"""LightCalibration and PotentialCalibration: what neurons say on average is brought to what the ANN's activations are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..core.params import check
from ..layers.quantised import QuantisedReLU
from ..neurons import Neuron
from .assembly import assemble
from .draft import Draft, Node
from .layerwise import layer_by_layer, mean_spikes, spikes_of

SAMPLES = 128
"""Calibration inputs that networks are walked through with."""

BUDGET = 2**26
"""Numbers of the largest activation over all steps and samples of a calibration: 256 MB."""


@dataclass(frozen=True)
class Walk:
    """Abstract: a step that walks the network over T = `steps` with up to `samples` calibration inputs. ParameterError."""

    steps: int
    samples: int = SAMPLES

    def __post_init__(self) -> None:
        check(self, "steps", at_least=1, integer=True, unit="steps")
        check(self, "samples", at_least=1, integer=True, unit="samples")


@dataclass(frozen=True)
class LightCalibration(Walk):
    """current += mean over samples and pixels of (a - unit sum_t s_t / T), per channel, layer after layer.

    a the ANN's activation, s the spikes that the corrected layers before give, unit what one stands for. The current
    becomes part of the biases. It suits T = `steps` of a constant input.
    trained  whether neurons in place of quantised activations are corrected too: their ANN was trained to lose nothing
    Li et al., "A free lunch from ANN", ICML 2021 (light pipeline).
    """

    trained: bool = True

    def __call__(self, draft: Draft) -> Draft:
        found: dict[str, Tensor] = {}
        kept = () if self.trained else {n.name for n in draft.neurons() if isinstance(n.module, QuantisedReLU)}

        def adjusted(name: str, neuron: Neuron, drive: Tensor, wanted: Tensor, unit: Tensor) -> Tensor:
            if name in kept:
                return spikes_of(neuron, drive)
            found[name] = channel_mean(_missing(neuron, drive, wanted, unit))
            return spikes_of(neuron, drive, added=found[name] * _scale(neuron, unit))

        walked(draft, self.steps, self.samples, adjusted)
        return with_currents(draft, found)


@dataclass(frozen=True)
class PotentialCalibration(Walk):
    """v(0) += T mean over samples of (a - unit sum_t s_t / T) per neuron, layer after layer; same a, s, unit.

    Li et al., "A free lunch from ANN", ICML 2021 (advanced pipeline, potential correction).
    """

    def __call__(self, draft: Draft) -> Draft:
        found: dict[str, Tensor] = {}

        def adjusted(name: str, neuron: Neuron, drive: Tensor, wanted: Tensor, unit: Tensor) -> Tensor:
            found[name] = self.steps * _missing(neuron, drive, wanted, unit).mean(0)
            return spikes_of(neuron, drive, more_v=found[name] * _scale(neuron, unit))

        walked(draft, self.steps, self.samples, adjusted)
        nodes = [n for n in draft.neurons() if n.name in found]
        return draft.changed(*(replace(n, initial=n.initial + found[n.name] / _unit(n)) for n in nodes))


def walked(
    draft: Draft, steps: int, samples: int, adjusted: Callable[[str, Any, Tensor, Tensor, Tensor], Tensor]
) -> None:
    """Walk the network of the draft: adjusted(name, neuron, drive (T, B, *shape), the ANN's activation (B, *shape), unit)
    -> spikes (T, B, *shape), which go on; unit is what one spike of the draft's neuron stands for."""
    nodes = {node.name: node for node in draft.neurons()}
    x = draft.calibration.sample(samples)
    largest = max(value[0].numel() for value in draft.values(x[:1]).values())
    x = x[: max(1, BUDGET // (largest * steps))]
    wanted = {node.name: value for node, value in draft.replay(x) if node.name in nodes}

    def at_neuron(name: str, neuron: Any, drive: Tensor) -> Tensor:
        return adjusted(name, neuron, drive, wanted[name], _unit(nodes[name]))

    with torch.no_grad():
        layer_by_layer(assemble(draft, ""), x.expand(steps, *x.shape), at_neuron)


def channel_mean(values: Tensor) -> Tensor:
    """Means over samples and pixels: (B, C, ...) -> (C, 1, ...)."""
    return values.mean((0, *range(2, values.ndim))).reshape(-1, *[1] * (values.ndim - 2))


def with_currents(draft: Draft, found: Mapping[str, Tensor]) -> Draft:
    """The draft with constant currents added to its neurons, by name."""
    nodes = [n for n in draft.neurons() if n.name in found]
    return draft.changed(*(replace(n, current=_sum(n.current, found[n.name])) for n in nodes))


def _missing(neuron: Any, drive: Tensor, wanted: Tensor, unit: Tensor) -> Tensor:
    """a - unit sum_t s_t / T, (B, *shape)."""
    return wanted - unit * mean_spikes(neuron, drive)


def _scale(neuron: Any, unit: Tensor) -> Tensor:
    """From the ANN's units to the neuron's."""
    return neuron.threshold / unit  # type: ignore[no-any-return]


def _unit(node: Node) -> Tensor:
    """What one spike of a node stands for."""
    assert node.threshold is not None
    return node.threshold.theta / node.neuron.peak


def _sum(before: Tensor | None, more: Tensor) -> Tensor:
    return more if before is None else before + more
