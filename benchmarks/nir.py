"""NIR: the same LIF neuron as eight simulators ran it and as we do, and a stranger's spiking network on recordings.

Needs the project's shared data (`SPIKESIM_SHARED=DIR`): `nir/` (graphs and traces of the NIR paper, Pedersen et al.
2024) and `checkpoints/nir_nmnist_snn.nir` with `nmnist_small.npz`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import spikesim as ss
from spikesim.evaluation import evaluate
from spikesim.interop.nir import read
from spikesim.neurons.lif import MANY

DT, TAU, THETA = 1e-4, 2.5e-3, 0.1
"""Of the traces: seconds per step, and what `lif_norse.nir` says."""


@dataclass(frozen=True)
class Trace:
    """How a simulator ran the neuron, as a neuron of ours.

    neuron   ours of these rules, or None: the graph as we read it
    scale    its membrane in units of ours
    late     steps by which its spikes are written after the membrane that caused them
    says     the rules in words
    """

    says: str
    neuron: ss.LIF | None = None
    integration: str = "euler"
    scale: float = 1.0
    late: int = 0


def _leaky(leak: float, gain: float, reset: ss.neurons.Reset, *, strict: bool = True) -> ss.LIF:
    return ss.LIF(leak, THETA, gain=gain, reset=reset, strict=strict)


EULER, FADED = DT / TAU, float(np.exp(-DT / TAU))
HARD, SOFT = ss.ToValue(0.0), ss.BySubtraction()
TRACES: dict[str, Trace] = {
    "norse": Trace("Euler; reset to v_reset"),
    "snntorch": Trace("Euler; membrane in units of r dt/tau; reset to v_reset", scale=TAU / DT),
    "spinnaker2": Trace("Euler, input weight rounded to 0.99980; membrane in units of r dt/tau; reset to v_reset", scale=TAU / DT),
    "spyx": Trace(
        "Euler; reset by subtraction one step late; spikes written one step late",
        ss.LIF(1 - EULER, THETA, gain=EULER, reset=ss.BySubtraction(delayed=True), strict=True), late=1,
    ),
    "nengo": Trace("exponential; membrane in units of the threshold; reset to v_reset", integration="exponential", scale=1 / THETA),
    "exact": Trace("solved between events; what is left of the step after a spike charges the membrane", integration="exponential"),
    "rockpool": Trace("leak exp(-dt/tau), input times dt/tau; reset by subtraction", _leaky(FADED, EULER, SOFT, strict=False)),
    "sinabs": Trace("leak exp(-dt/tau), input times dt/tau; reset by subtraction", _leaky(FADED, EULER, SOFT, strict=False)),
}  # fmt: skip


def measure() -> list[dict[str, Any]]:
    """Rows of the traces, then of the recordings."""
    folder = Path(os.environ.get("SPIKESIM_SHARED", "")).resolve()
    return [*traces(folder), *recordings(folder)]


def traces(folder: Path) -> Iterator[dict[str, Any]]:
    """One row per simulator: our spikes against its own, the largest difference of the membrane, and Euler's spikes."""
    plain = _run(read(folder / "nir" / "lif_norse.nir", dt=DT), _given(folder, "norse"))[1]
    for name, trace in TRACES.items():
        table = np.loadtxt(folder / "nir" / f"lif_{name}.csv", delimiter=",")
        network = read(folder / "nir" / "lif_norse.nir", dt=DT, integration=trace.integration)
        if trace.neuron is not None:
            network = network.replaced({"1": trace.neuron})
        v, s = _run(network, _given(folder, "norse"))
        theirs, spikes = table[:, 1] / trace.scale, np.flatnonzero(table[:, 2]) - trace.late
        until = int(spikes[0]) if spikes.size else len(table)
        gap = np.abs(v - theirs)
        yield {
            "simulator": name, "rules": trace.says, "their_spikes": spikes.tolist(), "our_spikes": np.flatnonzero(s).tolist(),
            "spikes_equal": spikes.tolist() == np.flatnonzero(s).tolist(), "euler_spikes": np.flatnonzero(plain).tolist(),
            "membrane_gap_before_first_spike": float(gap[:until].max()), "membrane_gap": float(gap.max()),
        }  # fmt: skip


def _given(folder: Path, name: str) -> np.ndarray:
    """The input spikes."""
    return np.loadtxt(folder / "nir" / f"lif_{name}.csv", delimiter=",")[:, 0]


def _run(network: ss.Network, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Membrane after every step, spikes."""
    x = torch.tensor(given, dtype=torch.float32)[:, None, None]
    run = ss.run(network, x, record=["1.v"], engine=ss.Reference())
    return run.recording["1.v"].numpy().ravel(), run.output.numpy().ravel()


RESETS = ("value", "subtract", "sinabs")
STEPS = (10, 32, 100)


def recordings(folder: Path, steps: tuple[int, ...] = STEPS, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """`nir_nmnist_snn.nir` on N-MNIST recordings of T bins: the format's reset, subtraction, and Sinabs' own rules."""
    data = ss.datasets.load(folder / "nmnist_small.npz")
    data = data if limit is None else data.subset(np.arange(limit))
    test = np.asarray(data.split) == 1
    for reset in RESETS:
        network = read(folder / "checkpoints" / "nir_nmnist_snn.nir", reset="subtract" if reset == "sinabs" else reset)
        if reset == "sinabs":
            network = network.replaced({n: _as_sinabs(m) for n, m in network.nodes.items() if isinstance(m, ss.IF)})
        for t in steps:
            started = time.perf_counter()
            right = evaluate(network, data, steps=t, batch=66).right
            yield {
                "graph": "nir_nmnist_snn", "reset": reset, "steps": t, "samples": len(data), "accuracy": float(right.mean()),
                "test_samples": int(test.sum()), "test_accuracy": float(right[test].mean()) if test.any() else None,
                "ann_accuracy_of_the_readme": 0.989, "seconds": round(time.perf_counter() - started, 1),
            }  # fmt: skip


def _as_sinabs(m: ss.IF) -> ss.IF:
    """Several spikes a step, and a membrane that falls no lower than -threshold."""
    return ss.IF(m.threshold, max_spikes=MANY, floor=-float(m.threshold))
