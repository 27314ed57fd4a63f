"""What the spiking neurons share: the coefficients of the membrane equation as a torch module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ParameterError, must
from ..surrogate import ATan, Surrogate
from ._fused import lif as _fused_op
from ._general import Row
from ._membrane import Coefficients, gated_step, passed, step
from ._resets import BySubtraction, Reset, ToValue
from .base import Neuron, State, short
from .general import GeneralState, Variant, run_by_kernel, run_by_steps, torch_ops

LEARNABLE = ("leak", "threshold", "gain", "bias")


class LeakyNeuron(Neuron):
    """Abstract: a spiking neuron of the membrane equation. Subclasses say their leak.

        h = leak v + gain x + bias;    s = 1 where h >= threshold (> where `strict`);    v = reset(h, s)

    x      (T, B, *shape)   drive, in the units of the threshold
    state  State(v (B, *shape)), or GeneralState(v, a, k) where `variant` is not plain; None: v is `initial`
    ->     spikes (T, B, *shape) in {0, 1}, the state after the last step

    threshold, gain, bias, initial   numbers, or tensors that broadcast to *shape (one per channel: (C, 1, 1))
    learn                names of the coefficients that become parameters: "leak", "threshold", "gain", "bias"
    refractory           steps after a spike in which the membrane is held at its reset (`hold` False: ignores input)
    max_spikes           spikes per step: min(max_spikes, floor(h / threshold)) where h > 0
    floor                lower bound of the membrane
    variant              everything else: see `Variant`
    """

    def __init__(
        self,
        threshold: float | Tensor,
        *,
        leak: float | Tensor,
        gain: float | Tensor = 1.0,
        bias: float | Tensor = 0.0,
        reset: Reset | None = None,
        initial: float | Tensor = 0.0,
        strict: bool = False,
        surrogate: Surrogate | None = None,
        detach_reset: bool = False,
        learn: tuple[str, ...] = (),
        refractory: int = 0,
        hold: bool = True,
        max_spikes: int = 1,
        floor: float | None = None,
        variant: Variant | None = None,
    ) -> None:
        super().__init__()
        self.reset, self.surrogate = reset or BySubtraction(), surrogate or ATan()
        self.strict, self.detach_reset = strict, detach_reset
        self.variant = replace(
            variant or Variant(), refractory=refractory, hold=hold, max_spikes=max_spikes, floor=floor
        )
        self.variant.check(type(self).__name__, self.reset, strict)
        unknown = set(learn) - set(LEARNABLE)
        if unknown:
            rule = f"a choice of {', '.join(LEARNABLE)}"
            raise ParameterError(must(f"{type(self).__name__}.learn", rule, sorted(unknown)))
        numbers = {"threshold": threshold, "leak": leak, "gain": gain, "initial": initial}
        if "bias" in learn or torch.is_tensor(bias) or bias != 0:
            numbers["bias"] = bias
        for name, value in numbers.items():
            tensor = self.checked(name, value)
            if name in learn:
                self.register_parameter(name, nn.Parameter(tensor))
            else:
                self.register_buffer(name, tensor)

    threshold: Tensor
    leak: Tensor
    gain: Tensor
    initial: Tensor

    @property
    def plain(self) -> bool:
        """Whether `coefficients` say all there is: the kernels of the plain equation may run this neuron."""
        return self.variant.is_plain

    def _bias(self, like: Tensor) -> Tensor:
        bias: Tensor | None = getattr(self, "bias", None)
        return like.new_zeros(()) if bias is None else bias.to(like)

    def coefficients(self, like: Tensor) -> Coefficients:
        """The plain equation's numbers in the dtype and on the device of `like`."""
        threshold = self.threshold.to(like)
        scale, shift = self.reset.numbers(threshold)
        if self.strict:  # H(h > threshold) is H(h >= next float above it)
            above = torch.nextafter(threshold, threshold.new_full((), torch.inf))
            threshold = threshold + (above - threshold).detach()
        return Coefficients(self.leak.to(like), self.gain.to(like), self._bias(like), threshold, scale, shift)

    def row(self, like: Tensor) -> Row:
        """The general equation's numbers per neuron, in the dtype and on the device of `like`."""
        value = self.reset.value if isinstance(self.reset, ToValue) else 0.0
        rest, tau, to = (like.new_tensor(n) for n in (self.variant.rest, self.variant.tau, value))
        c = self.coefficients(like)
        return Row(c.leak, c.gain, c.bias, rest, tau, self.threshold.to(like), to)

    def initial_state(self, shape: tuple[int, ...] | torch.Size, like: Tensor) -> Any:
        """The state before the first step for a batch of `shape` (B, *shape), with dtype and device of `like`."""
        v = self.initial.to(like).expand(tuple(shape)).contiguous()
        return State(v) if self.plain else self.variant.first_state(v)

    def by_steps(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        if not self.plain:
            ops, rule = torch_ops(self.surrogate, self.detach_reset), self.variant.rule(self.reset, self.strict)
            return run_by_steps(x, state, self.row(x), self.variant.numbers(), rule, ops)
        rule_of, c, v = (gated_step if self.reset.delayed else step), self.coefficients(x), state.v
        gate: Callable[[Tensor], Tensor] = Tensor.detach if self.detach_reset else passed
        spikes = []
        for drive in x:
            s, v, _ = rule_of(v, drive, c, self.surrogate, gate)
            spikes.append(s)
        return torch.stack(spikes), State(v)

    def by_kernel(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        if not self.plain:
            return self._general_by_kernel(x, state)
        shape, c = x.shape, self.coefficients(x)
        if c.gain.requires_grad:  # the fused gradient leaves the gain out; gain x is rounded the same out here
            x, c = x * c.gain, c._replace(gain=torch.ones_like(c.gain.detach()))
        rows = [n.reshape(()) if n.numel() == 1 else n.expand(shape[2:]).reshape(-1) for n in c]
        keep = torch.is_grad_enabled() and any(n.requires_grad for n in (x, state.v, *rows))
        height, rate = self.surrogate.numbers()
        spikes, last, _ = _fused_op(
            x.reshape(*shape[:2], -1), state.v.reshape(shape[1], -1), *rows,
            self.reset.delayed, keep, self.surrogate.code, height, rate, self.detach_reset,
        )  # fmt: skip
        return spikes.reshape(shape), State(last.reshape(shape[1:]))

    def _general_by_kernel(self, x: Tensor, state: GeneralState) -> tuple[Tensor, GeneralState]:
        c = self.row(x)
        if torch.is_grad_enabled() and any(n.requires_grad for n in (x, *state, *c)):
            return self.by_steps(x, state)
        return run_by_kernel(x, state, c, self.variant.numbers(), self.variant.rule(self.reset, self.strict))

    def extra_repr(self) -> str:
        text = f"leak={short(self.leak)}, threshold={short(self.threshold)}, reset={self.reset}, strict={self.strict}"
        return text if self.plain else f"{text}, {self.variant}"
