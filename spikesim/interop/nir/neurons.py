"""Neurons and NIR's differential equations, in both directions.

    ours   h = leak v + drive x + offset                     theirs   tau dv/dt = v_leak - v + r x
    so     leak = 1 - loss,  drive = loss r,  offset = loss v_leak,      loss = dt / tau (Euler)
    and without leak, dv/dt = r x:  drive = dt r

A spike of NIR comes above the threshold, not at it: ours, which fire at it, are written with the float below theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import GraphError, ParameterError, must
from ...layers import Scale, Shift
from ...neurons import IF, LIF, BySubtraction, CuBaLIF, Integrator, NoReset, Reset, ToValue
from ...neurons import _general as g
from ...neurons._leaky import LeakyNeuron
from .base import Loss, Unsaid, compact, euler, full, package

RESETS: dict[str, Callable[[bool], Reset]] = {"subtract": BySubtraction, "none": lambda late: NoReset()}
"""Metadata `reset` -> ours; "value" is the format's own, to v_reset."""


class Line(NamedTuple):
    """h = leak v + drive x + offset; float64, one number per neuron."""

    leak: np.ndarray
    drive: np.ndarray
    offset: np.ndarray


def line_of(module: LeakyNeuron, shape: tuple[int, ...]) -> Line:
    """The charge of a neuron, however it is rounded, as one line."""

    def wide(value: Tensor) -> np.ndarray:
        return np.broadcast_to(value.detach().cpu().double().numpy(), shape)

    like = torch.zeros((), dtype=torch.float64)
    leak, gain = wide(module.leak), wide(module.gain)
    bias, rest, r = (wide(module.optional(name, like)) for name in ("bias", "rest", "resistance"))
    code, tau = module.variant.charge, module.variant.tau
    if code == g.LINEAR:
        return Line(leak, gain * r, bias)
    if code in (g.BLENDED, g.BLENDED_LEAK):
        return Line(1 - gain, gain * r, gain * rest)
    if code == g.ABOUT_REST:
        return Line(leak, r, rest * (1 - leak))
    return Line(np.full(shape, 1 - 1 / tau), r / tau if code == g.DIVIDED else r, rest / tau)


def must_be_sayable(module: LeakyNeuron) -> None:
    """Raise Unsaid for what makes it another neuron than NIR's."""
    v = module.variant
    for used, what in (
        (v.adaptation is not None, "an adapting threshold"), (v.refractory > 0, "refractory steps"),
        (v.max_spikes > 1, "several spikes a step"), (v.floor is not None, "a lower bound of the membrane"),
        (v.raised, "a reset that is added to every neuron"),
        (v.slope is not None or (v.plain, v.times) != (1.0, 0.0), "analog output"),
    ):  # fmt: skip
        if used:
            raise Unsaid(what)


def _level(module: LeakyNeuron, shape: tuple[int, ...]) -> np.ndarray:
    """v_threshold: the float below a threshold that fires when it is reached."""
    level = full(module.threshold, shape)
    return level if module.strict else np.nextafter(level, np.float32(-np.inf))


def leaky_out(module: LeakyNeuron, shape: tuple[int, ...], dt: float) -> Any:
    """IF, LIF, CubaLIF or Threshold."""
    must_be_sayable(module)
    nir, (leak, drive, offset), level = package(), line_of(module, shape), _level(module, shape)
    value = module.reset.value if isinstance(module.reset, ToValue) else 0.0
    common = {"v_threshold": level, "v_reset": full(value, shape)}
    synaptic, loss = isinstance(module, CuBaLIF), 1 - leak
    if (
        not synaptic
        and isinstance(module.reset, NoReset)
        and not leak.any()
        and not offset.any()
        and (drive == 1).all()
    ):
        return nir.Threshold(threshold=level)
    if not loss.any() and not synaptic:
        if offset.any():
            raise Unsaid("a constant drive without a leak (put it into the bias of the weights)")
        return nir.IF(r=full(drive / dt, shape), **common)
    if not loss.all():
        raise Unsaid("a membrane that does not leak beside or behind one that does")
    common |= {"r": full(drive / loss, shape), "v_leak": full(offset / loss, shape)}
    if not synaptic:
        return nir.LIF(tau=full(dt / loss, shape), **common)
    faded, weight = _synapse(module, shape)
    return nir.CubaLIF(
        tau_mem=full(dt / loss, shape), tau_syn=full(dt / faded, shape), w_in=full(weight, shape), **common
    )


