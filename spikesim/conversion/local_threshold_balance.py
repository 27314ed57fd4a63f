"""LocalThresholdBalance: thresholds that grow from zero by what they clip."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.params import check
from .draft import Draft, Node
from .statistics import Activity
from .threshold_balance import balanced


@dataclass(frozen=True)
class LocalThresholdBalance:
    """theta <- theta + 2 rate E[(a - theta)_+], from 0, `updates` times: a maximum that stops before the last outliers.

    The expectation is over the histogram of the calibration activations, per channel, not over batches; activations are
    the ANN's own, not clipped by the layers before. Bu et al., CVPR 2025.
    """

    updates: int = 1000
    rate: float = 0.5

    def __post_init__(self) -> None:
        check(self, "updates", at_least=1, integer=True)
        check(self, "rate", above=0, at_most=1)

    def __call__(self, draft: Draft) -> Draft:
        return balanced(draft, self._theta, histogram=True)

    def _theta(self, node: Node, activity: Activity) -> Tensor:
        values = activity.values()
        share = activity.counts() / max(activity.seen, 1)
        theta = torch.zeros_like(activity.peak, dtype=torch.float64)
        for _ in range(self.updates):
            theta = theta + 2 * self.rate * (share * (values - theta[:, None]).clamp(min=0)).sum(1)
        return theta.to(activity.peak.dtype)
