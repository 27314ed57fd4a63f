"""What a neuron may do beyond the plain membrane equation, and how torch runs it: `Variant` and the custom op.

`_general.py` has the equation and its kernel; `LeakyNeuron` comes here as soon as its variant is not plain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..core.params import check, number
from ..errors import ParameterError, must
from ..surrogate import Surrogate
from . import _general as g
from ._resets import NoReset, Reset, ToValue


class GeneralState(NamedTuple):
    """Membrane v (B, *shape); adaptation a and refractory steps left k: (B, *shape), or (B, 0) where there is none."""

    v: Tensor
    a: Tensor
    k: Tensor


@dataclass(frozen=True)
class Adaptation:
    """A threshold that rises with the neuron's own spikes: theta_t = theta + strength a_t, a_{t+1} = keep a_t + jump s_t.

    keep  share of a left after one step: exp(-dt/tau)     Bellec et al. 2018
    """

    keep: float
    strength: float = 1.0
    jump: float = 1.0

    def __post_init__(self) -> None:
        check(self, "keep", at_least=0, at_most=1)
        check(self, "strength")
        check(self, "jump")


@dataclass(frozen=True)
class Variant:
    """Everything that makes a neuron more than `h = leak v + gain x + bias`, one spike and a reset.

    charge, tau         form of the charge, a code of `_general.py`, and its time constant in steps
    residual            subtraction counts what the late reset has already taken (snnTorch's `reset_delay=False`)
    wiped               a late reset to a value comes after the charge, whose input is lost (snnTorch's Synaptic)
    raised              the reset value is added to every neuron (Sinabs' MembraneReset)
    refractory, hold    steps after a spike in which the membrane is held; hold False: in which input is ignored
    max_spikes          spikes per step: floor(h / threshold), at most this many; 1 is a spiking neuron
    floor, shifted      lower bound of the membrane; shifted: rounded as max(v - floor, 0) + floor
    adaptation          of the threshold
    plain, times        emission s (plain + times h)
    slope               emission h where h > 0, else slope h (analog; the reset still follows the spike)
    """

    charge: int = g.LINEAR
    tau: float = 1.0
    residual: bool = False
    wiped: bool = False
    raised: bool = False
    refractory: int = 0
    hold: bool = True
    max_spikes: int = 1
    floor: float | None = None
    shifted: bool = False
    adaptation: Adaptation | None = None
    plain: float = 1.0
    times: float = 0.0
    slope: float | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the kernel of the plain equation runs it."""
        return replace(self, hold=True, shifted=False) == Variant()

    def check(self, owner: str, reset: Reset, strict: bool) -> None:
        """Raise ParameterError, in the name of `owner`, for numbers out of range and for parts that exclude one another."""
        number(f"{owner}.refractory", self.refractory, at_least=0, unit="steps", integer=True)
        number(f"{owner}.max_spikes", self.max_spikes, at_least=1, integer=True)
        number(f"{owner}.tau", self.tau, at_least=1, unit="steps")
        for name, value in (("floor", self.floor), ("slope", self.slope)):
            if value is not None:
                number(f"{owner}.{name}", value)
        late = reset.delayed or self.residual
        for name, used in (
            ("refractory", self.refractory > 0), ("max_spikes", self.max_spikes > 1), ("adaptation", self.adaptation),
            ("floor", self.floor is not None), ("raised", self.raised),
        ):  # fmt: skip
            if late and used:
                raise ParameterError(must(f"{owner}.{name}", "left out where the reset acts at the next step", name))
        if strict and self.max_spikes > 1:
            raise ParameterError(must(f"{owner}.strict", "False with max_spikes above 1", strict))

    def rule(self, reset: Reset, strict: bool) -> g.Rule:
        """The switches of the equation."""
        code = g.SUBTRACTED
        if isinstance(reset, NoReset):
            code = g.UNTOUCHED
        elif isinstance(reset, ToValue):
            code = g.REPLACED_AND_RAISED if self.raised else g.REPLACED
        refractory = (g.HOLDS if self.hold else g.IGNORES) if self.refractory else g.NEVER
        clip = g.UNCLIPPED if self.floor is None else g.SHIFT_CLIPPED if self.shifted else g.CLIPPED
        analog = g.SPIKES if (self.plain, self.times) == (1.0, 0.0) else g.SCALED
        return g.Rule(
            charge=self.charge, reset=code, when=self._when(reset),
            strict=strict, multi=self.max_spikes > 1, refractory=refractory, adaptive=self.adaptation is not None,
            clip=clip, emit=analog if self.slope is None else g.RECTIFIED,
        )  # fmt: skip

    def _when(self, reset: Reset) -> int:
        if self.residual:
            return g.RESIDUAL
        return g.NOW if not reset.delayed else g.WIPED if self.wiped else g.DELAYED

    def numbers(self) -> g.Numbers:
        """The coefficients of the layer as Python numbers."""
        adaptation = self.adaptation or Adaptation(0.0, 0.0, 0.0)
        return g.Numbers(
            adaptation.keep, adaptation.jump, adaptation.strength, float(self.refractory), self.floor or 0.0,
            float(self.max_spikes), self.slope or 0.0, self.plain, self.times, 0.0, 1.0,
        )  # fmt: skip

    def first_state(self, v: Tensor) -> GeneralState:
        """The state with membrane v, nothing adapted and no neuron refractory."""
        none = v.new_zeros((v.shape[0], 0))
        a = torch.zeros_like(v) if self.adaptation else none
        return GeneralState(v, a, torch.zeros_like(v) if self.refractory else none)


def torch_ops(surrogate: Surrogate, detach: bool) -> g.Ops:
    """The operations of `advance` for torch, differentiable through the surrogate.

    Several spikes are the sum of steps H(h - n theta), n = 1..most; the slope is that of the nearest step.
    """

    def maximum(p: Tensor, q: Tensor) -> Tensor:
        return torch.where(p > q, p, q)

    def counts(h: Tensor, level: Tensor, n: g.Numbers) -> Tensor:
        with torch.no_grad():
            count = g.counted(h, level, n, torch.maximum, torch.minimum, torch.floor)
            near = torch.minimum(torch.maximum(torch.round(h / level), n.one), n.most)
        step = surrogate(h - near * level)
        return count + (step - step.detach())

    def gate(s: Tensor) -> Tensor:
        return s.detach() if detach else s

    return g.Ops(torch.where, maximum, surrogate, counts, gate)


def run_by_steps(
    x: Tensor, state: GeneralState, c: g.Row, numbers: g.Numbers, rule: g.Rule, ops: g.Ops
) -> tuple[Tensor, GeneralState]:
    """`advance` over x (T, B, *shape) in torch operations."""
    n, (v, a, k) = g.Numbers(*(x.new_tensor(q) for q in numbers)), state
    out = []
    for drive in x:
        o, v, a, k = g.advance(v, a, k, drive, c, n, rule, ops)
        out.append(o)
    return torch.stack(out), GeneralState(v, a, k)


_SCHEMA = (
    "(Tensor x, Tensor v, Tensor a, Tensor k, Tensor table, float[] numbers, int[] rule)"
    " -> (Tensor, Tensor, Tensor, Tensor)"
)


@torch.library.custom_op("spikesim::general", mutates_args=(), device_types="cpu", schema=_SCHEMA)
def general(x, v, a, k, table, numbers, rule):  # type: ignore[no-untyped-def]
    """Output (T, B, N) and the last v, a, k (B, N or 0)."""
    kind, out = x.numpy().dtype.type, torch.empty_like(x)
    parts = [part.clone().contiguous() for part in (v, a, k)]
    if x.numel():
        g.general_kernel(
            x.numpy(), *(p.numpy() for p in parts), np.ascontiguousarray(table.numpy()),
            g.Numbers(*(kind(q) for q in numbers)), g.Rule(*rule), out.numpy(),
        )  # fmt: skip
    return out, *parts


@general.register_fake
def _(x, v, a, k, table, numbers, rule):  # type: ignore[no-untyped-def]
    return torch.empty_like(x), *(torch.empty_like(part) for part in (v, a, k))


def run_by_kernel(
    x: Tensor, state: GeneralState, c: g.Row, numbers: g.Numbers, rule: g.Rule
) -> tuple[Tensor, GeneralState]:
    """`advance` over x (T, B, *shape) in the compiled kernel; no gradient."""
    steps, batch, *shape = x.shape
    one = all(q.numel() == 1 for q in c)
    # One number for all neurons: the batch joins them, so that rows are long.
    lead = (1,) if one else (batch,)
    rows = [q.detach().reshape(1) if one else q.detach().expand(shape).reshape(-1) for q in c]
    flat = [part.detach().reshape(*lead, -1) if part.numel() else part.new_zeros((*lead, 0)) for part in state]
    out, v, a, k = general(
        x.detach().reshape(steps, *lead, -1).contiguous(), *flat, torch.stack(rows), list(numbers), list(rule)
    )
    parts = (new.reshape(old.shape) for new, old in zip((v, a, k), state))
    return out.reshape(x.shape), GeneralState(*parts)
