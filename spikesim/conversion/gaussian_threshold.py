"""GaussianThreshold: the threshold that errs least where all that is known of an activation is two numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.params import check
from .draft import Draft, Node
from .mse_threshold import least_error
from .statistics import Activity
from .threshold_balance import balanced

POINTS = 512
"""Quantiles of the normal distribution that stand for it."""


@dataclass(frozen=True)
class GaussianThreshold:
    """theta of `MseThreshold` for a = relu(z), z ~ N(mu, sigma^2) with the channel's share of positive values and mean:

        Phi(mu / sigma) = P(a > 0),      mu Phi(mu / sigma) + sigma phi(mu / sigma) = E[a]

    Steadier than the histogram where calibration inputs are few. Huang et al. 2025 assume the same.
    """

    steps: int

    def __post_init__(self) -> None:
        check(self, "steps", at_least=1, integer=True, unit="steps")

    def __call__(self, draft: Draft) -> Draft:
        return balanced(draft, self._theta, histogram=True)

    def _theta(self, node: Node, activity: Activity) -> Tensor:
        ratio = torch.special.ndtri(activity.positive_share().clamp(1e-4, 1 - 1e-4))
        density = torch.exp(-(ratio**2) / 2) / (2 * torch.pi) ** 0.5
        sigma = activity.mean / (ratio * torch.special.ndtr(ratio) + density)
        places = (torch.arange(POINTS, dtype=torch.float64, device=sigma.device) + 0.5) / POINTS
        values = (sigma[:, None] * (ratio[:, None] + torch.special.ndtri(places))).clamp(min=0)
        peak = values.amax(1).to(activity.peak.dtype)
        return least_error(values, torch.ones_like(values), peak, self.steps * node.neuron.peak)
