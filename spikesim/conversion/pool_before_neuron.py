"""PoolBeforeNeuron: a max pool moves in front of the activation it follows."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from .draft import SPIKING, Draft


@dataclass(frozen=True)
class PoolBeforeNeuron:
    """max(relu(z)) = relu(max(z)): exact, and the spiking pool then compares summed currents instead of spikes.

    Done where the activation feeds nothing but the pool. A max pool anywhere else stays and pools what it is given
    over time (`CumulativeMaxPool2d`), which is exact in the limit too.
    """

    def __call__(self, draft: Draft) -> Draft:
        while pair := next(draft.chain(SPIKING, nn.MaxPool2d), None):
            activation, pool = pair
            draft = draft.swapped(activation.name, pool.name)
        return draft
