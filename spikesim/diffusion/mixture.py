"""A mixture of Gaussians and its exact denoiser: what samplers are measured against.

p(x_0) = sum_j w_j N(m_j, S_j);      q(x_k) = sum_j w_j N(sqrt(abar) m_j, C_j),   C_j = abar S_j + (1 - abar) I
score(x) = -sum_j r_j(x) C_j^-1 (x - sqrt(abar) m_j),   r_j the probability of component j given x
eps(x) = -sqrt(1 - abar) score(x)
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..core.seeds import Seeds
from ..errors import ParameterError, ShapeError, must
from .schedule import Schedule


class GaussianMixture:
    """A `Denoiser` in closed form. A condition (B,) int64 is a component, or -1 for all of them.

    means (J, C, H, W);  covariances (J, d, d) with d = C H W;  weights (J,) above 0, scaled to a sum of 1
    schedule   the one whose times it is asked with
    """

    def __init__(self, means: Tensor, covariances: Tensor, weights: Tensor, schedule: Schedule) -> None:
        size = means[0].numel()
        if means.ndim != 4 or covariances.shape != (len(means), size, size) or weights.shape != means.shape[:1]:
            got = f"{tuple(means.shape)}, {tuple(covariances.shape)}, {tuple(weights.shape)}"
            raise ShapeError(must("GaussianMixture", "(J, C, H, W), (J, d, d), (J,)", got))
        self.means, self.covariances, self.schedule = means.double(), covariances.double(), schedule
        self.values, self.vectors = torch.linalg.eigh(self.covariances)
        if self.values.min() < 0 or not bool((weights > 0).all()):
            rule = "covariances without negative eigenvalues and weights above 0"
            raise ParameterError(must("GaussianMixture", rule, f"{float(self.values.min()):g}, {weights.tolist()}"))
        self.weights = weights.double() / weights.double().sum()
        self._alphas_bar = torch.as_tensor(schedule.alphas_bar)
        self._noise_variances = torch.as_tensor(schedule.noise_variances)

    def __call__(self, x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        t = t.cpu()  # float64 on the CPU, wherever x is
        kept, added = self._alphas_bar[t][:, None, None], self._noise_variances[t][:, None, None]
        away = x.to("cpu", torch.float64).flatten(1)[:, None] - kept.sqrt() * self.means.flatten(1)
        along = torch.einsum("bjd,jde->bje", away, self.vectors)
        variances = kept * self.values + added
        logs = self.weights.log() - 0.5 * (along.square() / variances + variances.log()).sum(2)
        if condition is not None:
            asked = condition.cpu()[:, None]
            other = (asked >= 0) & (asked != torch.arange(len(self.weights)))
            logs = logs.masked_fill(other, -torch.inf)
        pulled = torch.softmax(logs, 1)[..., None] * along / variances
        back = torch.einsum("bje,jde->bd", pulled, self.vectors)
        return (added[:, 0].sqrt() * back).view(x.shape).to(x)

    def draw(self, count: int, seeds: Seeds) -> tuple[Tensor, np.ndarray]:
        """(pictures (count, C, H, W) float64, their components (count,))."""
        generator = seeds.generator()
        labels = generator.choice(len(self.weights), count, p=self.weights.numpy())
        normal = torch.as_tensor(generator.standard_normal((count, self.values.shape[1])))
        spread = torch.einsum("bde,be->bd", self.vectors[labels], normal * self.values[labels].sqrt())
        return self.means[labels] + spread.view(count, *self.means.shape[1:]), labels
