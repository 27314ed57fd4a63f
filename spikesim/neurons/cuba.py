"""CuBaLIF: the LIF neuron behind an exponential synapse (current-based)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..core.params import number
from ..errors import ParameterError, must, nearest
from . import _general as g
from ._resets import ToValue
from .base import State
from .general import GeneralState, Variant
from .lif import LIF, MANY, euler, exponential, mechanism
from .synapse import AFTER_DECAY, BEFORE_DECAY, BLENDED, DECAYS_LAST, current_by_kernel, current_by_steps

FORMS = {"old": AFTER_DECAY, "all": BEFORE_DECAY, "later": DECAYS_LAST, "blend": BLENDED}


class CuBaState(NamedTuple):
    """Membrane v and synaptic current i (B, *shape); adaptation a and refractory steps k, (B, 0) where there is none."""

    v: Tensor
    i: Tensor
    a: Tensor
    k: Tensor


class CuBaLIF(LIF):
    """Current-based LIF: the drive passes an exponential synapse first.

        i = alpha i + x;    h = beta v + gain i;    s = 1 where h >= threshold;    v = reset(h, s)

    alpha, beta   current and membrane left after one step
    decays        what decays before the current acts: the "old" current (as written), "all" of it: i = alpha (i + x),
                  none ("later": i + x acts and then decays), or "blend": i = alpha i + (1 - alpha) x
    weight        of the input, i = alpha i + weight x
    state         CuBaState(v, i, a, k); other arguments and shapes: see `LeakyNeuron`; `learn` takes "alpha" too

    Gerstner and Kistler 2002, section 4.1.
    """

    SETTINGS = ("decays", "weighted")

    alpha: Tensor

    def __init__(
        self, alpha: float | Tensor = 0.8, beta: float | Tensor = 0.9, threshold: float | Tensor = 1.0, *,
        decays: str = "old", weight: float | Tensor = 1.0, learn: tuple[str, ...] = (), **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(beta, threshold, learn=tuple(name for name in learn if name != "alpha"), **options)
        if decays not in FORMS:
            rule = f"one of {', '.join(FORMS)}"
            raise ParameterError(must("CuBaLIF.decays", rule, decays, nearest(decays, FORMS)))
        self.decays = decays
        kept = self.checked("alpha", alpha, at_least=0, at_most=1)
        if "alpha" in learn:
            self.register_parameter("alpha", nn.Parameter(kept))
        else:
            self.register_buffer("alpha", kept)
        self.weighted = torch.is_tensor(weight) or weight != 1
        if self.weighted:
            self.register_buffer("weight", self.checked("weight", weight))

    @property
    def plain(self) -> bool:
        """Never: a stage of the plain equation knows no synapse."""
        return False

    def initial_state(self, shape: tuple[int, ...] | torch.Size, like: Tensor) -> CuBaState:
        """The state before the first step: no current."""
        v = self.initial.to(like).expand(tuple(shape)).contiguous()
        first = self.variant.first_state(v)
        return CuBaState(v, torch.zeros_like(v), first.a, first.k)

    def by_steps(self, x: Tensor, state: CuBaState) -> tuple[Tensor, CuBaState]:
        current, i = current_by_steps(self._weighted(x), state.i, *self._synapse(x))
        spikes, after = super().by_steps(current, self._membrane(state))
        return spikes, self._after(state, after, i)

    def by_kernel(self, x: Tensor, state: CuBaState) -> tuple[Tensor, CuBaState]:
        current, i = current_by_kernel(self._weighted(x), state.i, *self._synapse(x))
        spikes, after = super().by_kernel(current, self._membrane(state))
        return spikes, self._after(state, after, i)

    def _membrane(self, state: CuBaState) -> Any:
        """The state of the membrane behind the synapse."""
        return State(state.v) if self.membrane_is_plain else GeneralState(state.v, state.a, state.k)

    def _after(self, state: CuBaState, membrane: Any, i: Tensor) -> CuBaState:
        return CuBaState(membrane.v, i, *(state[2:] if self.membrane_is_plain else membrane[1:]))

    def _weighted(self, x: Tensor) -> Tensor:
        return x * self.weight.to(x) if self.weighted else x  # type: ignore[union-attr, operator]

    def _synapse(self, like: Tensor) -> tuple[Tensor, int]:
        """The synapse's coefficient and form; a loss 1 - alpha is formed before rounding to the dtype of `like`."""
        form = FORMS[self.decays]
        keep = self.alpha if form in (AFTER_DECAY, BEFORE_DECAY) else 1 - self.alpha
        return keep.to(like), form

    @classmethod
    def snntorch(  # type: ignore[override]
        cls, alpha: float | Tensor, beta: float | Tensor, threshold: float | Tensor = 1.0, *, reset: str = "subtract",
        reset_delay: bool = True, **options: Any,
    ) -> CuBaLIF:  # fmt: skip
        """snnTorch's Synaptic: i = alpha i + x; u = beta u + i - r threshold; resets as `LIF.snntorch`.

        The late reset "zero" wipes the membrane after the step's charge: what came in that step is lost.
        """
        late = reset_delay and reset != "none"
        variant = Variant(residual=reset == "subtract" and not reset_delay, wiped=reset == "zero" and reset_delay)
        kind = mechanism(cls.__name__, reset, late)
        return cls(alpha, beta, threshold, reset=kind, strict=True, variant=variant, **options)

    @classmethod
    def norse(
        cls, tau_syn_inv: float = 200.0, tau_mem_inv: float = 100.0, v_leak: float = 0.0, v_th: float = 1.0,
        v_reset: float = 0.0, *, dt: float = 0.001, **options: Any,
    ) -> CuBaLIF:  # fmt: skip
        """Norse's LIF: the current jumps, acts, and decays afterwards.

        j = i + x;  h = v + dt tau_mem_inv ((v_leak - v) + j);  i = j - dt tau_syn_inv j;  s = H(h - v_th), not at it
        """
        rate, loss = (dt * torch.tensor(inv, dtype=torch.float32) for inv in (tau_mem_inv, tau_syn_inv))
        # In float64, 1 - (1 - loss) is loss to the last bit of float32.
        return cls(
            1 - loss.double(), 1 - rate, v_th, decays="later", gain=rate, rest=v_leak, initial=v_leak, strict=True,
            reset=ToValue(v_reset), variant=Variant(charge=g.BLENDED_LEAK), **options,
        )  # fmt: skip

    @classmethod
    def nir(  # type: ignore[override]
        cls, tau_syn: float | Tensor, tau_mem: float | Tensor, r: float | Tensor = 1.0, v_leak: float | Tensor = 0.0,
        v_threshold: float | Tensor = 1.0, v_reset: float = 0.0, w_in: float | Tensor = 1.0, *, dt: float = 0.001,
        **options: Any,
    ) -> CuBaLIF:  # fmt: skip
        """NIR's CubaLIF by Euler's steps of dt seconds; hard reset, fires above v_threshold.

        i = i + dt/tau_syn (w_in x - i);     h = v + dt/tau_mem (r i + v_leak - v)
        """
        loss, rate = euler(cls.__name__, "tau_syn", tau_syn, dt), euler(cls.__name__, "tau_mem", tau_mem, dt)
        return cls(
            1 - loss.double(), 1 - rate, v_threshold, decays="blend", weight=w_in, gain=rate, rest=v_leak, initial=v_leak,
            resistance=r, reset=ToValue(v_reset), strict=True, variant=Variant(charge=g.BLENDED), **options,
        )  # fmt: skip

    @classmethod
    def sinabs(cls, tau_syn: float | Tensor, tau_mem: float | Tensor, **options: Any) -> CuBaLIF:  # type: ignore[override]
        """Sinabs' LIF with tau_syn: the input decays before it acts; other options as `LIF.sinabs`."""
        plain = LIF.sinabs(tau_mem, **options)
        numbers = {name: getattr(plain, name) for name in ("gain", "reset", "strict", "surrogate", "detach_reset")}
        v = plain.variant
        return cls(
            exponential(cls.__name__, "tau_syn", tau_syn), plain.leak, plain.threshold, decays="all", **numbers,
            max_spikes=v.max_spikes, floor=v.floor, variant=v,
        )  # fmt: skip

    @classmethod
    def rockpool(
        cls, tau_mem: float = 0.02, tau_syn: float = 0.02, threshold: float = 1.0, bias: float = 0.0, *,
        dt: float = 0.001, max_spikes: int = 2**16, **options: Any,
    ) -> CuBaLIF:  # fmt: skip
        """Rockpool's LIFTorch (one synapse, no noise): the input decays before it acts; several spikes a step.

        i = (i + x) exp(-dt/tau_syn);    h = exp(-dt/tau_mem) v + i + bias;    s = min(floor(h / threshold), max_spikes)
        """
        number(f"{cls.__name__}.max_spikes", max_spikes, at_least=1, at_most=MANY, integer=True)
        leaks = exponential(cls.__name__, "tau_syn", tau_syn, dt), exponential(cls.__name__, "tau_mem", tau_mem, dt)
        return cls(*leaks, threshold, decays="all", bias=bias, max_spikes=max_spikes, **options)
