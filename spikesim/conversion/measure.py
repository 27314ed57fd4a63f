"""What a conversion lost, layer by layer, measured on calibration inputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..core.ledger import Action, Ledger
from ..engine import run
from ..network import Network
from .calibrate import BUDGET
from .draft import Draft, Node, Threshold
from .layerwise import layer_by_layer
from .oracle import Count
from .report import LayerReport

MEASURED = 8
"""Calibration inputs that errors are measured on, at most."""


def layer_reports(network: Network, draft: Draft, steps: int) -> tuple[tuple[LayerReport, ...], float, int]:
    """One report per activation, the relative error of the output, and on how many inputs; x shown at every step."""
    x = draft.calibration.first[:MEASURED]
    nodes = {n.name: n for n in draft.neurons()}
    values = draft.values(x[:1])
    largest = max(value[0].numel() for value in values.values())
    x = x[: max(1, BUDGET // (largest * steps))]
    wanted = {node.name: v for node, v in draft.replay(x) if node.name in nodes or node.name == draft.output}
    found: dict[str, LayerReport] = {}

    def at_neuron(name: str, neuron: Any, drive: Tensor) -> Tensor:
        spikes = neuron(drive)[0]
        found[name] = _layer(nodes[name], neuron, drive.mean(0), spikes, wanted[name])
        return spikes  # type: ignore[no-any-return]

    with torch.no_grad():
        layer_by_layer(network, x.expand(steps, *x.shape), at_neuron)
        output = run(network, x, steps=steps).readout
    ordered = tuple(found[n.name] for n in draft.neurons() if n.name in found)
    return ordered, relative(output, wanted[draft.output]), len(x)


def _layer(node: Node, neuron: Any, z: Tensor, spikes: Tensor, a: Tensor) -> LayerReport:
    """One activation's errors, all as shares of |a|: z its mean drive (in units of its threshold), a the ANN's value.

    rate - a = (meant - a) + (clipped - meant) + (said - clipped) + (rate - said),   meant = the activation of the mean drive
    """
    threshold = node.threshold
    assert threshold is not None
    unit = threshold.theta / node.neuron.peak
    meant = node.module((z / neuron.threshold) * unit)
    clipped = torch.minimum(meant, threshold.theta)
    steps = spikes.shape[0] - node.neuron.presteps
    said = Count(neuron, steps)(z) * unit
    rate = spikes.mean(0) * unit
    size = max(float(a.norm()), 1e-30)
    return LayerReport(
        node.name, node.path, _spread(threshold), threshold.clipped, threshold.rate,
        relative(rate, a), relative(meant, a), float((clipped - meant).norm()) / size,
        float((said - clipped).norm()) / size, float((rate - said).norm()) / size, float(spikes.abs().sum(0).mean()),
    )  # fmt: skip


def cost(network: Network, x: Tensor, steps: int) -> tuple[float, float]:
    """(spikes, synaptic operations) per inference, of inputs x (B, *shape) shown at every step."""
    ledger = Ledger()
    with torch.no_grad():
        run(network, x, steps=steps, ledger=ledger)
    spikes, adds, macs = (ledger.count(a) for a in (Action.spike_hop, Action.digital_add, Action.digital_mac))
    return spikes / len(x), (adds + macs) / len(x)


def relative(got: Tensor, wanted: Tensor) -> float:
    """|got - wanted| / |wanted|, Euclidean; 0 for two zeros."""
    off, size = float((got - wanted).norm()), float(wanted.norm())
    return off / size if size else float(off > 0)


def _spread(threshold: Threshold) -> tuple[float, float, float]:
    theta = threshold.theta
    return float(theta.min()), float(theta.median()), float(theta.max())
