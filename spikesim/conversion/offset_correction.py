"""OffsetCorrection: neurons that find the spikes they owe, or gave too many, in a first presentation."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..core.params import check
from .draft import Draft, NeuronKind


@dataclass(frozen=True)
class OffsetCorrection:
    """Every activation becomes a `CorrectedIF`: binary spikes, `presteps` steps before the ones that count.

    The T of a run includes them: presteps = 8 needs T = 16 for 8 steps that count. Constant inputs only.
    residual  True: the first presentation only tells which neurons stay silent (SRP, Hao et al., AAAI 2023)
    Hao et al., "Bridging the gap between ANNs and SNNs by calibrating offset spikes", ICLR 2023 (COS).
    """

    presteps: int = 8
    residual: bool = False

    def __post_init__(self) -> None:
        check(self, "presteps", at_least=1, integer=True, unit="steps")

    def __call__(self, draft: Draft) -> Draft:
        kind = NeuronKind(presteps=self.presteps, residual=self.residual)
        return draft.changed(*(replace(n, neuron=kind) for n in draft.neurons()))
