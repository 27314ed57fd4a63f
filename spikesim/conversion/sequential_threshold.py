"""SequentialThreshold: thresholds and biases chosen on what neurons really receive, layer after layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..core.params import check
from .calibrate import SAMPLES, channel_mean, walked, with_currents
from .draft import Draft

FACTORS = (1.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.25, 1.5)
"""Multiples of the threshold that are tried per channel."""


@dataclass(frozen=True)
class SequentialThreshold:
    """theta <- f theta and current += m per channel, for the f of least error at T = `steps`, layer after layer:

        f = argmin over samples and pixels of the variance of e_f,    e_f = a - f unit sum_t s_t / T
        m = mean of e_f

    a is the ANN's activation; the spikes s are those that the neuron of threshold f theta sends when the layers before,
    already changed, drive it. `MseThreshold` knows the ANN's activations alone: neither how coarse nor how uneven the
    drive of a deep layer is at small T. In the manner of Li et al., "A free lunch from ANN", ICML 2021.
    """

    steps: int
    samples: int = SAMPLES

    def __post_init__(self) -> None:
        check(self, "steps", at_least=1, integer=True, unit="steps")
        check(self, "samples", at_least=1, integer=True, unit="samples")

    def __call__(self, draft: Draft) -> Draft:
        currents: dict[str, Tensor] = {}
        factors: dict[str, Tensor] = {}
        kinds = {node.name: node.neuron for node in draft.neurons()}

        def adjusted(name: str, neuron: Any, drive: Tensor, wanted: Tensor, unit: Tensor) -> Tensor:
            def missing(factor: Tensor | float) -> tuple[Tensor, Any]:
                made = kinds[name].made(neuron.threshold * factor, neuron.initial * factor)
                return wanted - factor * unit * made(drive)[0].mean(0), made

            least, best = None, torch.ones_like(channel_mean(wanted))
            for factor in FACTORS:
                off, _ = missing(factor)
                error = channel_mean((off - channel_mean(off)) ** 2)
                better = torch.zeros_like(error, dtype=torch.bool) if least is None else error < least
                least = error if least is None else torch.where(better, error, least)
                best = torch.where(better, torch.full_like(best, factor), best)
            off, made = missing(best)
            factors[name], currents[name] = best, channel_mean(off)
            return best * made(drive + currents[name] * (neuron.threshold / unit))[0]  # type: ignore[no-any-return]

        walked(draft, self.steps, self.samples, adjusted)
        nodes = [n for n in draft.neurons() if n.name in factors and n.threshold is not None]
        changed = []
        for node in nodes:
            assert node.threshold is not None
            factor = factors[node.name]
            rate = node.threshold.rate / float(factor.mean())
            theta = replace(node.threshold, theta=node.threshold.theta * factor, rate=rate)
            changed.append(replace(node, threshold=theta))
        return with_currents(draft.changed(*changed), currents)
