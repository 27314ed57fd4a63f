"""InitialPotential: where every membrane starts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..core.params import check
from .draft import Draft


@dataclass(frozen=True)
class InitialPotential:
    """v(0) = share theta. One half makes the spike count a rounded instead of a floored z T / theta.

    Bu et al., "Optimized potential initialization", AAAI 2022.
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        check(self, "share", at_least=0, at_most=1, unit="thresholds")

    def __call__(self, draft: Draft) -> Draft:
        return draft.changed(*(replace(neuron, initial=self.share) for neuron in draft.neurons()))
