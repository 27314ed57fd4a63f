"""ThresholdBalance: how much one spike of each neuron stands for, from the calibration data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..core.params import check
from ..errors import ParameterError, must
from ..layers.quantised import QuantisedReLU
from .draft import Draft, Node, Threshold
from .statistics import Activity

FLOOR = 1e-6
"""Thresholds below this share of the layer's largest are raised to the largest: such a channel is silent."""


@dataclass(frozen=True)
class ThresholdBalance:
    """theta = a percentile of the non-zero activations, per channel of maps and per neuron of vectors.

    percentile  100: the maximum, which loses nothing as T grows; 99.9: finer steps for the many, the few are clipped
    One streaming pass, without averages over batches. Diehl et al. 2015; Rueckauer et al. 2017.
    """

    percentile: float = 100.0

    def __post_init__(self) -> None:
        check(self, "percentile", above=0, at_most=100, unit="%")

    def __call__(self, draft: Draft) -> Draft:
        return balanced(draft, self._theta, histogram=self.percentile < 100)

    def _theta(self, node: Node, activity: Activity) -> Tensor:
        return activity.percentile(self.percentile)


def balanced(draft: Draft, theta_of: Callable[[Node, Activity], Tensor], *, histogram: bool) -> Draft:
    """The draft with a threshold for every neuron: theta_of(node, statistics of its activations) -> (C,).

    Thresholds stay below the ceilings that activations have (ReLU6); silent channels get the layer's largest. Quantised
    activations keep the thresholds they were trained with.
    """
    seen, ceilings = draft.observed or _activities(draft, histogram), draft.ceilings
    return draft.changed(*(
        replace(n, threshold=_threshold(n, *seen[n.name], theta_of, ceilings.get(n.name))) for n in draft.neurons()
    ))  # fmt: skip


def observed(draft: Draft) -> Draft:
    """The draft with its activations' statistics, for recipes that are tried one after the other: one pass for all."""
    return replace(draft, observed=_activities(draft, histogram=True))


def _activities(draft: Draft, histogram: bool) -> dict[str, tuple[Activity, int]]:
    """name -> (statistics, number of axes of one sample's activation)."""
    neurons = {neuron.name for neuron in draft.neurons()}
    seen: dict[str, tuple[Activity, int]] = {}
    with torch.no_grad():
        for x, count in draft.calibration.chunks():
            for node, value in draft.replay(x):
                if node.name in neurons:
                    fresh = Activity(value.shape[1], value.device, histogram)
                    seen.setdefault(node.name, (fresh, value.ndim - 1))[0].add(value[:count])
    return seen


def _threshold(
    node: Node, activity: Activity, axes: int, theta_of: Callable[[Node, Activity], Tensor], ceiling: float | None
) -> Threshold:
    trained = node.module.threshold if isinstance(node.module, QuantisedReLU) else None
    if trained is not None:
        theta = trained.detach().abs().reshape(-1).expand(len(activity.peak))
        return Threshold(_broadcast(theta, axes), activity.share_above(theta), float((activity.mean / theta).mean()), 0)
    theta = theta_of(node, activity)
    theta = theta if ceiling is None else theta.clamp(max=ceiling)
    largest = theta.max()
    if not bool(torch.isfinite(largest)):
        raise ParameterError(must(f"ann.{node.name}", "finite on the calibration data", f"{largest.item()}"))
    largest = torch.where(largest > 0, largest, torch.ones_like(largest))
    silent = theta <= FLOOR * largest
    theta = torch.where(silent, largest, theta)
    rate = float((activity.mean / theta).mean())
    return Threshold(_broadcast(theta, axes), activity.share_above(theta), rate, int(silent.sum()))


def _broadcast(theta: Tensor, axes: int) -> Tensor:
    """(C,) -> (C, 1, 1) for maps."""
    return theta.reshape(-1, *[1] * (axes - 1))
