"""The neuron as a torch module: coefficients, a reset rule, a surrogate, and state that comes in and goes out.

Every spiking neuron here is a set of coefficients for the equation in `_membrane.py`; `lif.py` and `iaf.py` say
which. A neuron sees whole sequences (T, B, *shape); how the time loop runs is an `Unroll`: `by_kernel` (the fused
custom op, CPU) or `by_steps` (plain torch, any device, differentiable).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..core.params import number
from ..errors import ParameterError, ShapeError, must
from ..surrogate import ATan, Surrogate
from ._fused import lif as _fused_op
from ._membrane import Coefficients, gated_step, passed, step

MEMBRANE_DTYPES = (torch.float32, torch.float64)


class State(NamedTuple):
    """What a neuron carries from step to step: the membrane v (B, *shape)."""

    v: Tensor


class Reset:
    """Abstract: what a spike does to the membrane. `delayed` makes it act at the next step."""

    delayed: bool = False

    def numbers(self, threshold: Tensor) -> tuple[Tensor, Tensor]:
        """(scale, shift) of v = h - s (scale h + shift)."""
        raise NotImplementedError


@dataclass(frozen=True)
class BySubtraction(Reset):
    """Soft reset: v = h - s threshold, so that charge above the threshold is kept."""

    delayed: bool = False

    def numbers(self, threshold: Tensor) -> tuple[Tensor, Tensor]:
        return threshold.new_zeros(()), threshold


@dataclass(frozen=True)
class ToValue(Reset):
    """Hard reset: v = value where the neuron spiked."""

    value: float = 0.0
    delayed: bool = False

    def numbers(self, threshold: Tensor) -> tuple[Tensor, Tensor]:
        return threshold.new_ones(()), threshold.new_full((), -self.value)


@dataclass(frozen=True)
class NoReset(Reset):
    """The membrane is left as it is."""

    def numbers(self, threshold: Tensor) -> tuple[Tensor, Tensor]:
        return threshold.new_zeros(()), threshold.new_zeros(())


class Unroll:
    """Abstract: a way to run the time loop. `by_kernel` and `by_steps` are the two there are."""

    def __call__(self, x: Tensor, v: Tensor, c: Coefficients, neuron: Neuron) -> tuple[Tensor, Tensor]:
        """x (T, B, *shape), v (B, *shape), c scalars or (*shape) -> spikes like x, last membrane like v."""
        raise NotImplementedError


class _BySteps(Unroll):
    def __call__(self, x: Tensor, v: Tensor, c: Coefficients, neuron: Neuron) -> tuple[Tensor, Tensor]:
        rule = gated_step if neuron.reset.delayed else step
        gate: Callable[[Tensor], Tensor] = Tensor.detach if neuron.detach_reset else passed
        spikes = []
        for drive in x:
            s, v, _ = rule(v, drive, c, neuron.surrogate, gate)
            spikes.append(s)
        return (torch.stack(spikes) if spikes else x), v


class _ByKernel(Unroll):
    def __call__(self, x: Tensor, v: Tensor, c: Coefficients, neuron: Neuron) -> tuple[Tensor, Tensor]:
        shape = x.shape
        rows = [n.reshape(()) if n.numel() == 1 else n.expand(shape[2:]).reshape(-1) for n in c]
        keep = torch.is_grad_enabled() and any(n.requires_grad for n in (x, v, *rows))
        height, rate = neuron.surrogate.numbers()
        spikes, last, _ = _fused_op(
            x.reshape(*shape[:2], -1), v.reshape(shape[1], -1), *rows,
            neuron.reset.delayed, keep, neuron.surrogate.code, height, rate, neuron.detach_reset,
        )  # fmt: skip
        return spikes.reshape(shape), last.reshape(shape[1:])


by_steps: Unroll = _BySteps()
by_kernel: Unroll = _ByKernel()


class Neuron(nn.Module):
    """Abstract: a spiking neuron over sequences. Subclasses say their leak and gain.

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
            tensor = self._checked(name, value)
            if name in learn:
                self.register_parameter(name, nn.Parameter(tensor))
            else:
                self.register_buffer(name, tensor)

    threshold: Tensor
    leak: Tensor
    gain: Tensor
    initial: Tensor

    def _checked(self, name: str, value: float | Tensor) -> Tensor:
        """The value as a float tensor; numbers are finite, thresholds above 0, leaks within [0, 1]."""
        field = f"{type(self).__name__}.{name}"
        tensor = torch.as_tensor(value).detach().clone()
        tensor = tensor if tensor.dtype in MEMBRANE_DTYPES else tensor.to(torch.get_default_dtype())
        for extreme in (tensor.min(), tensor.max()) if tensor.numel() else ():
            bounds: dict[str, Any] = {"threshold": {"above": 0}, "leak": {"at_least": 0, "at_most": 1}}.get(name, {})
            number(field, float(extreme), **bounds)
        return tensor

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

    def forward(self, x: Tensor, state: State | None = None, unroll: Unroll | None = None) -> tuple[Tensor, State]:
        """Run over x (T, B, *shape); `unroll` None takes the kernel where it can (CPU, float32 or float64)."""
        if x.ndim < 2 or x.dtype not in MEMBRANE_DTYPES:
            got = f"{tuple(x.shape)} {x.dtype}"
            raise ShapeError(must(f"{type(self).__name__}.x", "(T, B, *shape) in float32 or float64", got))
        state = state or self.initial_state(x.shape[1:], x)
        if state.v.shape != x.shape[1:]:
            rule = f"{tuple(x.shape[1:])} as its drive"
            raise ShapeError(must(f"{type(self).__name__}.state", rule, tuple(state.v.shape), "one state per batch"))
        run = unroll or (by_kernel if x.device.type == "cpu" else by_steps)
        spikes, v = run(x, state.v, self.coefficients(x), self)
        return spikes, State(v)

    def extra_repr(self) -> str:
        def short(n: Tensor) -> str:
            return f"{n.item():g}" if n.numel() == 1 else f"[{n.min().item():.3g}..{n.max().item():.3g}]"

        return f"leak={short(self.leak)}, threshold={short(self.threshold)}, reset={self.reset}, strict={self.strict}"
