"""How noise grows over a diffusion's steps, and what follows from it. Everything is float64.

    q(x_k | x_(k-1)) = N(sqrt(1 - beta_k) x_(k-1), beta_k)
    q(x_k | x_0)     = N(sqrt(abar_k) x_0, 1 - abar_k),                 abar_k = product of 1 - beta_j over j <= k
    q(x_(k-1) | x_k, x_0) = N(sqrt(abar_(k-1)) beta_k / (1 - abar_k) x_0
                              + sqrt(1 - beta_k) (1 - abar_(k-1)) / (1 - abar_k) x_k,   v_k)
    v_k = beta_k (1 - abar_(k-1)) / (1 - abar_k)

Steps are counted from 0, so that papers' step t is k = t - 1, and abar before step 0 is 1. A schedule of fewer steps is again
a schedule: some of the steps' abar, with the beta that lead from one to the next, and the times that the denoiser is told.

Ho et al., NeurIPS 2020 (linear); Nichol and Dhariwal, ICML 2021 (cosine, fewer steps); Song et al., ICLR 2021 (spacings).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..core.params import check, number
from ..errors import ParameterError, must


@dataclass(frozen=True, eq=False)
class Schedule:
    """Noise of every step.

    betas   (n,) in (0, 1)
    times   (n,) int64, rising: what the denoiser is told at each step. Left out: 0 ... n - 1
    """

    betas: np.ndarray
    times: np.ndarray = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        betas = np.array(self.betas, np.float64)
        times = np.arange(len(betas)) if self.times is None else np.array(self.times)
        if betas.ndim != 1 or not len(betas) or not ((betas > 0) & (betas < 1)).all():
            raise ParameterError(must("Schedule.betas", "(n,) numbers above 0 and below 1", betas))
        if times.shape != betas.shape or times[0] < 0 or (np.diff(times) <= 0).any() or times.dtype.kind not in "iu":
            raise ParameterError(must("Schedule.times", f"({len(betas)},) rising whole numbers at least 0", times))
        object.__setattr__(self, "betas", betas)
        object.__setattr__(self, "times", times.astype(np.int64))

    @property
    def steps(self) -> int:
        """n."""
        return len(self.betas)

    @cached_property
    def alphas_bar(self) -> np.ndarray:
        """(n,) abar: the share of the picture's variance that is left after each step."""
        return np.exp(np.cumsum(np.log1p(-self.betas)))

    @cached_property
    def before(self) -> np.ndarray:
        """(n,) abar before each step; 1 before the first."""
        return np.concatenate([[1.0], self.alphas_bar[:-1]])

    @cached_property
    def noise_variances(self) -> np.ndarray:
        """(n,) 1 - abar, without the cancellation."""
        return -np.expm1(np.cumsum(np.log1p(-self.betas)))

    @cached_property
    def variances_before(self) -> np.ndarray:
        """(n,) 1 - abar before each step; 0 before the first."""
        return np.concatenate([[0.0], self.noise_variances[:-1]])

    @cached_property
    def snr(self) -> np.ndarray:
        """(n,) abar / (1 - abar)."""
        return self.alphas_bar / self.noise_variances

    @cached_property
    def log_snr(self) -> np.ndarray:
        """(n,) lambda = log(sqrt(abar) / sqrt(1 - abar)), half the logarithm of `snr`, as Lu et al. count it."""
        return 0.5 * np.log(self.snr)

    @cached_property
    def posterior_variances(self) -> np.ndarray:
        """(n,) v_k; 0 at the first step."""
        return self.betas * self.variances_before / self.noise_variances

    def posterior_mean(self, x0: Tensor, x: Tensor, step: int) -> Tensor:
        """The mean of q(x_(k-1) | x_k, x_0) at k = `step`."""
        beta, rest = self.betas[step], self.noise_variances[step]
        of_x0 = float(np.sqrt(self.before[step]) * beta / rest)
        return of_x0 * x0 + float(np.sqrt(1 - beta) * self.variances_before[step] / rest) * x

    def noised(self, x0: Tensor, step: int | Tensor, noise: Tensor) -> Tensor:
        """x_k of x_0 (B, ...) at k = `step`, or a step for each (B,) int64, with this standard normal noise; -1, for all alike,
        is before the first step: x_0."""
        if isinstance(step, Tensor):
            kept, rest = (
                torch.as_tensor(np.sqrt(values), dtype=x0.dtype, device=x0.device)[step].reshape(
                    -1, *[1] * (x0.ndim - 1)
                )
                for values in (self.alphas_bar, self.noise_variances)
            )
            return kept * x0 + rest * noise
        number("Schedule.noised.step", step, at_least=-1, at_most=self.steps - 1, integer=True)
        if step < 0:
            return x0
        return float(np.sqrt(self.alphas_bar[step])) * x0 + float(np.sqrt(self.noise_variances[step])) * noise

    def fewer(self, steps: int, spacing: Spacing | None = None) -> Schedule:
        """A schedule of some of the steps, by `uniform`, `leading`, `quadratic` or `even_log_snr` (or one's own spacing)."""
        number(
            "Schedule.steps", steps, at_least=1, at_most=self.steps, integer=True,
            remedy=f"fewer() picks among the {self.steps} that the denoiser learned",
        )  # fmt: skip
        kept = (spacing or uniform)(self, steps)
        logs = np.diff(np.cumsum(np.log1p(-self.betas))[kept], prepend=0.0)
        return Schedule(-np.expm1(logs), self.times[kept])


