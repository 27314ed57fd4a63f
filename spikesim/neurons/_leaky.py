"""What the spiking neurons share: the coefficients of the membrane equation as a torch module."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from ..errors import ParameterError, ShapeError, must
from ..surrogate import ATan, Surrogate
from ._fused import lif as _fused_op
from ._fused import run_into
from ._general import Row
from ._membrane import Coefficients, gated_step, passed, step
from ._resets import BySubtraction, Reset, ToValue
from .base import Neuron, State, short
from .general import GeneralState, Variant, run_by_kernel, run_by_steps, torch_ops

LEARNABLE = ("leak", "threshold", "gain", "bias")
NEUTRAL = {"bias": 0.0, "rest": 0.0, "resistance": 1.0}
"""Coefficients that most neurons do without: kept only where they differ from these."""
BOUNDS: dict[str, dict[str, float]] = {"leak": {"at_least": 0, "at_most": 1}, "resistance": {"above": 0}}


class LeakyNeuron(Neuron):
    """Abstract: a spiking neuron of the membrane equation. Subclasses say their leak.

        h = leak v + gain x + bias;    s = 1 where h >= threshold (> where `strict`);    v = reset(h, s)

    x      (T, B, *shape)   drive, in the units of the threshold
    state  State(v (B, *shape)), or GeneralState(v, a, k) where `variant` is not plain; None: v is `initial`
    ->     spikes (T, B, *shape) in {0, 1}, the state after the last step

    threshold, gain, bias, initial   numbers, or tensors that broadcast to *shape (one per channel: (C, 1, 1))
    rest, resistance     the membrane's rest in forms of the charge that have one; x is multiplied by the resistance
    learn                names of the coefficients that become parameters: "leak", "threshold", "gain", "bias"
    refractory           steps after a spike in which the membrane is held at its reset (`hold` False: ignores input)
    max_spikes           spikes per step: min(max_spikes, floor(h / threshold)) where h > 0
    floor                lower bound of the membrane
    variant              everything else: see `Variant`
    """

    SETTINGS: ClassVar[tuple[str, ...]] = ()
    """What a kind has besides the attributes and coefficients of all."""

    threshold: Tensor
    leak: Tensor
    gain: Tensor
    initial: Tensor

    def __init__(
        self,
        threshold: float | Tensor = 1.0,
        *,
        leak: float | Tensor | None,
        gain: float | Tensor | None = 1.0,
        bias: float | Tensor = 0.0,
        rest: float | Tensor = 0.0,
        resistance: float | Tensor = 1.0,
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
        numbers = {
            "threshold": threshold, "leak": leak, "gain": gain, "initial": initial, "bias": bias, "rest": rest,
            "resistance": resistance,
        }  # fmt: skip
        bounds = {"above": float(torch.as_tensor(rest).max())}
        for name, value in numbers.items():
            neutral = name in NEUTRAL and name not in learn and not torch.is_tensor(value) and value == NEUTRAL[name]
            if value is None or neutral:
                continue
            tensor = self.checked(name, value, **(bounds if name == "threshold" else BOUNDS.get(name, {})))
            if name in learn:
                self.register_parameter(name, nn.Parameter(tensor))
            else:
                self.register_buffer(name, tensor)

    @classmethod
    def restored(cls, settings: dict[str, Any], tensors: dict[str, Tensor], learn: Collection[str]) -> Self:
        """A neuron from its settings (attribute: value) and coefficients, those in `learn` as parameters; for loading."""
        self = cls.__new__(cls)
        nn.Module.__init__(self)
        for name in ("reset", "surrogate", "strict", "detach_reset", "variant", *cls.SETTINGS):
            setattr(self, name, settings[name])
        self.variant.check(cls.__name__, self.reset, self.strict)
        for name, tensor in tensors.items():
            if name in learn:
                self.register_parameter(name, nn.Parameter(tensor))
            else:
                self.register_buffer(name, tensor)
        return self

    def optional(self, name: str, like: Tensor) -> Tensor:
        """A coefficient that may be left out, in the dtype and on the device of `like`."""
        kept: Tensor | None = self._parameters.get(name, self._buffers.get(name))
        return like.new_tensor(NEUTRAL[name]) if kept is None else kept.to(like)

    @property
    def plain(self) -> bool:
        """Whether `coefficients` say all there is: the kernels of the plain equation may run this neuron."""
        return self.membrane_is_plain

    @property
    def membrane_is_plain(self) -> bool:
        """Whether the membrane follows the plain equation, whatever stands before it."""
        return self.variant.is_plain and "resistance" not in self._buffers

    def coefficients(self, like: Tensor) -> Coefficients:
        """The plain equation's numbers in the dtype and on the device of `like`."""
        threshold = self.threshold.to(like)
        scale, shift = self.reset.numbers(threshold)
        if self.strict:  # H(h > threshold) is H(h >= next float above it)
            above = torch.nextafter(threshold, threshold.new_full((), torch.inf))
            threshold = threshold + (above - threshold).detach()
        return Coefficients(
            self.leak.to(like), self.gain.to(like), self.optional("bias", like), threshold, scale, shift
        )

    def row(self, like: Tensor) -> Row:
        """The general equation's numbers per neuron, in the dtype and on the device of `like`."""
        value = like.new_tensor(self.reset.value if isinstance(self.reset, ToValue) else 0.0)
        c, tau = self.coefficients(like), like.new_tensor(self.variant.tau)
        return Row(c.leak, c.gain, c.bias, self.optional("rest", like), tau, self.threshold.to(like), value)

    def initial_state(self, shape: tuple[int, ...] | torch.Size, like: Tensor) -> Any:
        """The state before the first step for a batch of `shape` (B, *shape), with dtype and device of `like`."""
        v = self.initial.to(like).expand(tuple(shape)).contiguous()
        return State(v) if self.plain else self.variant.first_state(v)

    def by_steps(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        if not self.membrane_is_plain:
            return self._general_by_steps(x, state)
        rule_of, c, v = (gated_step if self.reset.delayed else step), self.coefficients(x), state.v
        gate: Callable[[Tensor], Tensor] = Tensor.detach if self.detach_reset else passed
        spikes = []
        for drive in x:
            s, v, _ = rule_of(v, drive, c, self.surrogate, gate)
            spikes.append(s)
        return torch.stack(spikes), State(v)

    def by_kernel(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        if not self.membrane_is_plain:
            return self._general_by_kernel(x, state)
        c = self.coefficients(x)
        if x.ndim == 5 and not x.is_contiguous() and all(n.numel() == 1 for n in c):
            # torch's channels_last: neurons that are all alike keep the order they find
            last = x.permute(0, 1, 3, 4, 2)
            if last.is_contiguous():
                spikes, after = self._plain_by_kernel(last, state.v.permute(0, 2, 3, 1), c)
                return spikes.permute(0, 1, 4, 2, 3), State(after.v.permute(0, 3, 1, 2))
        return self._plain_by_kernel(x, state.v, c)

    def _plain_by_kernel(self, x: Tensor, v: Tensor, c: Coefficients) -> tuple[Tensor, State]:
        """One compiled loop over x (T, B, *shape) from membranes v (B, *shape)."""
        shape = x.shape
        if c.gain.requires_grad:  # the fused gradient leaves the gain out; gain x is rounded the same out here
            x, c = x * c.gain, c._replace(gain=torch.ones_like(c.gain.detach()))
        rows = [n.reshape(()) if n.numel() == 1 else n.expand(shape[2:]).reshape(-1) for n in c]
        keep = torch.is_grad_enabled() and any(n.requires_grad for n in (x, v, *rows))
        if (
            not keep and not torch.compiler.is_compiling()
        ):  # the operation below is torch's way to a gradient, and slow to start
            x = x.detach().contiguous()
            out = torch.empty_like(x)
            return out, State(run_into(x, v, c, self.reset.delayed, out))
        height, rate = self.surrogate.numbers()
        spikes, last = _fused_op(
            x.reshape(*shape[:2], -1), v.reshape(shape[1], -1), *rows,
            self.reset.delayed, self.surrogate.code, height, rate, self.detach_reset,
        )  # fmt: skip
        return spikes.reshape(shape), State(last.reshape(shape[1:]))

    def into(self, x: Tensor, out: Tensor, state: State | None = None) -> State:
        """Run over x (T, B, *shape) and leave the spikes in `out`, which is made once and used again; no gradient.

        out  (T, B, *shape) like x, or uint64 (T, B, ceil(N / 64)) for 64 spikes to a word, lowest bit first, N = prod(*shape)
        Contiguous float32 or float64 x on the CPU, neurons of the plain equation. Raises ShapeError for anything else.
        """
        name, words = type(self).__name__, (*x.shape[:2], -(-x[0, 0].numel() // 64))
        if not self.plain or x.device.type != "cpu" or not x.is_contiguous():
            got = f"{x.device.type}, {'contiguous' if x.is_contiguous() else 'strided'}, {self.variant}"
            raise ShapeError(must(f"{name}.into.x", "contiguous on the CPU, for a plain neuron", got))
        packed = out.dtype == torch.uint64
        fits = out.shape == (words if packed else x.shape) and (packed or out.dtype == x.dtype)
        if not fits or not out.is_contiguous():
            rule = f"contiguous {tuple(x.shape)} {x.dtype} or {words} torch.uint64"
            raise ShapeError(must(f"{name}.into.out", rule, f"{tuple(out.shape)} {out.dtype}"))
        state = state or self.initial_state(x.shape[1:], x)
        return State(run_into(x, state.v, self.coefficients(x), self.reset.delayed, out))

    def _general_by_steps(self, x: Tensor, state: GeneralState) -> tuple[Tensor, GeneralState]:
        x, ops = self._resisted(x), torch_ops(self.surrogate, self.detach_reset)
        return run_by_steps(x, state, self.row(x), self.variant.numbers(), self._rule(), ops)

    def _general_by_kernel(self, x: Tensor, state: GeneralState) -> tuple[Tensor, GeneralState]:
        c = self.row(x)
        if torch.is_grad_enabled() and any(n.requires_grad for n in (x, *state, *c)):
            return self._general_by_steps(x, state)
        return run_by_kernel(self._resisted(x), state, c, self.variant.numbers(), self._rule())

    def _rule(self) -> Any:
        return self.variant.rule(self.reset, self.strict)

    def _resisted(self, x: Tensor) -> Tensor:
        return x * self.optional("resistance", x) if "resistance" in self._buffers else x

    def extra_repr(self) -> str:
        text = f"leak={short(self.leak)}, threshold={short(self.threshold)}, reset={self.reset}, strict={self.strict}"
        changed = ", ".join(f"{k}={v!r}" for k, v in vars(self.variant).items() if v != getattr(Variant(), k))
        return f"{text}, {changed}" if changed else text
