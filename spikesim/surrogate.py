"""Surrogate gradients: the spike is a step forward and a chosen slope backward.

    s = H(u) = 1 where u >= 0,      ds/du := slope(u),      u = membrane - threshold

Each slope is written once, with coefficients instead of numbers (a literal would widen float32), and serves
numpy, torch and the backward kernels. A surrogate is a frozen object; its `code` selects the row loop that
`slope_row` runs, so that the choice stays outside the loop over neurons.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch

from .core.kernel import inlined, kernel
from .core.params import check


class Slope(NamedTuple):
    """Coefficients of a slope in the dtype of the membrane: peak height, inverse width, and the constants 0 and 1."""

    height: Any
    rate: Any
    zero: Any
    one: Any


def atan(u, c, where, exp):  # type: ignore[no-untyped-def]
    """height / (1 + (rate u)^2)"""
    return c.height / (c.one + (c.rate * u) * (c.rate * u))


def rectangular(u, c, where, exp):  # type: ignore[no-untyped-def]
    """height where |u| rate < 1, else 0"""
    return where(c.rate * abs(u) < c.one, c.height, c.zero)


def triangular(u, c, where, exp):  # type: ignore[no-untyped-def]
    """height max(0, 1 - rate |u|)"""
    d = c.one - c.rate * abs(u)
    return where(d > c.zero, c.height * d, c.zero)


def fast_sigmoid(u, c, where, exp):  # type: ignore[no-untyped-def]
    """height / (1 + rate |u|)^2, also called SuperSpike"""
    d = c.one + c.rate * abs(u)
    return c.height / (d * d)


def gaussian(u, c, where, exp):  # type: ignore[no-untyped-def]
    """height exp(-(rate u)^2)"""
    return c.height * exp(-((c.rate * u) * (c.rate * u)))


def straight_through(u, c, where, exp):  # type: ignore[no-untyped-def]
    """height everywhere"""
    return where(u >= u, c.height, c.height)


SLOPES: tuple[Callable[..., Any], ...] = (
    atan,
    rectangular,
    triangular,
    fast_sigmoid,
    gaussian,
    straight_through,
)


@inlined
def _where(condition, a, b):  # type: ignore[no-untyped-def]
    return a if condition else b


@inlined
def _exp(x):  # type: ignore[no-untyped-def]
    return np.exp(x)


_atan, _rectangular, _triangular = inlined(atan), inlined(rectangular), inlined(triangular)
_fast_sigmoid, _gaussian, _straight = inlined(fast_sigmoid), inlined(gaussian), inlined(straight_through)


def slope_row_reference(code: int, u: np.ndarray, c: Slope, out: np.ndarray) -> None:
    """out[i] = SLOPES[code](u[i])."""
    out[:] = SLOPES[code](u, c, np.where, np.exp)


@kernel(reference=slope_row_reference)
def slope_row(code, u, c, out):  # type: ignore[no-untyped-def]
    if code == 0:
        for i in range(u.size):
            out[i] = _atan(u[i], c, _where, _exp)
    elif code == 1:
        for i in range(u.size):
            out[i] = _rectangular(u[i], c, _where, _exp)
    elif code == 2:
        for i in range(u.size):
            out[i] = _triangular(u[i], c, _where, _exp)
    elif code == 3:
        for i in range(u.size):
            out[i] = _fast_sigmoid(u[i], c, _where, _exp)
    elif code == 4:
        for i in range(u.size):
            out[i] = _gaussian(u[i], c, _where, _exp)
    else:
        for i in range(u.size):
            out[i] = _straight(u[i], c, _where, _exp)


class Surrogate:
    """Abstract: a slope with its coefficients. Subclasses are frozen dataclasses that set `code`."""

    code: ClassVar[int]

    def numbers(self) -> tuple[float, float]:
        """(height, rate) of the slope."""
        raise NotImplementedError

    def coefficients(self, kind: Any) -> Slope:
        """The slope's coefficients as scalars made by `kind` (np.float32, np.float64, float)."""
        return Slope(*(kind(n) for n in (*self.numbers(), 0.0, 1.0)))

    def __call__(self, u: torch.Tensor) -> torch.Tensor:
        """Spikes H(u) (any shape, values 0 or 1) whose gradient is the slope at u."""
        return _Spike.apply(u, self)

    def slope(self, u: torch.Tensor) -> torch.Tensor:
        """ds/du at u, elementwise; same shape and dtype as u."""
        c = self.coefficients(lambda n: torch.tensor(n, dtype=u.dtype, device=u.device))
        return SLOPES[self.code](u, c, torch.where, torch.exp)


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: torch.Tensor, surrogate: Surrogate) -> torch.Tensor:
        ctx.save_for_backward(u)
        ctx.surrogate = surrogate
        return (u >= 0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        (u,) = ctx.saved_tensors
        return grads[0] * ctx.surrogate.slope(u), None


@dataclass(frozen=True)
class ATan(Surrogate):
    """slope = (alpha/2) / (1 + (pi alpha u / 2)^2); alpha 2 is snnTorch's default. Fang et al. 2021."""

    alpha: float = 2.0
    code: ClassVar[int] = 0

    def __post_init__(self) -> None:
        check(self, "alpha", above=0)

    def numbers(self) -> tuple[float, float]:
        return self.alpha / 2, math.pi * self.alpha / 2


@dataclass(frozen=True)
class Rectangular(Surrogate):
    """slope = 1/(2 width) where |u| < width, else 0. Wu et al. 2018."""

    width: float = 0.5
    code: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check(self, "width", above=0)

    def numbers(self) -> tuple[float, float]:
        return 1 / (2 * self.width), 1 / self.width


@dataclass(frozen=True)
class Triangular(Surrogate):
    """slope = height max(0, 1 - |u|/width); height 0.3, width 1 are IIR-SNN's. Bellec et al. 2018."""

    height: float = 0.3
    width: float = 1.0
    code: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check(self, "height", above=0)
        check(self, "width", above=0)

    def numbers(self) -> tuple[float, float]:
        return self.height, 1 / self.width


@dataclass(frozen=True)
class FastSigmoid(Surrogate):
    """slope = 1 / (1 + k|u|)^2. snnTorch's default steepness; Zenke and Ganguli 2018."""

    k: float = 25.0
    code: ClassVar[int] = 3

    def __post_init__(self) -> None:
        check(self, "k", above=0)

    def numbers(self) -> tuple[float, float]:
        return 1.0, self.k


@dataclass(frozen=True)
class SuperSpike(FastSigmoid):
    """slope = 1 / (1 + k|u|)^2, the fast sigmoid's, as steep as Norse's default. Zenke and Ganguli 2018."""

    k: float = 100.0


@dataclass(frozen=True)
class Gaussian(Surrogate):
    """slope = exp(-u^2 / (2 sigma^2)) / (sigma sqrt(2 pi)). Yin et al. 2021."""

    sigma: float = 0.5
    code: ClassVar[int] = 4

    def __post_init__(self) -> None:
        check(self, "sigma", above=0)

    def numbers(self) -> tuple[float, float]:
        return 1 / (self.sigma * math.sqrt(2 * math.pi)), 1 / (self.sigma * math.sqrt(2))


@dataclass(frozen=True)
class StraightThrough(Surrogate):
    """slope = 1 everywhere. Bengio et al. 2013."""

    code: ClassVar[int] = 5

    def numbers(self) -> tuple[float, float]:
        return 1.0, 1.0
