"""Which of our constructors stands for which neuron of a peer: names, the factor on the drive, and ours.

The drive is the same everywhere: uniform sums from the project's own counter-based stream, so that stored traces do
not depend on a version of numpy. Every seventh neuron is driven four times as hard (several thresholds in a step), and
every eleventh meets the drive 1 every five steps (exactly at the threshold).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

import spikesim as ss
from spikesim.core.philox import words


class Case(NamedTuple):
    """One neuron of a peer: `make` gives ours; `options` are handed to the peer's runner in `live.py`."""

    peer: str
    make: Callable[[], Any]
    options: dict[str, Any]
    factor: float = 1.0
    offset: float = 0.0


def drive(steps: int, neurons: int) -> torch.Tensor:
    """(T, 1, N) float32, about normal with mean 0.18 and deviation 0.35."""
    drawn = words(np.arange(steps)[:, None], np.arange(neurons)[None], 0, 0, key=3)
    x = (sum(w / 2.0**32 for w in drawn) - 2.0) * (0.35 * np.sqrt(3.0)) + 0.18
    x[:, ::7] *= 4
    x[::5, ::11] = 1.0
    return torch.from_numpy(x.astype(np.float32))[:, None]


def _snntorch() -> dict[str, Case]:
    made = {}
    for reset in ("subtract", "zero", "none"):
        for delay in (True, False):
            how = {"reset": reset, "reset_delay": delay}
            name = f"reset={reset}, reset_delay={delay}"
            made[f"snnTorch Leaky, {name}"] = Case("snntorch", lambda h=how: ss.LIF.snntorch(0.9, **h), how)
            made[f"snnTorch Synaptic, {name}"] = Case(
                "snntorch", lambda h=how: ss.CuBaLIF.snntorch(0.8, 0.9, **h), {**how, "alpha": 0.8}
            )
    return made


def _spikingjelly() -> dict[str, Case]:
    made = {}
    for reset in (0.0, None, -0.25):
        for decay in (True, False):
            how = {"v_reset": reset, "decay_input": decay}
            made[f"SpikingJelly LIFNode, v_reset={reset}, decay_input={decay}"] = Case(
                "spikingjelly",
                lambda h=how: ss.LIF.spikingjelly(10.0, **h),
                {**how, "tau": 10.0},
                8.0 if decay else 1.0,
            )
        only = {"v_reset": reset}
        made[f"SpikingJelly IFNode, v_reset={reset}"] = Case(
            "spikingjelly", lambda h=only: ss.IF.spikingjelly(**h), only
        )
    return made


def _norse() -> dict[str, Case]:
    made = {}
    for reset in (0.0, None):
        box = {"v_th": 0.1, "v_reset": reset}
        made[f"Norse LIFBox, v_reset={reset}"] = Case(
            "norse", lambda h=box: ss.LIF.norse_box(**h), {**box, "box": True}
        )
    made["Norse LIF"] = Case("norse", lambda: ss.CuBaLIF.norse(v_th=0.3), {"v_th": 0.3, "v_reset": 0.0, "box": False})
    lif = {"tau": 0.012, "v_leak": 0.05, "v_threshold": 0.4}
    made["NIR LIF (Norse)"] = Case("nir", lambda: ss.LIF.nir(**lif), {"kind": "LIF", **lif}, 4.0)
    cuba = {"tau_syn": 0.006, "tau_mem": 0.012, "r": 2.0, "v_threshold": 0.4, "w_in": 1.5}
    made["NIR CubaLIF (Norse)"] = Case("nir", lambda: ss.CuBaLIF.nir(**cuba), {"kind": "CubaLIF", **cuba}, 2.0)
    return made


def _sinabs() -> dict[str, Case]:
    made = {}
    for norm in (True, False):
        for multi in (True, False):
            for reset in ("subtract", "zero"):
                how = {"norm_input": norm, "multi_spike": multi, "reset": reset}
                name = ", ".join(f"{k}={v}" for k, v in how.items())
                factor = 8.0 if norm else 1.0
                made[f"Sinabs LIF, {name}"] = Case("sinabs", lambda h=how: ss.LIF.sinabs(10.0, **h), how, factor)
                made[f"Sinabs LIF with synapse, {name}"] = Case(
                    "sinabs", lambda h=how: ss.CuBaLIF.sinabs(5.0, 10.0, **h), {**how, "tau_syn": 5.0}, factor
                )
    low = {"min_v_mem": -0.3, "reset": "zero", "reset_value": 0.01}
    made["Sinabs LIF, clipped and raised"] = Case("sinabs", lambda: ss.LIF.sinabs(10.0, **low), low, 8.0)
    return made


def _others() -> dict[str, Case]:
    made = {
        "Rockpool LIFTorch": Case("rockpool", lambda: ss.CuBaLIF.rockpool(0.01, 0.005), {}),
        "Rockpool LIFTorch, one spike": Case(
            "rockpool", lambda: ss.CuBaLIF.rockpool(0.01, 0.005, max_spikes=1), {"max_spikes": 1}
        ),
    }
    for refrac in (0, 5):
        unit = {"thresh": 1.0, "rest": 0.0, "reset": 0.0, "refrac": refrac, "tc_decay": 10.0}
        made[f"BindsNET LIFNodes, refrac={refrac}"] = Case("bindsnet", lambda h=unit: ss.LIF.bindsnet(**h), unit)
    made["BindsNET LIFNodes, defaults in mV"] = Case("bindsnet", lambda: ss.LIF.bindsnet(), {}, 8.0)
    made["BindsNET LIFNodes, bounded"] = Case(
        "bindsnet", lambda: ss.LIF.bindsnet(lbound=-66.0, refrac=2), {"lbound": -66.0, "refrac": 2}, 8.0
    )
    return made


CASES = {**_snntorch(), **_spikingjelly(), **_norse(), **_sinabs(), **_others()}
