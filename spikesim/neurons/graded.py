"""GradedIF: integrate-and-fire that may send several spikes in one step: bursts, and thresholds in powers of two.

    h = v + x
    s = clip(floor(h / threshold), -min(m, peak) if signed else 0, peak)
    v = h - s threshold;    m = m + s

peak spikes per step at most. peak = 2^n - 1 is a neuron of n thresholds, theta, 2 theta .. 2^(n-1) theta, taken
greedily: s leaves as the n binary digits of its absolute value, one event line each. peak = 1 is `SignedIF`, or `IF`
where not signed. m is the sum of all spikes so far: a signed neuron takes back only what it gave.
Li & Zeng 2022 (burst spikes); Huang et al. 2024 (multi-threshold neurons).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..core.kernel import block_at, blocks_in, inlined, kernel, shared_out
from ..core.params import number
from .base import Neuron, short
from .signed import BLOCK, SignedState


def graded_step(v, m, x, threshold, peak, signed, floor, least, most):  # type: ignore[no-untyped-def]
    """-> (s, v, m); peak and signed (0 or 1) are floats."""
    h = v + x
    s = most(least(floor(h / threshold), peak), -signed * least(m, peak))
    return s, h - s * threshold, m + s


@inlined
def _least(a, b):  # type: ignore[no-untyped-def]
    return a if a < b else b


@inlined
def _most(a, b):  # type: ignore[no-untyped-def]
    return a if a > b else b


@inlined
def _floor(a):  # type: ignore[no-untyped-def]
    return np.floor(a)


_graded_step = inlined(graded_step)


def graded_reference(
    x: np.ndarray, v: np.ndarray, m: np.ndarray, threshold: np.ndarray, peak: float, signed: float, spikes: np.ndarray
) -> None:
    """numpy twin of `graded_kernel`: x, spikes (T, B, N); v, m (B, N) are read and left at their last values."""
    peak, signed = x.dtype.type(peak), x.dtype.type(signed)
    for t in range(x.shape[0]):
        spikes[t], v[...], m[...] = graded_step(
            v, m, x[t], threshold, peak, signed, np.floor, np.minimum, np.maximum
        )  # fmt: skip


@kernel(reference=graded_reference, items=lambda x, *_: blocks_in(x, BLOCK))
def graded_kernel(x, v, m, threshold, peak, signed, spikes, begin, end, team):  # type: ignore[no-untyped-def]
    if shared_out(begin, end, team):
        return
    steps, _, size = x.shape
    for j in range(begin, end):
        b, lo, hi = block_at(j, size, BLOCK)
        membrane, memory, level = v[b, lo:hi], m[b, lo:hi], threshold[lo:hi]
        for t in range(steps):
            drive, out = x[t, b, lo:hi], spikes[t, b, lo:hi]
            for i in range(hi - lo):
                out[i], membrane[i], memory[i] = _graded_step(
                    membrane[i], memory[i], drive[i], level[i], peak, signed, _floor, _least, _most
                )


class GradedIF(Neuron):
    """Integrate-and-fire with up to `peak` spikes per step, signed or not.

    x      (T, B, *shape)   drive, in the units of the threshold
    state  SignedState(v, m); None: v is `initial`, m is 0
    ->     spikes (T, B, *shape), whole numbers in [-peak, peak] ([0, peak] where not signed), SignedState

    threshold, initial   numbers, or tensors that broadcast to *shape; threshold is what one spike takes away
    The gradient passes straight through the floor, and stops where s is at its bounds.
    """

    threshold: Tensor
    initial: Tensor

    def __init__(
        self, threshold: float | Tensor = 1.0, *, peak: int = 3, signed: bool = True, initial: float | Tensor = 0.0
    ) -> None:
        super().__init__()
        number("GradedIF.peak", peak, at_least=1, integer=True)
        self.peak, self.signed = int(peak), bool(signed)
        self.register_buffer("threshold", self.checked("threshold", threshold, above=0))
        self.register_buffer("initial", self.checked("initial", initial))

    def initial_state(self, shape: tuple[int, ...] | torch.Size, like: Tensor) -> SignedState:
        """v at `initial`, nothing said yet."""
        return SignedState(self.initial.to(like).expand(tuple(shape)).contiguous(), like.new_zeros(tuple(shape)))

    def by_steps(self, x: Tensor, state: SignedState) -> tuple[Tensor, SignedState]:
        threshold, (v, m) = self.threshold.to(x), state
        peak, signed = x.new_tensor(float(self.peak)), x.new_tensor(float(self.signed))
        spikes = []
        for drive in x:
            s, v, m = graded_step(
                v, m, drive, threshold, peak, signed, _straight, torch.minimum, torch.maximum
            )  # fmt: skip
            spikes.append(s)
        return torch.stack(spikes), SignedState(v, m)

    def by_kernel(self, x: Tensor, state: SignedState) -> tuple[Tensor, SignedState]:
        if torch.is_grad_enabled() and (x.requires_grad or state.v.requires_grad):
            return self.by_steps(x, state)
        shape = x.shape
        v, m = (part.detach().clone().reshape(shape[1], -1) for part in state)
        drive = x.detach().reshape(*shape[:2], -1).contiguous()
        spikes = torch.empty_like(drive)
        level = self.threshold.to(x).expand(shape[2:]).reshape(-1).contiguous().numpy()
        peak, signed = level.dtype.type(self.peak), level.dtype.type(self.signed)
        graded_kernel(drive.numpy(), v.numpy(), m.numpy(), level, peak, signed, spikes.numpy())
        return spikes.reshape(shape), SignedState(v.reshape(shape[1:]), m.reshape(shape[1:]))

    def extra_repr(self) -> str:
        return f"threshold={short(self.threshold)}, peak={self.peak}, signed={self.signed}"


def _straight(u: Tensor) -> Tensor:
    """floor(u) with the gradient of u; where no gradient is asked for, floor(u) to the bit."""
    return u + (torch.floor(u) - u).detach() if u.requires_grad else torch.floor(u)
