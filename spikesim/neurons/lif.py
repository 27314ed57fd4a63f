"""LIF: the leaky integrate-and-fire neuron, and the conventions of other frameworks as constructors."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..core.params import number
from ..errors import ParameterError, must, nearest
from ..units import quantity
from . import _general as g
from ._leaky import LeakyNeuron
from ._resets import BySubtraction, NoReset, Reset, ToValue
from .general import Variant

MANY = 2**24
"""Spikes per step where a framework sets no limit: float32 counts them exactly up to here."""


def mechanism(owner: str, reset: str, delayed: bool) -> Reset:
    """snnTorch's word for a reset."""
    kinds = {"subtract": BySubtraction(delayed), "zero": ToValue(0.0, delayed), "none": NoReset()}
    if reset not in kinds:
        raise ParameterError(must(f"{owner}.reset", "one of subtract, zero, none", reset, nearest(reset, kinds)))
    return kinds[reset]


def exponential(owner: str, name: str, tau: float | Tensor, dt: float = 1.0) -> Tensor:
    """exp(-dt / tau) in float32."""
    taus = torch.as_tensor(tau, dtype=torch.float32)
    number(f"{owner}.{name}", float(taus.min()), above=0)
    return torch.exp(-dt / taus)


def euler(owner: str, name: str, tau: float | Tensor, dt: float) -> Tensor:
    """dt / tau in float32, rounded as dt * (1 / tau)."""
    taus = torch.as_tensor(tau, dtype=torch.float32)
    number(f"{owner}.{name}", float(taus.min()), at_least=dt, unit="s")
    return dt * (1 / taus)


