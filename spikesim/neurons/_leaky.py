"""What LIF and IF share: the coefficients of the membrane equation as a torch module."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..errors import ParameterError, must
from ..surrogate import ATan, Surrogate
from ._fused import lif as _fused_op
from ._membrane import Coefficients, gated_step, passed, step
from ._resets import BySubtraction, Reset
from .base import Neuron, State, short


class LeakyNeuron(Neuron):
    """Abstract: a spiking neuron of the membrane equation. Subclasses say their leak.

        h = leak v + gain x;    s = 1 where h >= threshold (> where `strict`);    v = reset(h, s)

    x      (T, B, *shape)   drive, in the units of the threshold
    state  State(v (B, *shape)); None: v is `initial`
    ->     spikes (T, B, *shape) in {0, 1}, State

    threshold, initial   numbers, or tensors that broadcast to *shape (one per channel: (C, 1, 1))
    learn                names of the coefficients that become parameters: "threshold", "leak"
    """

    def __init__(
        self,
        threshold: float | Tensor,
        *,
        leak: float | Tensor,
        gain: float | Tensor = 1.0,
        reset: Reset | None = None,
        initial: float | Tensor = 0.0,
        strict: bool = False,
        surrogate: Surrogate | None = None,
        detach_reset: bool = False,
        learn: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.reset, self.surrogate = reset or BySubtraction(), surrogate or ATan()
        self.strict, self.detach_reset = strict, detach_reset
        unknown = set(learn) - {"leak", "threshold"}
        if unknown:
            raise ParameterError(must(f"{type(self).__name__}.learn", "a choice of leak, threshold", sorted(unknown)))
        for name, value in (("threshold", threshold), ("leak", leak), ("gain", gain), ("initial", initial)):
            tensor = self.checked(name, value)
            if name in learn:
                self.register_parameter(name, nn.Parameter(tensor))
            else:
                self.register_buffer(name, tensor)

    threshold: Tensor
    leak: Tensor
    gain: Tensor
    initial: Tensor

    def coefficients(self, like: Tensor) -> Coefficients:
        """The equation's numbers in the dtype and on the device of `like`."""
        threshold = self.threshold.to(like)
        scale, shift = self.reset.numbers(threshold)
        if self.strict:  # H(h > threshold) is H(h >= next float above it)
            above = torch.nextafter(threshold, threshold.new_full((), torch.inf))
            threshold = threshold + (above - threshold).detach()
        zero = threshold.new_zeros(())
        return Coefficients(self.leak.to(like), self.gain.to(like), zero, threshold, scale, shift)

    def initial_state(self, shape: tuple[int, ...] | torch.Size, like: Tensor) -> State:
        """The state before the first step for a batch of `shape` (B, *shape), with dtype and device of `like`."""
        return State(self.initial.to(like).expand(tuple(shape)).contiguous())

    def by_steps(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        rule, c, v = (gated_step if self.reset.delayed else step), self.coefficients(x), state.v
        gate: Callable[[Tensor], Tensor] = Tensor.detach if self.detach_reset else passed
        spikes = []
        for drive in x:
            s, v, _ = rule(v, drive, c, self.surrogate, gate)
            spikes.append(s)
        return torch.stack(spikes), State(v)

    def by_kernel(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        shape, c = x.shape, self.coefficients(x)
        rows = [n.reshape(()) if n.numel() == 1 else n.expand(shape[2:]).reshape(-1) for n in c]
        keep = torch.is_grad_enabled() and any(n.requires_grad for n in (x, state.v, *rows))
        height, rate = self.surrogate.numbers()
        spikes, last, _ = _fused_op(
            x.reshape(*shape[:2], -1), state.v.reshape(shape[1], -1), *rows,
            self.reset.delayed, keep, self.surrogate.code, height, rate, self.detach_reset,
        )  # fmt: skip
        return spikes.reshape(shape), State(last.reshape(shape[1:]))

    def extra_repr(self) -> str:
        return f"leak={short(self.leak)}, threshold={short(self.threshold)}, reset={self.reset}, strict={self.strict}"
