"""SignedSpikes: neurons that can take a spike back."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .draft import Draft


@dataclass(frozen=True)
class SignedSpikes:
    """Every activation becomes a `SignedIF`, whose total is right whatever the order its drive arrived in.

    Unsigned neurons keep spikes that later input shows to have been too many (unevenness): harmless for a constant
    drive, the largest error on recordings of a moving camera. Hu et al. 2023 (Fast-SNN).
    """

    def __call__(self, draft: Draft) -> Draft:
        return draft.changed(*(replace(n, neuron=replace(n.neuron, signed=True)) for n in draft.neurons()))