class LIF(LeakyNeuron):
    """Leaky integrate-and-fire.

        h = beta v + gain x;    s = 1 where h >= threshold;    v = reset(h, s)

    beta       membrane left after one step, 0..1: exp(-dt/tau), or 1 - dt/tau in Euler's form
    threshold  in the units of the drive
    Other arguments, shapes and state: see `LeakyNeuron`. Gerstner and Kistler 2002, section 4.1.

    The constructors named after frameworks round as those do: same float32 drive, same spikes.
    """

    def __init__(self, beta: float | Tensor = 0.9, threshold: float | Tensor = 1.0, **options: Any) -> None:
        super().__init__(threshold, leak=beta, **options)

    @classmethod
    def from_tau(
        cls,
        tau: str | float,
        dt: str | float,
        threshold: float = 1.0,
        *,
        normalised: bool = False,
        **options: Any,
    ) -> LIF:
        """beta = exp(-dt/tau), with tau and dt in seconds or as text ("20 ms").

        normalised: gain 1 - beta, so that a constant drive x settles at v = x.
        """
        tau_s, dt_s = quantity(tau, "s", field="LIF.tau"), quantity(dt, "s", field="LIF.dt")
        number("LIF.tau", tau_s, above=0, unit="s")
        number("LIF.dt", dt_s, above=0, unit="s")
        beta = math.exp(-dt_s / tau_s)
        return cls(beta, threshold, gain=1 - beta if normalised else 1.0, **options)

    @classmethod
    def snntorch(
        cls, beta: float | Tensor, threshold: float | Tensor = 1.0, *, reset: str = "subtract", reset_delay: bool = True,
        **options: Any,
    ) -> LIF:  # fmt: skip
        """snnTorch's Leaky: fires above (not at) the threshold, and by default resets one step late, undecayed.

            r = H(u - threshold);   u = beta u + x - r threshold;   s = H(u - threshold)        "subtract", delayed
            ... and with reset_delay False   u = u - (s - r) threshold

        reset is snnTorch's own word: "subtract", "zero" or "none".
        """
        late = reset_delay and reset != "none"
        options.setdefault("variant", Variant(residual=reset == "subtract" and not reset_delay))
        return cls(beta, threshold, reset=mechanism(cls.__name__, reset, late), strict=True, **options)

    @classmethod
    def spikingjelly(
        cls, tau: float = 2.0, v_threshold: float = 1.0, v_reset: float | None = 0.0, *, decay_input: bool = True,
        **options: Any,
    ) -> LIF:  # fmt: skip
        """SpikingJelly's LIFNode; tau in steps, v_reset None for the soft reset. Starts at v_reset.

        h = v + (x - (v - v_reset)) / tau        decay_input;  else   h = v - (v - v_reset) / tau + x
        """
        number(f"{cls.__name__}.tau", tau, above=1, unit="steps")
        rest, charge = v_reset or 0.0, g.DIVIDED if decay_input else g.DIVIDED_LEAK
        options.setdefault("reset", BySubtraction() if v_reset is None else ToValue(v_reset))
        gain = 1 / tau if decay_input else 1.0
        return cls(
            1 - 1 / tau, v_threshold, gain=gain, rest=rest, initial=rest, variant=Variant(charge=charge, tau=tau),
            **options,
        )  # fmt: skip

    @classmethod
    def norse_box(
        cls, tau_mem_inv: float = 100.0, v_leak: float = 0.0, v_th: float = 1.0, v_reset: float | None = 0.0, *,
        dt: float = 0.001, **options: Any,
    ) -> LIF:  # fmt: skip
        """Norse's LIFBox; v_reset None for `reset_subtract`. Starts at v_leak.

        h = v + dt tau_mem_inv (x + v_leak - v);     s = H(h - v_th), not at it
        """
        rate = dt * torch.tensor(tau_mem_inv, dtype=torch.float32)
        reset: Reset = BySubtraction() if v_reset is None else ToValue(v_reset)
        return cls._blended(rate, v_leak, v_th, reset, g.BLENDED, **options)

    @classmethod
    def nir(
        cls, tau: float | Tensor, r: float | Tensor = 1.0, v_leak: float | Tensor = 0.0,
        v_threshold: float | Tensor = 1.0, v_reset: float = 0.0, *, dt: float = 0.001, **options: Any,
    ) -> LIF:  # fmt: skip
        """NIR's LIF, tau dv/dt = (v_leak - v) + r I, by Euler's steps of dt seconds; hard reset, fires above v_threshold.

        h = v + dt/tau (r x + v_leak - v)
        """
        rate = euler(cls.__name__, "tau", tau, dt)
        return cls._blended(rate, v_leak, v_threshold, ToValue(v_reset), g.BLENDED, resistance=r, **options)

    @classmethod
    def _blended(
        cls, rate: Tensor, rest: float | Tensor, threshold: float | Tensor, reset: Reset, charge: int, **options: Any
    ) -> LIF:
        return cls(
            1 - rate, threshold, gain=rate, rest=rest, initial=rest, reset=reset, strict=True,
            variant=Variant(charge=charge), **options,
        )  # fmt: skip

    @classmethod
    def sinabs(
        cls, tau_mem: float | Tensor, threshold: float = 1.0, *, norm_input: bool = True, multi_spike: bool = True,
        reset: str = "subtract", reset_value: float = 0.0, min_v_mem: float | None = None, **options: Any,
    ) -> LIF:  # fmt: skip
        """Sinabs' LIF without synapse; tau_mem in steps. `CuBaLIF.sinabs` has the synapse.

            h = a v + (1 - a) x   (norm_input; else + x),  a = exp(-1/tau_mem);    s = floor(h / threshold) where h > 0

        multi_spike False: one spike at most ("SingleSpike"). reset "subtract" or "zero"; then reset_value is added to
        every neuron, as MembraneReset does.
        """
        a = exponential(cls.__name__, "tau_mem", tau_mem)
        kind = mechanism(cls.__name__, reset, False)
        if isinstance(kind, ToValue):
            kind = ToValue(reset_value)
        return cls(
            a, threshold, gain=1 - a if norm_input else 1.0, reset=kind, max_spikes=MANY if multi_spike else 1,
            floor=min_v_mem, variant=Variant(raised=reset == "zero" and reset_value != 0, shifted=True), **options,
        )  # fmt: skip

    @classmethod
    def bindsnet(
        cls, thresh: float = -52.0, rest: float = -65.0, reset: float = -65.0, refrac: int = 5, tc_decay: float = 100.0,
        lbound: float | None = None, *, dt: float = 1.0, **options: Any,
    ) -> LIF:  # fmt: skip
        """BindsNET's LIFNodes in mV and ms; while refractory the membrane leaks and its input is ignored.

        h = a (v - rest) + rest + x,    a = exp(-dt/tc_decay);    s = 1 where h >= thresh
        """
        return cls(
            exponential(cls.__name__, "tc_decay", tc_decay, dt), thresh, rest=rest, initial=rest, reset=ToValue(reset),
            refractory=round(refrac / dt), hold=False, floor=lbound, variant=Variant(charge=g.ABOUT_REST), **options,
        )  # fmt: skip
