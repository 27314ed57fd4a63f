"""Fine-tuning block by block after conversion: each block's weights learn to undo what spikes before and in it lost.

    m      means over time that the spiking network sends into the block
    y      the block as an ANN on m: neurons as clip(floor((T z + u0) / theta), 0, T) / T, with a gradient straight through
    s      means over time that the spiking block sends out;     t   its y, of exact means, before any tuning
    loss   |s - t|^2, with the gradient of y in the place of that of s

Blocks are tuned in the order of execution, each against a network whose earlier blocks are done.
Hu et al., "Fast-SNN", IEEE TPAMI 2023 (layer by layer); Cao et al. 2024, arXiv 2408.16467, section 4.4 (block by block).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..core.params import check
from ..core.seeds import Seeds
from ..errors import ConversionError, ParameterError, must
from ..graph import INPUT, joins
from ..layers import TemporalDifference
from ..network import Network
from ..neurons import IF, Neuron, SignedIF


@dataclass(frozen=True)
class Tuning:
    """Iterations of a block, inputs of each, and Adam's learning rate (in units of each block's own weights: times their rms)."""

    iterations: int = 50
    batch: int = 32
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        check(self, "iterations", at_least=1, integer=True)
        check(self, "batch", at_least=1, integer=True)
        check(self, "learning_rate", above=0)


@dataclass(frozen=True)
class TunedBlock:
    """|s - t|^2 / |t|^2 of a block's outputs on one batch of inputs, before and after."""

    name: str
    before: float
    after: float


class MeanCount(nn.Module):
    """Spikes per step of an integrate-and-fire neuron for a constant drive z: clip(floor((T z + u0) / theta), 0, T) / T."""

    def __init__(self, neuron: IF | SignedIF, steps: int) -> None:
        super().__init__()
        self.neuron, self.steps = neuron, steps

    def forward(self, z: Tensor) -> Tensor:
        theta, start = self.neuron.threshold.to(z), self.neuron.initial.to(z)
        count = torch.floor((self.steps * z + start) / theta).clamp(0, self.steps) / self.steps
        line = (z / theta).clamp(0, 1)
        return line + (count - line).detach()


def finetune_blocks(
    network: Network, x: Tensor, *, steps: int, seeds: Seeds, block_of: Callable[[str], str | None] | None = None,
    tuning: Tuning | None = None, watch: Callable[[TunedBlock], None] | None = None,
) -> tuple[Network, list[TunedBlock]]:  # fmt: skip
    """A converted network with tuned weights (the given one is not changed), and what each block gained.

    x         (N, *shape) inputs like those it was converted with       steps  T that it is meant for
    block_of  node name -> block's name; None: that of the node's first source. Left out: a layer each, up to its neurons
    ConversionError where neurons are not IF or SignedIF.
    """
    tuning = tuning or Tuning()
    if len(x) < tuning.batch:
        rule = f"at least {tuning.batch}, a batch"
        raise ParameterError(must("finetune_blocks.x", rule, len(x), "give more inputs, or a smaller batch"))
    tuned = copy.deepcopy(network).requires_grad_(False).eval()
    teacher = _means(copy.deepcopy(tuned), steps)
    student = _means(tuned, steps)
    found = []
    named = _layers(tuned) if block_of is None else _named(tuned, block_of)
    for name, nodes in _blocks(tuned, named).items():
        block = _Block(tuned, name, nodes, steps)
        if block.learned:
            found.append(block.tuned(teacher, student, x, tuning, seeds.child("block", name)))
            if watch is not None:
                watch(found[-1])
    return tuned, found


def _means(network: Network, steps: int) -> dict[str, nn.Module]:
    """Node name -> what it does to means over time; weights are the network's own."""
    made: dict[str, nn.Module] = {}
    for name, module in network.nodes.items():
        if isinstance(module, (IF, SignedIF)):
            made[name] = MeanCount(module, steps)
        elif isinstance(module, TemporalDifference):
            made[name] = module.function
        elif isinstance(module, Neuron) or hasattr(module, "initial_state"):
            raise ConversionError(must(f"network.{name}", "an IF, SignedIF or stateless layer", type(module).__name__))
        else:
            made[name] = module
    return made


def _named(network: Network, block_of: Callable[[str], str | None]) -> dict[str, str]:
    """Node -> block, by the user's rule."""
    of: dict[str, str] = {}
    for name in network.order:
        sources = [e.source for e in network.edges if e.target == name]
        of[name] = block_of(name) or of.get(sources[0], "first")
    return of


