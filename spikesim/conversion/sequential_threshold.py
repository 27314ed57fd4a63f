"""SequentialThreshold: thresholds and biases chosen on what neurons really receive, layer after layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..core.params import check
from .calibrate import SAMPLES, channel_mean, walked, with_currents
from .draft import Draft

FACTORS = (1.0, 0.6, 0.8, 1.25)
"""Multiples of the threshold that are tried per channel."""


@dataclass(frozen=True)
class SequentialThreshold:
    """theta <- f theta and current += m per channel, for the f of least error at T = `steps`, layer after layer:

        m_f = mean over samples and pixels of (a - f unit sum_t s_t / T)
        f   = argmin of the mean square of a - f unit sum_t s_t / T, the current m_f added

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
            def said(factor: Tensor | float, current: Tensor | float) -> Tensor:
                made = kinds[name].made(neuron.threshold * factor, neuron.initial * factor)
                return factor * made(drive + current * (neuron.threshold / unit))[0]  # type: ignore[no-any-return]

            least = torch.full_like(channel_mean(wanted), torch.inf)
            best, current = torch.ones_like(least), torch.zeros_like(least)
            for factor in FACTORS:
                mean = channel_mean(wanted - unit * said(factor, 0.0).mean(0))
                error = channel_mean((wanted - unit * said(factor, mean).mean(0)) ** 2)
                better = error < least
                least, current = torch.where(better, error, least), torch.where(better, mean, current)
                best = torch.where(better, torch.full_like(best, factor), best)
            factors[name], currents[name] = best, current
            return said(best, current)

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