def _synapse(module: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(loss, w_in) of i = (1 - loss) i + loss w_in x; the four forms of the synapse differ in its weight alone."""
    alpha = np.broadcast_to(module.alpha.detach().cpu().double().numpy(), shape)
    weight = np.broadcast_to(module.weight.detach().cpu().double().numpy(), shape) if module.weighted else 1.0
    loss = 1 - alpha
    if not loss.all():
        raise Unsaid("a synapse that does not fade")
    factor = {"blend": 1.0, "all": alpha / loss}.get(module.decays, 1 / loss)
    return loss, weight * factor


def integrator_out(module: Integrator, shape: tuple[int, ...], dt: float) -> Any:
    """I or LI."""
    nir, loss = package(), 1 - np.broadcast_to(module.leak.detach().cpu().double().numpy(), shape)
    if not loss.any():
        return nir.I(r=full(1 / dt, shape))
    if not loss.all():
        raise Unsaid("a membrane that does not leak beside one that does")
    return nir.LI(tau=full(dt / loss, shape), r=full(1 / loss, shape), v_leak=full(0.0, shape))


class Reading(NamedTuple):
    """How a graph is read: seconds per step, the way from time constants to steps, and the reset asked for."""

    dt: float
    loss: Loss
    reset: str | None


def neuron_in(name: str, node: Any, shape: tuple[int, ...], reading: Reading) -> list[tuple[str, nn.Module]]:
    """The modules of a stateful node, [(suffix of its name, module)], for a drive of `shape`."""
    kind = type(node).__name__
    for field in ("tau", "tau_mem", "tau_syn"):
        tau = getattr(node, field, None)
        least = reading.dt if reading.loss is euler else np.nextafter(0.0, 1.0)
        if tau is not None and not (np.asarray(tau) >= least * (1 - 1e-6)).all():
            remedy = "choose a smaller dt" if reading.loss is euler else ""
            raise ParameterError(must(f"from_nir.{name}.{field}", f"at least {least:g} s", float(np.min(tau)), remedy))
    if kind == "I":
        return _integrated("", 1.0, reading.dt * np.asarray(node.r, np.float64), 0.0, shape)
    if kind == "LI":
        return _leaking("", node.tau, node.r, node.v_leak, shape, reading)
    if kind == "CubaLI":
        synapse = _leaking("_synapse", node.tau_syn, node.w_in, 0.0, shape, reading)
        return [*synapse, *_leaking("", node.tau_mem, node.r, node.v_leak, shape, reading)]
    if kind == "Threshold":
        return [("", LIF(0.0, compact(node.threshold, shape), reset=NoReset(), strict=True))]
    neuron = {"IF": _if, "LIF": _lif, "CubaLIF": _cuba}[kind](node, shape, reading)
    neuron.reset = _reset(name, node, reading.reset)
    if "v_init" in node.metadata:
        neuron.initial = compact(node.metadata["v_init"], shape)
    return [("", neuron)]


def _if(node: Any, shape: tuple[int, ...], reading: Reading) -> LeakyNeuron:
    gain = compact(reading.dt * np.asarray(node.r, np.float64), shape)
    return IF(compact(node.v_threshold, shape), gain=gain, strict=True)


def _lif(node: Any, shape: tuple[int, ...], reading: Reading) -> LeakyNeuron:
    tau, r, rest, level = (compact(n, shape) for n in (node.tau, node.r, node.v_leak, node.v_threshold))
    if reading.loss is euler:
        return LIF.nir(tau, _or_one(r), rest, level, dt=min(reading.dt, float(tau.min())))
    loss = reading.loss(reading.dt, np.broadcast_to(np.asarray(node.tau, np.float64), shape))
    gain, bias = compact(loss * node.r, shape), compact(loss * node.v_leak, shape)
    return LIF(compact(1 - loss, shape), level, gain=gain, bias=bias, initial=rest, strict=True)


def _cuba(node: Any, shape: tuple[int, ...], reading: Reading) -> LeakyNeuron:
    rest, level, weight = (compact(n, shape) for n in (node.v_leak, node.v_threshold, node.w_in))
    if reading.loss is euler:
        syn, mem = compact(node.tau_syn, shape), compact(node.tau_mem, shape)
        dt = min(reading.dt, float(syn.min()), float(mem.min()))
        return CuBaLIF.nir(syn, mem, _or_one(compact(node.r, shape)), rest, level, w_in=_or_one(weight), dt=dt)
    faded, loss = (
        reading.loss(reading.dt, np.broadcast_to(np.asarray(tau, np.float64), shape))
        for tau in (node.tau_syn, node.tau_mem)
    )
    return CuBaLIF(
        compact(1 - faded, shape), compact(1 - loss, shape), level, decays="blend", weight=_or_one(weight),
        gain=compact(loss * node.r, shape), bias=compact(loss * node.v_leak, shape), initial=rest, strict=True,
    )  # fmt: skip


def _or_one(value: Tensor) -> Tensor | float:
    """1 as a number, which costs no multiplication."""
    return 1.0 if value.numel() == 1 and value.item() == 1 else value


def _reset(name: str, node: Any, asked: str | None) -> Reset:
    """The reset asked for, else that of the metadata, else to v_reset."""
    word = asked or str(node.metadata.get("reset", "value"))
    late = asked is None and bool(node.metadata.get("reset_delay", False))
    if word in RESETS:
        return RESETS[word](late)
    if word != "value":
        raise ParameterError(must(f"from_nir.{name}.reset", f"one of value, {', '.join(RESETS)}", word))
    values = np.unique(np.asarray(node.v_reset, np.float64))
    if values.size != 1:
        got = f"{values.size} values from {values[0]:g} to {values[-1]:g}"
        raise GraphError(must(f"from_nir.{name}.v_reset", "the same for all neurons of a node", got, "split the node"))
    return ToValue(float(values[0]), late)


def _leaking(
    suffix: str, tau: Any, r: Any, rest: Any, shape: tuple[int, ...], reading: Reading
) -> list[tuple[str, nn.Module]]:
    """tau dv/dt = rest - v + r x, from rest: v - rest is an integrator from 0."""
    loss = reading.loss(reading.dt, np.broadcast_to(np.asarray(tau, np.float64), shape))
    return _integrated(suffix, 1 - loss, loss * np.asarray(r, np.float64), rest, shape)


def _integrated(suffix: str, leak: Any, gain: Any, rest: Any, shape: tuple[int, ...]) -> list[tuple[str, nn.Module]]:
    """Scale, Integrator, Shift; the first and last only where they do something."""
    parts: list[tuple[str, nn.Module]] = [(suffix, Integrator(compact(leak, shape).clamp(0, 1)))]
    factor, offset = compact(gain, shape), compact(rest, shape)
    if bool((factor != 1).any()):
        scale = Scale(tuple(factor.shape))
        scale.factor.copy_(factor)
        parts.insert(0, (f"{suffix}_gain", scale))
    if bool((offset != 0).any()):
        shift = Shift(tuple(offset.shape))
        shift.bias.copy_(offset)
        parts.append((f"{suffix}_rest", shift))
    return parts
