"""Assembly: a finished draft becomes a network whose spikes leave as 1.

What a spike stands for (theta, the 1/k^2 of an average pool) travels along the edges as an amplitude, until weights,
a threshold or a normalisation take it in. So pools of spikes and of whole inputs stay whole numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConversionError, must
from ..layers.pool import CumulativeMaxPool2d, SumPool2d
from ..layers.scale import Scale
from ..network import INPUT, Conversion, Edge, Network
from ..readout import Mean
from .draft import Draft, Node
from .operations import with_tensors


@dataclass(frozen=True)
class Carry:
    """What an edge carries besides its values.

    amplitude  what a value of 1 stands for in the ANN's units; broadcasts to *shape; None: 1
    whole      the values are whole numbers: spikes, their sums, counts
    entry      no neuron yet since the input: the values scale with the input
    """

    amplitude: Tensor | None = None
    whole: bool = False
    entry: bool = False


def assemble(draft: Draft, recipe: str) -> Network:
    """The network of a draft whose neurons have thresholds; ConversionError where one has none."""
    return _Assembly(draft).network(recipe)


class _Assembly:
    def __init__(self, draft: Draft) -> None:
        first = draft.calibration.first
        self.draft, self.shapes = draft, {n: tuple(v.shape[1:]) for n, v in draft.values(first[:1]).items()}
        self.modules: dict[str, nn.Module] = {}
        self.edges: list[Edge] = []
        self.carries = {INPUT: Carry(None, bool((first == first.round()).all()), True)}
        self.entry_linear: list[str] = []
        self.entry_neurons: list[str] = []

    def network(self, recipe: str) -> Network:
        for node in self.draft.nodes:
            sources, carry = self._gathered(node)
            self.modules[node.name], self.carries[node.name] = self._built(node, carry)
            self.edges += [Edge(source, node.name) for source in sources]
        output = self._settled(self.draft.output)
        return Network(
            self.modules, self.edges, output=output, input_shape=self.draft.input_shape, readout=Mean(),
            conversion=Conversion(tuple(self.entry_linear), tuple(self.entry_neurons), None, recipe),
            calibration=self.draft.calibration.first,
        ).eval().requires_grad_(False)  # fmt: skip

    def _gathered(self, node: Node) -> tuple[list[str], Carry]:
        """The sources of a node and what reaches it; sums are made in the ANN's units."""
        if len(node.sources) == 1:
            return list(node.sources), self.carries[node.sources[0]]
        names = [self._settled(source) for source in node.sources]
        carries = [self.carries[name] for name in names]
        if len({carry.entry for carry in carries}) > 1:
            got = "one from the input and one from a neuron"
            raise ConversionError(must(f"ann.{node.path}", "a sum of values that all passed a neuron, or none", got))
        return names, Carry(None, all(carry.whole for carry in carries), carries[0].entry)

    def _settled(self, name: str) -> str:
        """`name`, or a scale after it that puts its amplitude back into the values."""
        carry = self.carries[name]
        if carry.amplitude is None:
            return name
        scaled = f"{name}_scale"
        if scaled not in self.modules:
            module = Scale(tuple(carry.amplitude.shape))
            self.modules[scaled] = with_tensors(module, factor=carry.amplitude)
            self.carries[scaled] = Carry(None, False, carry.entry)
            self.edges.append(Edge(name, scaled))
        return scaled

    def _built(self, node: Node, carry: Carry) -> tuple[nn.Module, Carry]:
        """The spiking network's module for a node, and what leaves it."""
        match node.module:
            case nn.Conv2d() | nn.Linear() | nn.BatchNorm1d() | nn.BatchNorm2d():
                if carry.entry:
                    self.entry_linear.append(node.name)
                return _absorbing(node.module, carry.amplitude), Carry(None, False, carry.entry)
            case nn.ReLU():
                return self._neuron(node, carry)
            case nn.MaxPool2d():
                m: Any = node.module
                pool = CumulativeMaxPool2d(m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode)
                return pool, carry
            case nn.AvgPool2d():
                return _average(node.module, carry)
            case nn.Flatten():
                return node.module, replace(carry, amplitude=self._flat(node, carry.amplitude))
        return node.module, replace(carry, whole=carry.whole and isinstance(node.module, nn.Identity))

    def _neuron(self, node: Node, carry: Carry) -> tuple[nn.Module, Carry]:
        if node.threshold is None:
            raise ConversionError(must(f"ann.{node.path}", "given a threshold by the recipe", "none"))
        theta = node.threshold.theta
        own = theta if carry.amplitude is None else theta / carry.amplitude
        if carry.entry:
            self.entry_neurons.append(node.name)
        return node.neuron(own, initial=node.initial * own), Carry(theta, True, False)

    def _flat(self, node: Node, amplitude: Tensor | None) -> Tensor | None:
        """The amplitude of maps (C, 1, 1), repeated for every pixel: (C H W,)."""
        if amplitude is None:
            return None
        (source,) = node.sources
        shape = self.draft.input_shape if source == INPUT else self.shapes[source]
        return amplitude.expand(shape).reshape(-1)


def _absorbing(module: Any, amplitude: Tensor | None) -> nn.Module:
    """`module` for inputs in units of `amplitude`.

    weights   W'[:, c] = W[:, c] a[c];     normalisation   gamma' = gamma a,  mu' = 0,  beta' = beta - gamma mu / sigma
    """
    a = torch.ones(1) if amplitude is None else amplitude.double().reshape(-1)
    weight = module.weight.double()
    if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
        return _centred(module, weight * a.to(weight.device))
    if amplitude is None:
        return module
    if isinstance(module, nn.Conv2d):
        groups = a.expand(module.in_channels).reshape(module.groups, 1, -1, 1, 1)
        scaled = weight.reshape(module.groups, -1, *weight.shape[1:]) * groups
        return with_tensors(module, weight=scaled.reshape(weight.shape))
    return with_tensors(module, weight=weight * a)


def _centred(norm: Any, gamma: Tensor) -> nn.Module:
    """A normalisation with factor gamma, whose whole offset is its bias: entry biases are divided by T for rasters."""
    mean, sigma = norm.running_mean.double(), torch.sqrt(norm.running_var.double() + norm.eps)
    offset = norm.bias.double() - norm.weight.double() * mean / sigma
    return with_tensors(norm, weight=gamma, bias=offset, running_mean=torch.zeros_like(mean))


def _average(pool: nn.AvgPool2d, carry: Carry) -> tuple[nn.Module, Carry]:
    """A sum with its factor carried on, where values are whole and all windows have one size; else the pool itself."""
    ky, kx = pool.kernel_size  # type: ignore[misc]
    uniform = pool.divisor_override or (not pool.ceil_mode and (pool.count_include_pad or pool.padding == (0, 0)))
    if not carry.whole or not uniform:
        return pool, replace(carry, whole=False)
    share = torch.tensor(1.0 / (pool.divisor_override or math.prod((ky, kx))))
    amplitude = share if carry.amplitude is None else carry.amplitude * share
    return SumPool2d((ky, kx), pool.stride, pool.padding, pool.ceil_mode), Carry(amplitude, True, carry.entry)  # type: ignore[arg-type]
