"""NeuroBench's figures of a network, by its definitions (Yik et al., Nature Communications 16, 2025; version 2.3).

    footprint              bytes of parameters and buffers
    connection_sparsity    zero weights over weights of linear and convolution layers, four decimals
    activation_sparsity    outputs of neurons that are 0, over all outputs, steps and samples
    effective_macs, _acs   products whose weight and input are not 0, per sample; a layer's step counts as additions where
                           all inputs of the batch at that step are -1, 0 or 1, else as multiply-accumulates
    dense                  products of a dense pass at every step; padding has none
    membrane_updates       membranes of spiking neurons that a step changed, per sample, and all of them at the first step

The kinds depend on the batch: one graded input among many samples makes the whole batch's step multiply-accumulates.
Ours are taken from one batch, theirs added up over batches. Biases are not synaptic operations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..engine import run
from ..errors import ParameterError, must
from ..graph import INPUT
from ..network import Network
from ..neurons import Neuron

LAYERS = (nn.Linear, nn.Conv2d)
"""What has synapses."""


@dataclass(frozen=True)
class Figures:
    """What `neurobench_figures` found; see the module. Means per sample where a figure counts."""

    footprint: int
    connection_sparsity: float
    activation_sparsity: float
    effective_macs: float
    effective_acs: float
    dense: float
    membrane_updates: float

    def to_json(self) -> dict[str, float]:
        """By NeuroBench's names."""
        operations = {"Effective_MACs": self.effective_macs, "Effective_ACs": self.effective_acs, "Dense": self.dense}
        others = {k: v for k, v in asdict(self).items() if k not in ("effective_macs", "effective_acs", "dense")}
        return {**others, "synaptic_operations": operations}  # type: ignore[dict-item]


def footprint(module: nn.Module) -> int:
    """Bytes of a module's parameters and buffers."""
    held = (*module.parameters(), *module.buffers())
    return sum(t.numel() * t.element_size() for t in held)


def connection_sparsity(network: nn.Module) -> float:
    """Share of weights that are 0, over linear and convolution layers. ParameterError where there are none."""
    weights = [m.weight for m in network.modules() if isinstance(m, LAYERS)]
    if not weights:
        raise ParameterError(must("connection_sparsity.network", "one with linear or convolution layers", "none"))
    zeros = sum(int((w == 0).sum()) for w in weights)
    return round(zeros / sum(w.numel() for w in weights), 4)


def neurobench_figures(network: Network, x: Tensor, *, steps: int | None = None) -> Figures:
    """Run one batch and count it. x and steps as for `spikesim.run`."""
    neurons = [name for name, node in network.nodes.items() if isinstance(node, Neuron)]
    layers = [name for name, node in network.nodes.items() if isinstance(node, LAYERS)]
    feeds = {name: [e for e in network.edges if e.target == name] for name in layers}
    sources = {e.source for edges in feeds.values() for e in edges if e.source != INPUT}
    wanted = sorted({*neurons, *sources, *(f"{name}.v" for name in neurons)})
    with torch.inference_mode():
        found = run(network, x, steps=steps, record=wanted)
        shown = x.expand(steps, *x.shape) if steps is not None else x
        seen: Mapping[str, Any] = {**found.recording, INPUT: shown}
        macs = acs = dense = 0
        for name in layers:
            drive = _drive(feeds[name], seen)
            products, most = _products(network.node(name), drive)
            for count, step in zip(products, drive):
                spiking = bool(((step == 0) | (step.abs() == 1)).all())
                acs, macs = (acs + count, macs) if spiking else (acs, macs + count)
            dense += most
    spikes = [found.recording[name] for name in neurons]
    batch, total = shown.shape[1], sum(s.numel() for s in spikes)
    quiet = sum(int((s == 0).sum()) for s in spikes)
    updates = sum(_updates(found.recording[f"{name}.v"]) for name in neurons)
    return Figures(
        footprint(network), connection_sparsity(network), quiet / total if total else 0.0, macs / batch, acs / batch,
        dense / batch, updates / batch,
    )  # fmt: skip


def _drive(edges: Any, seen: Mapping[str, Tensor]) -> Tensor:
    """What reaches a node over time: outputs of its sources, late where an edge delays them."""
    parts = []
    for edge in edges:
        value = seen[edge.source]
        late = torch.zeros_like(value[: edge.delay])
        parts.append(torch.cat([late, value])[: len(value)] if edge.delay else value)
    return torch.stack(parts).sum(0)


def _products(layer: nn.Module, x: Tensor) -> tuple[list[int], int]:
    """Products of non-zeros at every step of x (T, B, ...), and those of a dense pass over all steps."""
    weight: Any = layer.weight
    some, every = (x != 0).float(), torch.ones_like(x)
    parts = [_applied(layer, part, w) for part, w in ((some, (weight != 0).float()), (every, torch.ones_like(weight)))]
    return [int(step.sum(dtype=torch.float64)) for step in parts[0]], int(parts[1].sum(dtype=torch.float64))


def _applied(layer: Any, x: Tensor, weight: Tensor) -> Tensor:
    """A layer with other weights and no bias; x (T, B, *shape)."""
    if isinstance(layer, nn.Linear):
        return functional.linear(x, weight)
    y = layer._conv_forward(x.flatten(0, 1), weight, None)
    return y.unflatten(0, x.shape[:2])  # type: ignore[no-any-return]


def _updates(v: Tensor) -> int:
    """Membranes (T, B, ...) that a step changed; all of them at the first."""
    return int(v[0].numel() + (v[1:] != v[:-1]).sum())
