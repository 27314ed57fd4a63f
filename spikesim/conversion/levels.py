"""Levels and Burst: neurons that may send more than one spike in a step."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..core.params import check
from .draft import Draft


@dataclass(frozen=True)
class Burst:
    """Every activation may send up to `peak` spikes in a step, each worth theta / peak.

    Li & Zeng, "Efficient and accurate conversion of spiking neural network with burst spikes", IJCAI 2022.
    """

    peak: int = 3

    def __post_init__(self) -> None:
        check(self, "peak", at_least=1, integer=True, unit="spikes per step")

    def __call__(self, draft: Draft) -> Draft:
        return draft.changed(*(replace(n, neuron=replace(n.neuron, peak=self.peak)) for n in draft.neurons()))


@dataclass(frozen=True)
class Levels:
    """Every activation gets n thresholds in powers of two: up to 2^n - 1 spikes in a step, on n event lines.

    One step then says what 2^n - 1 steps of a single threshold say; the price is n binary lines per neuron (a 4-bit
    payload for n = 4), and reports say so. Huang et al. 2024 (multi-threshold neurons).
    """

    levels: int = 4

    def __post_init__(self) -> None:
        check(self, "levels", at_least=1, at_most=16, integer=True, unit="thresholds")

    def __call__(self, draft: Draft) -> Draft:
        return Burst(2**self.levels - 1)(draft)
