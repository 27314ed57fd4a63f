"""SignedIF: integrate-and-fire with signed spikes and a memory of what it has said.

    h = v + x
    s = +1 where h >= threshold;    -1 where h < 0 and m >= 1;    0 else
    v = h - s threshold;    m = m + s

m is the sum of all spikes so far, so it never falls below 0: the neuron takes back only what it gave. Its total is
then the rectified, rounded sum of its drive whatever the order in which that arrived, up to the last steps' lag; an
unsigned neuron cannot take back a spike that later drive shows to have been too many. Events of a saccade arrive in
such an order. Wang et al. 2022 (signed neuron with memory), Hu et al. 2023 (Fast-SNN).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..core.kernel import block_at, blocks_in, inlined, kernel, shared_out
from ..surrogate import ATan, Surrogate
from .base import Neuron, short

BLOCK = 8192
"""Neurons per parallel block: membrane and memory stay in the L2 cache over all steps."""


class SignedState(NamedTuple):
    """The membrane v and the sum of spikes so far m, both (B, *shape)."""

    v: Tensor
    m: Tensor


def signed_step(v, m, x, threshold, one, fires):  # type: ignore[no-untyped-def]
    """-> (s, v, m); `fires` is the step function u >= 0."""
    h = v + x
    s = fires(h - threshold) - (one - fires(h)) * fires(m - one)
    return s, h - s * threshold, m + s


@inlined
def _fires(u):  # type: ignore[no-untyped-def]
    return np.float32(u >= 0)


_signed_step = inlined(signed_step)


def signed_reference(x: np.ndarray, v: np.ndarray, m: np.ndarray, threshold: np.ndarray, spikes: np.ndarray) -> None:
    """numpy twin of `signed_kernel`: x, spikes (T, B, N); v, m (B, N) are read and left at their last values."""
    one = x.dtype.type(1)
    for t in range(x.shape[0]):
        spikes[t], v[...], m[...] = signed_step(v, m, x[t], threshold, one, lambda u: (u >= 0).astype(u.dtype))


@kernel(reference=signed_reference, items=lambda x, *_: blocks_in(x, BLOCK))
def signed_kernel(x, v, m, threshold, spikes, begin, end, team):  # type: ignore[no-untyped-def]
    if shared_out(begin, end, team):
        return
    steps, _, size = x.shape
    for j in range(begin, end):
        b, lo, hi = block_at(j, size, BLOCK)
        membrane, memory, level = v[b, lo:hi], m[b, lo:hi], threshold[lo:hi]
        for t in range(steps):
            drive, out = x[t, b, lo:hi], spikes[t, b, lo:hi]
            for i in range(hi - lo):
                out[i], membrane[i], memory[i] = _signed_step(
                    membrane[i], memory[i], drive[i], level[i], np.float32(1), _fires
                )


class SignedIF(Neuron):
    """Integrate-and-fire with signed spikes and memory; what conversion makes by default.

    x      (T, B, *shape)   drive, in the units of the threshold
    state  SignedState(v, m); None: v is `initial`, m is 0
    ->     spikes (T, B, *shape) in {-1, 0, 1}, SignedState

    threshold, initial   numbers, or tensors that broadcast to *shape (one per channel: (C, 1, 1))
    On hardware a negative spike is a second, subtracted event line.
    """

    threshold: Tensor
    initial: Tensor

    def __init__(
        self, threshold: float | Tensor = 1.0, *, initial: float | Tensor = 0.0, surrogate: Surrogate | None = None
    ) -> None:
        super().__init__()
        self.surrogate = surrogate or ATan()
        self.register_buffer("threshold", self.checked("threshold", threshold, above=0))
        self.register_buffer("initial", self.checked("initial", initial))

    def initial_state(self, shape: tuple[int, ...] | torch.Size, like: Tensor) -> SignedState:
        """v at `initial`, nothing said yet."""
        return SignedState(self.initial.to(like).expand(tuple(shape)).contiguous(), like.new_zeros(tuple(shape)))

    def by_steps(self, x: Tensor, state: SignedState) -> tuple[Tensor, SignedState]:
        threshold, one, (v, m) = self.threshold.to(x), x.new_ones(()), state
        spikes = []
        for drive in x:
            s, v, m = signed_step(v, m, drive, threshold, one, self.surrogate)
            spikes.append(s)
        return torch.stack(spikes), SignedState(v, m)

    def by_kernel(self, x: Tensor, state: SignedState) -> tuple[Tensor, SignedState]:
        if torch.is_grad_enabled() and (x.requires_grad or state.v.requires_grad):
            return self.by_steps(x, state)
        shape = x.shape
        v, m = (part.detach().clone().reshape(shape[1], -1) for part in state)
        drive, spikes = (
            x.detach().reshape(*shape[:2], -1).contiguous(),
            torch.empty(*shape[:2], v.shape[1], dtype=x.dtype),
        )
        level = self.threshold.to(x).expand(shape[2:]).reshape(-1).contiguous()
        signed_kernel(drive.numpy(), v.numpy(), m.numpy(), level.numpy(), spikes.numpy())
        return spikes.reshape(shape), SignedState(v.reshape(shape[1:]), m.reshape(shape[1:]))

    def extra_repr(self) -> str:
        return f"threshold={short(self.threshold)}"
