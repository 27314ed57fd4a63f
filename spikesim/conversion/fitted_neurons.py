"""FittedNeurons: threshold and first membrane of every channel, where unsigned spikes err least on their real drive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..layers.quantised import QuantisedReLU
from .calibrate import Walk, channel_mean, walked, with_currents
from .draft import Draft, Node, Threshold
from .layerwise import mean_spikes, spikes_of

SHARES = (-0.25, 0.0, 0.25, 0.5)
"""First membranes that are tried, as shares of the threshold."""

SCALES = (0.85, 1.0, 1.2)
"""Thresholds that are tried then, as multiples of what they were."""

TRIED = 64
"""Calibration inputs that they are tried on."""

Said = Callable[[Tensor, Tensor], Tensor]
"""(scale, share), each (C, 1, ...) -> mean spikes of the tried inputs in the ANN's units, (B, *shape)."""


@dataclass(frozen=True)
class FittedNeurons(Walk):
    """theta, v(0) and current of every channel, layer after layer:

        (theta, v(0)) = argmin Var(a - theta mean_t s_t)  over samples and pixels,   then   current += E[a - theta mean_t s_t]

    a the ANN's activation, s the spikes at the drive that the fitted layers before give. An unsigned neuron keeps every
    spike it was driven to too early, so a first membrane of theta / 2, which suits a constant drive, lets silent neurons
    speak in deep layers; a lower one errs less, and a constant current makes up for what it lacks. First v(0) is tried,
    then theta. Trained thresholds (quantised activations) stay. It suits T = `steps` of a constant input.
    After Li et al., "A free lunch from ANN", ICML 2021, whose thresholds are those of a constant drive.
    """

    def __call__(self, draft: Draft) -> Draft:
        nodes, ceilings = {n.name: n for n in draft.neurons()}, draft.ceilings
        fitted: dict[str, Node] = {}
        currents: dict[str, Tensor] = {}

        def adjusted(name: str, neuron: Any, drive: Tensor, wanted: Tensor, unit: Tensor) -> Tensor:
            node = nodes[name]

            def made(scale: Tensor, share: Tensor) -> Any:
                return node.neuron.made(neuron.threshold * scale, neuron.threshold * scale * share)

            def said(scale: Tensor, share: Tensor) -> Tensor:
                return mean_spikes(made(scale, share), drive[:, :TRIED]) * (unit * scale)

            scale, share = _least(said, wanted[:TRIED], tuple(_scales(node, ceilings.get(name))))
            best = made(scale, share)
            lacking = channel_mean(wanted - unit * scale * mean_spikes(best, drive))
            fitted[name], currents[name] = _with(node, scale, share, wanted), lacking
            # what leaves stays in units of the threshold as it was, which the layers after have taken in
            return spikes_of(best, drive, added=lacking * (neuron.threshold / unit)).mul_(scale)

        walked(draft, self.steps, self.samples, adjusted)
        return with_currents(draft.changed(*fitted.values()), currents)


def _scales(node: Node, ceiling: float | None) -> Iterator[float]:
    """Multiples of a node's thresholds that may be tried: none but 1 of trained ones, none above a ceiling."""
    assert node.threshold is not None
    if isinstance(node.module, QuantisedReLU):
        yield 1.0
        return
    largest = float(node.threshold.theta.max())
    yield from (s for s in SCALES if s <= 1 or ceiling is None or s * largest <= ceiling)


def _least(said: Said, wanted: Tensor, scales: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """Per channel the scale and the share of least variance of what is missing: the share first, then the scale."""
    axes = [1] * (wanted.ndim - 2)
    full = [wanted.shape[1], *axes]

    def spread(scale: Tensor, share: Tensor) -> Tensor:
        missing = wanted - said(scale, share)
        return channel_mean((missing - channel_mean(missing)) ** 2)

    one = torch.ones(full, device=wanted.device)
    share = _argmin([(k * one, spread(one, k * one)) for k in SHARES])
    scale = _argmin([(k * one, spread(k * one, share)) for k in scales]) if len(scales) > 1 else one
    return scale, share


def _argmin(tried: list[tuple[Tensor, Tensor]]) -> Tensor:
    """(C, 1, ...): of the pairs (value, error) the value of least error, channel by channel; the last of equals."""
    (best, least), *rest = reversed(tried)
    for value, error in rest:
        best, least = torch.where(error < least, value, best), torch.minimum(error, least)
    return best


def _with(node: Node, scale: Tensor, share: Tensor, activation: Tensor) -> Node:
    """The node with its threshold scaled and its membrane starting at `share` of it."""
    before = node.threshold
    assert before is not None
    theta = before.theta * scale
    active = activation > 0
    clipped = float((activation > theta).sum()) / max(int(active.sum()), 1)
    rate = float((activation / theta).mean())
    return replace(node, threshold=Threshold(theta, clipped, rate, before.silent), initial=share)
