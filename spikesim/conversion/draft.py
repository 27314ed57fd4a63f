"""The draft: an ANN as a small graph of plain torch modules, which the steps of a recipe rewrite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..graph import INPUT, joins
from ..layers.quantised import QuantisedReLU
from ..neurons import IF, CorrectedIF, GradedIF, Neuron, SignedIF
from ..readout import Mean, Readout
from .calibration import Calibration
from .statistics import Activity

Kinds = type[nn.Module] | tuple[type[nn.Module], ...]

SPIKING = (nn.ReLU, nn.Hardtanh, QuantisedReLU)
"""Activations that become neurons: ReLUs, ReLUs with a ceiling, quantised ones with a threshold of their own."""


@dataclass(frozen=True)
class Threshold:
    """What a step found for one neuron node.

    theta    most that a neuron says in one step, in the ANN's units: its threshold times the peak of its kind;
             broadcasts to *shape ((C, 1, 1) for maps)
    clipped  share of the non-zero calibration activations above theta
    rate     mean over neurons of mean activation / theta: expected spikes per neuron and step
    silent   channels (or neurons) that were never positive on the calibration data
    """

    theta: Tensor
    clipped: float
    rate: float
    silent: int


@dataclass(frozen=True)
class NeuronKind:
    """What an activation becomes.

    peak     spikes per step at most: 1, the Gamma of a burst, or 2^n - 1 for n thresholds in powers of two
    signed   whether a spike can be taken back, see `SignedIF`
    presteps 0, or the steps of a first presentation in which offsets are found, see `CorrectedIF`
    residual whether that presentation only tells which neurons stay silent
    """

    peak: int = 1
    signed: bool = False
    presteps: int = 0
    residual: bool = False

    def made(self, threshold: Tensor, initial: Tensor) -> Neuron:
        """The neuron with this threshold and first membrane."""
        if self.presteps:
            return CorrectedIF(threshold, presteps=self.presteps, residual=self.residual, initial=initial)
        if self.peak > 1:
            return GradedIF(threshold, peak=self.peak, signed=self.signed, initial=initial)
        return (SignedIF if self.signed else IF)(threshold, initial=initial)


@dataclass(frozen=True)
class Node:
    """One operation: `module` applied to the sum of its sources, or to all of them where it joins.

    name       the user's dotted path, made unique; module   a plain torch module that owns its tensors
    path       where it stands in the user's model;  sources  names of nodes, or "input"
    threshold  neurons only, set by a step;          initial  start of the membrane, as a share of the threshold
    neuron     what an activation becomes;               current  constant drive that a calibration adds to it
    """

    name: str
    module: nn.Module
    sources: tuple[str, ...]
    path: str
    threshold: Threshold | None = None
    initial: float | Tensor = 0.0
    neuron: NeuronKind = NeuronKind()
    current: Tensor | None = None


def needed(nodes: Sequence[Node], output: str) -> tuple[Node, ...]:
    """The nodes that the output depends on, in their order."""
    wanted, kept = {output}, []
    for node in reversed(nodes):
        if node.name in wanted:
            wanted.update(node.sources)
            kept.append(node)
    return tuple(reversed(kept))


@dataclass(frozen=True)
class Draft:
    """Nodes in order of execution, the output's name, and the calibration data the steps may stream.

    input_shape  (*shape) of one sample;  readout  how the network's output becomes an answer
    observed     name -> (statistics, axes) of its activations over all calibration data, where they are known already
    """

    nodes: tuple[Node, ...]
    output: str
    input_shape: tuple[int, ...]
    calibration: Calibration
    readout: Readout = Mean()
    observed: Mapping[str, tuple[Activity, int]] | None = None

    def node(self, name: str) -> Node:
        """The node called `name`."""
        return next(node for node in self.nodes if node.name == name)

    @property
    def ceilings(self) -> dict[str, float]:
        """Activations with a ceiling (ReLU6) -> the ceiling."""
        return {n.name: float(n.module.max_val) for n in self.nodes if isinstance(n.module, nn.Hardtanh)}

    def users(self, name: str) -> list[Node]:
        """The nodes that read `name`."""
        return [node for node in self.nodes if name in node.sources]

    def neurons(self) -> list[Node]:
        """The activations, which become spiking neurons."""
        return [node for node in self.nodes if isinstance(node.module, SPIKING)]

    def chain(self, kind: Kinds, then: Kinds) -> Iterator[tuple[Node, Node]]:
        """Pairs (a, b) where b of type `then` reads nothing but a of type `kind`, and nobody else reads a."""
        for b in self.nodes:
            if not isinstance(b.module, then) or len(b.sources) != 1 or b.sources[0] == INPUT:
                continue
            a = self.node(b.sources[0])
            if isinstance(a.module, kind) and len(self.users(a.name)) == 1 and a.name != self.output:
                yield a, b

    def changed(self, *nodes: Node) -> Draft:
        """The draft with the nodes of these names exchanged."""
        fresh = {node.name: node for node in nodes}
        return replace(self, nodes=tuple(fresh.get(node.name, node) for node in self.nodes))

    def without(self, name: str) -> Draft:
        """The draft with a node of one source taken out and its readers joined to that source."""
        (source,) = self.node(name).sources
        rest = (node for node in self.nodes if node.name != name)
        kept = tuple(replace(n, sources=tuple(source if s == name else s for s in n.sources)) for n in rest)
        return replace(self, nodes=kept, output=source if self.output == name else self.output)

    def swapped(self, first: str, second: str) -> Draft:
        """The draft with `second`, the only reader of `first`, executed before it."""
        a, b = self.node(first), self.node(second)
        places = {first: replace(b, sources=a.sources), second: replace(a, sources=(second,))}
        order = []
        for node in self.nodes:
            node = places.get(node.name, node)
            if node.name not in (first, second):
                node = replace(node, sources=tuple(first if s == second else s for s in node.sources))
            order.append(node)
        output = first if self.output == second else self.output
        return replace(self, nodes=tuple(order), output=output, observed=None)

    @torch.no_grad()
    def values(self, x: Tensor) -> dict[str, Tensor]:
        """Every node's value for x (B, *shape), by name: for small x."""
        return {node.name: value for node, value in self.replay(x)}

    def replay(self, x: Tensor) -> Iterator[tuple[Node, Tensor]]:
        """Run the ANN that the draft stands for on x (B, *shape); values nobody reads any more are dropped."""
        values = {INPUT: x.detach()}
        last = {source: node.name for node in self.nodes for source in node.sources}
        for node in self.nodes:
            parts = [values[source] for source in node.sources]
            whole = parts if joins(node.module) else [sum(parts[1:], parts[0])]
            values[node.name] = value = node.module(*whole)
            for source in set(node.sources):
                if last[source] == node.name:
                    del values[source]
            yield node, value
