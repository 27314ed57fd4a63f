"""Headroom: thresholds above the calibration maximum, so that a neuron can catch up after a burst."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..core.params import check
from .draft import Draft, Node


@dataclass(frozen=True)
class Headroom:
    """theta <- factor theta.

    A neuron emits at most one spike per step. With theta at the largest activation, the neuron that reaches it must
    spike at every step; where its drive comes in bursts it falls behind and never catches up, more so in each layer.
    A factor f lets it spike f times as fast as its mean, at the price of coarser steps: like T / f steps of a constant
    drive. Recordings of a moving camera come in bursts.
    """

    factor: float = 2.0

    def __post_init__(self) -> None:
        check(self, "factor", at_least=1)

    def __call__(self, draft: Draft) -> Draft:
        ceilings = draft.ceilings
        return draft.changed(*(self._raised(n, ceilings.get(n.name, float("inf"))) for n in draft.neurons()))

    def _raised(self, node: Node, ceiling: float) -> Node:
        found = node.threshold
        if found is None:
            return node
        return replace(
            node,
            threshold=replace(
                found, theta=(self.factor * found.theta).clamp(max=ceiling), rate=found.rate / self.factor
            ),
        )