def _layers(network: Network) -> dict[str, str]:
    """Node -> the next neurons that it reaches, or the output."""
    of: dict[str, str] = {}
    place = {name: i for i, name in enumerate(network.order)}
    for name in reversed(network.order):
        readers = sorted((e.target for e in network.edges if e.source == name), key=place.__getitem__)
        own = isinstance(network.node(name), Neuron) or not readers
        of[name] = name if own else of[readers[0]]
    return of


def _blocks(network: Network, of: Mapping[str, str]) -> dict[str, list[str]]:
    """Block's name -> its nodes in order of execution, blocks in the order in which they end."""
    found: dict[str, list[str]] = {}
    for name in network.order:
        found.setdefault(of[name], []).append(name)
    place = {name: i for i, name in enumerate(network.order)}
    return dict(sorted(found.items(), key=lambda block: place[block[1][-1]]))


def _run(
    order: list[str], sources: Mapping[str, list[str]], modules: Mapping[str, nn.Module], values: dict[str, Tensor]
) -> None:
    """Add the values of these nodes to those that are there."""
    for name in order:
        module, parts = modules[name], [values[source] for source in sources[name]]
        values[name] = module(*parts) if joins(module) else module(sum(parts[1:], parts[0]))


class _Block:
    """Some nodes of a network, what comes in and goes out."""

    def __init__(self, network: Network, name: str, nodes: list[str], steps: int) -> None:
        self.network, self.name, self.nodes, self.steps = network, name, nodes, steps
        self.sources = {n: [e.source for e in network.edges if e.target == n] for n in network.order}
        inside = set(nodes)
        self.inputs = sorted({s for n in nodes for s in self.sources[n]} - inside)
        read = {e.source for e in network.edges if e.target not in inside} | {network.output}
        self.outputs = [n for n in nodes if n in read]
        layers = [network.node(n) for n in nodes if isinstance(network.node(n), (nn.Conv2d, nn.Linear))]
        self.learned = [p for layer in layers for p in layer.parameters()]

    def tuned(
        self,
        teacher: Mapping[str, nn.Module],
        student: Mapping[str, nn.Module],
        x: Tensor,
        tuning: Tuning,
        seeds: Seeds,
    ) -> TunedBlock:
        """Learn, and measure on the first inputs."""
        drawn, check = seeds.torch(), x[: tuning.batch]
        before = self._error(teacher, check)
        groups = [
            {"params": [p], "lr": tuning.learning_rate * float(p.square().mean().sqrt().clamp(min=1e-4))}
            for p in self.learned
        ]
        optimiser = torch.optim.Adam(groups)
        kept = [p.detach().clone() for p in self.learned]
        for p in self.learned:
            p.requires_grad_(True)
        for _ in range(tuning.iterations):
            rows = torch.randperm(len(x), generator=drawn)[: tuning.batch]
            optimiser.zero_grad()
            self._loss(teacher, student, x[rows]).backward()
            optimiser.step()
        for p in self.learned:
            p.requires_grad_(False)
        after = self._error(teacher, check)
        if after > before:  # a block that did not gain stays as it was
            for p, value in zip(self.learned, kept):
                p.copy_(value)
            after = before
        return TunedBlock(self.name, before, after)

    @torch.no_grad()
    def _spiking(self, x: Tensor) -> dict[str, Tensor]:
        """Means over time of what comes in and goes out, of the spiking network."""
        wanted = [name for name in (*self.inputs, *self.outputs) if name != INPUT]
        _, _, recorded = self.network(x.expand(self.steps, *x.shape), record=wanted)
        return {INPUT: x, **{name: recorded[name].mean(0) for name in wanted}}

    @torch.no_grad()
    def _targets(self, teacher: Mapping[str, nn.Module], x: Tensor) -> dict[str, Tensor]:
        values = {INPUT: x}
        until = max(self.network.order.index(name) for name in self.outputs) + 1
        _run(list(self.network.order[:until]), self.sources, teacher, values)
        return values

    def _loss(self, teacher: Mapping[str, nn.Module], student: Mapping[str, nn.Module], x: Tensor) -> Tensor:
        spiking, targets = self._spiking(x), self._targets(teacher, x)
        values = {name: spiking[name] for name in self.inputs}
        _run(self.nodes, self.sources, student, values)
        losses = []
        for name in self.outputs:
            said = values[name] + (spiking[name] - values[name]).detach()
            scale = targets[name].square().mean().clamp(min=1e-12)
            losses.append((said - targets[name]).square().mean() / scale)
        return torch.stack(losses).mean()

    @torch.no_grad()
    def _error(self, teacher: Mapping[str, nn.Module], x: Tensor) -> float:
        spiking, targets = self._spiking(x), self._targets(teacher, x)
        off = sum(float((spiking[n] - targets[n]).square().sum()) for n in self.outputs)
        return off / max(sum(float(targets[n].square().sum()) for n in self.outputs), 1e-12)