Spacing = Callable[[Schedule, int], np.ndarray]
"""(schedule, n) -> (n,) rising positions of the steps that are kept."""


def uniform(schedule: Schedule, steps: int) -> np.ndarray:
    """The last of n equal parts each: N/n - 1, 2N/n - 1, ..., N - 1. Sampling starts where training knew pure noise."""
    return np.arange(1, steps + 1) * schedule.steps // steps - 1


def leading(schedule: Schedule, steps: int) -> np.ndarray:
    """The first of n equal parts each: 0, N/n, ..., N - N/n: what DDIM's authors publish figures of."""
    return np.arange(steps) * (schedule.steps // steps)


def quadratic(schedule: Schedule, steps: int) -> np.ndarray:
    """Proportional to the square of the count, ending at the last: closer where there is little noise."""
    return _rising((schedule.steps - 1) * (np.arange(1, steps + 1) / steps) ** 2, schedule.steps)


def even_log_snr(schedule: Schedule, steps: int) -> np.ndarray:
    """Even in `log_snr` from the first to the last step, as far as there are steps."""
    wanted = np.linspace(schedule.log_snr[0], schedule.log_snr[-1], steps) if steps > 1 else schedule.log_snr[-1:]
    found = np.interp(-wanted, -schedule.log_snr, np.arange(schedule.steps))
    return _rising(found, schedule.steps)


def _rising(wanted: np.ndarray, below: int) -> np.ndarray:
    """Rounded to different steps below `below`; what falls together is moved up, as far as there is room."""
    count = np.arange(len(wanted))
    moved = np.maximum.accumulate(np.rint(wanted).astype(np.int64) - count)
    return np.clip(moved, 0, below - len(wanted)) + count


@dataclass(frozen=True)
class LinearBetas:
    """beta from `first` to `last` in equal steps. Ho et al. 2020: 1000 steps, 1e-4 to 0.02."""

    steps: int = 1000
    first: float = 1e-4
    last: float = 0.02

    def __post_init__(self) -> None:
        check(self, "steps", at_least=1, integer=True)
        check(self, "first", above=0, below=1)
        check(self, "last", at_least=self.first, below=1)

    def schedule(self) -> Schedule:
        """The schedule."""
        return Schedule(np.linspace(self.first, self.last, self.steps))


@dataclass(frozen=True)
class CosineBetas:
    """abar(u) = f(u) / f(0), f(u) = cos^2((u + offset) / (1 + offset) pi / 2), u the share of steps done; beta at most `largest`.

    Nichol and Dhariwal 2021: offset 0.008, largest 0.999.
    """

    steps: int = 1000
    offset: float = 0.008
    largest: float = 0.999

    def __post_init__(self) -> None:
        check(self, "steps", at_least=1, integer=True)
        check(self, "offset", at_least=0)
        check(self, "largest", above=0, below=1)

    def schedule(self) -> Schedule:
        """The schedule."""
        u = np.arange(self.steps + 1) / self.steps
        f = np.cos((u + self.offset) / (1 + self.offset) * np.pi / 2) ** 2
        return Schedule(np.minimum(1 - f[1:] / f[:-1], self.largest))
