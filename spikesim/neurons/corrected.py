"""CorrectedIF: integrate-and-fire that finds its offset in a first presentation and starts the next one corrected.

    first presentation, presteps = R steps:   run v(t), n = sum of spikes, from the usual start
    k = floor(v(R) / threshold),  -n <= k <= R - n:   how many spikes too few, or below 0 too many
    k < 0    v(0) += (k + 1) threshold - least h at a spike
    k > 0    v(0) += (k - 1) threshold + max(threshold, threshold - largest h at a silent step)
    then the steps that count, from the corrected start: the first R of them have k spikes more

The method's authors correct one spike per presentation (k = -1 or 1); all of them take no more steps, and the count of
R steps is then that of a drive that is known whole.

    residual (SRP): no correction, but neurons with v(R) <= 0 stay silent: what they fired, they owed

Unsigned neurons that receive early and late drive in the wrong order fire once too often or too seldom; the corrected
start undoes it. Hao et al., "Bridging the gap between ANNs and SNNs by calibrating offset spikes", ICLR 2023; Hao et
al., "Reducing ANN-SNN conversion error through residual membrane potential", AAAI 2023. It needs
the whole first presentation before it speaks, so layers run one after the other, and the steps of the first
presentation count as steps of the run.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..core.kernel import block_at, blocks_in, kernel, shared_out
from ..core.params import number
from ..errors import ShapeError, must
from .base import Neuron, State, short

BLOCK = 1024

SLACK = np.float32(1e-5)
"""Share of the threshold by which a correction leaves the edge of a spike, so that rounding does not decide."""


def corrected_reference(
    x: np.ndarray, presteps: int, residual: bool, v0: np.ndarray, threshold: np.ndarray, spikes: np.ndarray,
    v: np.ndarray,
) -> None:  # fmt: skip
    """numpy twin of `corrected_kernel`: x (R + T, B, N), spikes (T, B, N); v0, threshold (N,); v (B, N) the last values."""
    v[...] = v0
    count = np.zeros(x.shape[1:], np.int64)
    least, most = np.full(x.shape[1:], np.inf, x.dtype), np.full(x.shape[1:], -np.inf, x.dtype)
    for t in range(presteps):
        h = v + x[t]
        fires = h >= threshold
        least, most = np.where(fires, np.minimum(least, h), least), np.where(fires, most, np.maximum(most, h))
        count += fires
        v[...] = np.where(fires, h - threshold, h)
    silent = residual & (v <= 0)
    k = np.floor(v / threshold).clip(-count, presteps - count).astype(x.dtype) * (not residual)
    one = x.dtype.type(1)
    slack = SLACK * threshold
    v[...] = np.where(k < 0, v0 + (k + one) * threshold - (least - slack), v0 + 0 * v)
    v[...] = np.where(k > 0, v0 + (k - one) * threshold + (np.maximum(threshold, threshold - most) + slack), v)
    for t in range(presteps, x.shape[0]):
        h = v + x[t]
        fires = (h >= threshold) & ~silent
        spikes[t - presteps] = fires
        v[...] = np.where(fires, h - threshold, h)


@kernel(reference=corrected_reference, items=lambda x, *_: blocks_in(x, BLOCK))
def corrected_kernel(x, presteps, residual, v0, threshold, spikes, v, begin, end, team):  # type: ignore[no-untyped-def]
    if shared_out(begin, end, team):
        return
    steps, _, size = x.shape
    for j in range(begin, end):
        b, lo, hi = block_at(j, size, BLOCK)
        for i in range(lo, hi):
            start, level = v0[i], threshold[i]
            u, count = start, 0
            least, most = level + np.float32(np.inf), level - np.float32(np.inf)
            for t in range(presteps):
                h = u + x[t, b, i]
                if h >= level:
                    least = min(least, h)
                    count += 1
                    u = h - level
                else:
                    most = max(most, h)
                    u = h
            silent = residual and u <= 0
            k = np.float32(0 if residual else min(max(math.floor(u / level), -count), presteps - count))
            if k < 0:
                start = start + (k + np.float32(1)) * level - (least - SLACK * level)
            elif k > 0:
                start = start + (k - np.float32(1)) * level + (max(level, level - most) + SLACK * level)
            u = start
            for t in range(presteps, steps):
                h = u + x[t, b, i]
                fires = h >= level and not silent
                spikes[t - presteps, b, i] = fires
                u = h - level if fires else h
            v[b, i] = u


class CorrectedIF(Neuron):
    """Integrate-and-fire by subtraction whose first membrane is corrected over a first presentation.

    x         (T, B, *shape)   the drive, presented for `presteps` steps and then for the steps that count; T is at
                               least twice `presteps`, in one call: such a run cannot be cut
    ->        spikes (T, B, *shape) of 0 and 1: those of the corrected presentation, preceded by its first `presteps`
              steps, which the next layer finds its own offset with

    threshold, initial   numbers, or tensors that broadcast to *shape
    """

    threshold: Tensor
    initial: Tensor
    uncut = True

    def __init__(
        self, threshold: float | Tensor = 1.0, *, presteps: int = 8, residual: bool = False,
        initial: float | Tensor = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        number("CorrectedIF.presteps", presteps, at_least=1, integer=True)
        self.presteps, self.residual = int(presteps), bool(residual)
        self.register_buffer("threshold", self.checked("threshold", threshold, above=0))
        self.register_buffer("initial", self.checked("initial", initial))

    def initial_state(self, shape: tuple[int, ...] | torch.Size, like: Tensor) -> State:
        """v at `initial`."""
        return State(self.initial.to(like).expand(tuple(shape)).contiguous())

    def by_steps(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return self._presented(x, corrected_reference)

    def by_kernel(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return self._presented(x, corrected_kernel)

    def _presented(self, x: Tensor, run: object) -> tuple[Tensor, State]:
        shape, first = x.shape, self.presteps
        if shape[0] < 2 * first:
            rule = f"at least {2 * first} steps: {first} to find offsets in, the rest to count"
            raise ShapeError(must("CorrectedIF.x", rule, shape[0], "raise steps"))
        drive = x.detach().reshape(shape[0], shape[1], -1).contiguous().cpu()
        spikes, v = torch.empty_like(drive[first:]), torch.empty_like(drive[0])
        level, start = (
            part.to(drive).expand(shape[2:]).reshape(-1).contiguous().numpy() for part in (self.threshold, self.initial)
        )
        run(drive.numpy(), first, self.residual, start, level, spikes.numpy(), v.numpy())  # type: ignore[operator]
        counted = spikes.reshape(-1, *shape[1:]).to(x.device)
        return torch.cat([counted[:first], counted]), State(v.reshape(shape[1:]).to(x.device))

    def extra_repr(self) -> str:
        return f"threshold={short(self.threshold)}, presteps={self.presteps}"
