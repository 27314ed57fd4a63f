"""Headroom: thresholds above the calibration maximum, so that a neuron can catch up after a burst."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..core.params import check
from ..layers.quantised import QuantisedReLU
from .draft import Draft, Node


@dataclass(frozen=True)
class Headroom:
    """theta <- factor theta.

    A neuron emits at most one spike per step. With theta at the largest activation, the neuron that reaches it must
    spike at every step: what comes late, because deep layers are silent at first or because the drive comes in bursts,
    it never catches up with, more so in each layer. A factor f lets it spike f times as fast as its mean, at the price
    of coarser steps: like T / f steps of a constant drive.

    A backlog of k spikes is gone within k / (f - 1) steps. 1.02 is part of every recipe where T is not known, so that
    the error falls as 1 / T (docs/conversion.md). Recordings of a moving camera come in bursts and need more.

    Thresholds that an activation was trained with stay, and those of activations with a ceiling stay below it: there
    the threshold is what clips.
    """

    factor: float = 2.0

    def __post_init__(self) -> None:
        check(self, "factor", at_least=1)

    def __call__(self, draft: Draft) -> Draft:
        ceilings = draft.ceilings
        return draft.changed(*(self._raised(n, ceilings.get(n.name, float("inf"))) for n in draft.neurons()))

    def _raised(self, node: Node, ceiling: float) -> Node:
        found = node.threshold
        if found is None or isinstance(node.module, QuantisedReLU):
            return node
        return replace(
            node,
            threshold=replace(
                found, theta=(self.factor * found.theta).clamp(max=ceiling), rate=found.rate / self.factor
            ),
        )
