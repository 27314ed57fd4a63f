"""Assembly: a finished draft becomes a network whose spikes leave as 1.

What a spike stands for (theta, the 1/k^2 of an average pool, a constant factor) travels along the edges as an
amplitude, until weights, a threshold or a normalisation take it in. So pools of spikes and of whole inputs stay whole
numbers, and shapes may change on the way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConversionError, must
from ..layers.difference import TemporalDifference
from ..layers.pool import CumulativeMaxPool2d, SumPool2d
from ..layers.quantised import QuantisedReLU
from ..layers.scale import Scale
from ..layers.shape import Concat, Gain, Rearrange, Reshape, Shift
from ..network import INPUT, Conversion, Edge, Network
from .draft import SPIKING, Draft, Node
from .operations.owned import with_tensors
from .operations.smooth import FloatOperator

Moves = (nn.Flatten, Reshape, Rearrange)


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
        self.shapes[INPUT] = draft.input_shape
        self.modules: dict[str, nn.Module] = {}
        self.edges: list[Edge] = []
        self.carries = {INPUT: Carry(None, bool((first == first.round()).all()), True)}
        self.entry_linear: list[str] = []
        self.entry_neurons: list[str] = []
        self.entry_scales: list[str] = []

    def network(self, recipe: str) -> Network:
        for node in self.draft.nodes:
            if isinstance(node.module, Concat):
                sources, carry = self._side_by_side(node)
            else:
                sources, carry = self._gathered(node)
            if node.current is not None:
                sources = [self._driven(node, sources, carry)]
            self.modules[node.name], self.carries[node.name] = self._built(node, carry)
            self.edges += [Edge(source, node.name) for source in sources]
        output = self._settled(self.draft.output)
        entry = (
            tuple(self.entry_linear),
            tuple(self.entry_neurons),
            None,
            recipe,
            tuple(self.entry_scales),
            self.draft.calibration.parts,
            self.draft.calibration.counts,
        )
        return Network(
            self.modules, self.edges, output=output, input_shape=self.draft.input_shape, readout=self.draft.readout,
            conversion=Conversion(*entry), calibration=self.draft.calibration.first,
        ).eval().requires_grad_(False)  # fmt: skip

    def _gathered(self, node: Node) -> tuple[list[str], Carry]:
        """The sources of a node and what reaches it; sums and joins are made in the ANN's units."""
        if len(node.sources) == 1:
            (source,) = node.sources
            name = source if self._accepts(node.module, source) else self._settled(source)
            return [name], self.carries[name]
        names = [self._settled(source) for source in node.sources]
        entry = all(self.carries[name].entry for name in names)
        names = [name if entry else self._past_entry(name) for name in names]
        whole = all(self.carries[name].whole for name in names)
        return names, Carry(None, whole, entry)

    def _side_by_side(self, node: Node) -> tuple[list[str], Carry]:
        """A concatenation: every part keeps its amplitude."""
        entry = all(self.carries[source].entry for source in node.sources)
        names = [source if entry else self._past_entry(source) for source in node.sources]
        carries = [self.carries[name] for name in names]
        whole = all(carry.whole for carry in carries)
        if all(carry.amplitude is None for carry in carries):
            return names, Carry(None, whole, entry)
        assert isinstance(node.module, Concat)
        full = torch.cat([self._full(name) for name in names], node.module.dim - 1)
        return names, Carry(_least_axes(full), whole, entry)

    def _accepts(self, module: nn.Module, source: str) -> bool:
        """Whether a module can take its source in units of the amplitude."""
        amplitude, axes = self.carries[source].amplitude, len(self.shapes[source])
        if amplitude is None or isinstance(module, (*Moves, Scale, nn.Identity)):
            return True
        spread = [n > 1 for n in (*[1] * (axes - amplitude.ndim), *amplitude.shape)]
        if isinstance(module, nn.Linear):
            return not any(spread[:-1])
        per_channel = not any(spread[1:])
        if isinstance(module, (nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d)):
            return per_channel
        if isinstance(module, SPIKING):
            return bool((amplitude > 0).all())
        if isinstance(module, (nn.MaxPool2d, nn.AvgPool2d)):
            return per_channel and bool((amplitude > 0).all())
        return isinstance(module, Shift)

    def _full(self, name: str) -> Tensor:
        """The amplitude of every value of a node (*shape)."""
        carry, shape = self.carries[name], self.shapes[name]
        return torch.ones(shape) if carry.amplitude is None else carry.amplitude.cpu().expand(shape)

    def _added(self, name: str, module: nn.Module, source: str, carry: Carry) -> str:
        """A helper node after `source`, once."""
        if name not in self.modules:
            self.modules[name], self.carries[name] = module, carry
            self.shapes[name] = self.shapes[source]
            self.edges.append(Edge(source, name))
        return name

    def _settled(self, name: str) -> str:
        """`name`, or a scale after it that puts its amplitude back into the values."""
        carry = self.carries[name]
        if carry.amplitude is None:
            return name
        module = with_tensors(Scale(tuple(carry.amplitude.shape)), factor=carry.amplitude)
        return self._added(f"{name}_scale", module, name, Carry(None, False, carry.entry))

    def _past_entry(self, name: str) -> str:
        """`name`, or a gain after it that event data's factor T goes into: values of the input among those of neurons."""
        carry = self.carries[name]
        if not carry.entry:
            return name
        gain = f"{name}_gain"
        if gain not in self.modules:
            self.entry_scales.append(gain)
        return self._added(gain, Gain(), name, replace(carry, entry=False))

    def _driven(self, node: Node, sources: list[str], carry: Carry) -> str:
        """A constant current into a neuron: what a calibration adds."""
        assert node.current is not None
        current = node.current if carry.amplitude is None else node.current / carry.amplitude
        if len(sources) == 1 and self._takes_bias(sources[0]):
            self.modules[sources[0]] = _with_bias(self.modules[sources[0]], current)
            return sources[0]
        name = f"{node.name}_current"
        module = with_tensors(Shift(tuple(current.shape)), bias=current)
        self.modules[name], self.shapes[name] = module, self.shapes[node.name]
        self.edges += [Edge(source, name) for source in sources]
        if carry.entry:
            self.entry_linear.append(name)
        return name

    def _takes_bias(self, source: str) -> bool:
        module = self.modules.get(source)
        alone = len(self.draft.users(source)) == 1 if source in {n.name for n in self.draft.nodes} else False
        return isinstance(module, (nn.Conv2d, nn.Linear)) and alone

    def _built(self, node: Node, carry: Carry) -> tuple[nn.Module, Carry]:
        """The spiking network's module for a node, and what leaves it."""
        match node.module:
            case nn.Conv2d() | nn.Linear() | nn.BatchNorm1d() | nn.BatchNorm2d():
                if carry.entry:
                    self.entry_linear.append(node.name)
                return _absorbing(node.module, carry.amplitude), Carry(None, False, carry.entry)
            case nn.ReLU() | nn.Hardtanh() | QuantisedReLU():
                return self._neuron(node, carry)
            case nn.MaxPool2d():
                m: Any = node.module
                pool = CumulativeMaxPool2d(m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode)
                return pool, carry
            case nn.AvgPool2d():
                return _average(node.module, carry)
            case nn.Flatten() | Reshape() | Rearrange():
                return node.module, replace(carry, amplitude=self._moved(node, carry))
            case Scale():
                factor = node.module.factor
                return nn.Identity(), replace(
                    carry, amplitude=factor if carry.amplitude is None else carry.amplitude * factor
                )
            case Shift():
                if carry.entry:
                    self.entry_linear.append(node.name)
                return _shifting(node.module, carry), replace(carry, whole=False)
            case FloatOperator():
                if carry.entry:
                    self.entry_linear.append(node.name)
                return TemporalDifference(node.module.function), Carry(None, False, carry.entry)
            case nn.Identity() | Concat():
                return node.module, carry
        return node.module, Carry(None, False, carry.entry)

    def _neuron(self, node: Node, carry: Carry) -> tuple[nn.Module, Carry]:
        if node.threshold is None:
            raise ConversionError(must(f"ann.{node.path}", "given a threshold by the recipe", "none"))
        unit = node.threshold.theta / node.neuron.peak
        own = unit if carry.amplitude is None else unit / carry.amplitude
        if carry.entry:
            self.entry_neurons.append(node.name)
        return node.neuron.made(own, node.initial * own), Carry(unit, True, False)

    def _moved(self, node: Node, carry: Carry) -> Tensor | None:
        """The amplitude after a change of shape."""
        if carry.amplitude is None:
            return None
        if carry.amplitude.numel() == 1:
            return carry.amplitude.reshape([1] * len(self.shapes[node.name]))
        full = self._full(node.sources[0])
        moved = node.module(full[None])[0]
        return _least_axes(torch.where(moved == 0, torch.ones_like(moved), moved))


def _least_axes(full: Tensor) -> Tensor:
    """An amplitude (*shape) with every axis along which it is constant reduced to one entry."""
    for axis, size in enumerate(full.shape):
        first = full.narrow(axis, 0, 1)
        if size > 1 and bool((full == first).all()):
            full = first
    return full.contiguous()


def _absorbing(module: Any, amplitude: Tensor | None) -> nn.Module:
    """`module` for inputs in units of `amplitude`.

    weights   W'[:, c] = W[:, c] a[c];     normalisation   gamma' = gamma a,  mu' = 0,  beta' = beta - gamma mu / sigma
    """
    a = torch.ones(1) if amplitude is None else amplitude.double().reshape(-1)
    weight = module.weight.double()
    a = a.to(weight.device)
    if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
        return _centred(module, weight * a)
    if amplitude is None:
        return module  # type: ignore[no-any-return]
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


def _shifting(module: Any, carry: Carry) -> nn.Module:
    """A constant in units of the amplitude that its input keeps."""
    if carry.amplitude is None:
        return module  # type: ignore[no-any-return]
    bias = module.bias / carry.amplitude
    return with_tensors(Shift(tuple(bias.shape)), bias=bias)


def _with_bias(module: Any, current: Tensor) -> nn.Module:
    """A convolution or linear layer that adds `current`, one number per output channel."""
    more = current.reshape(-1).expand(module.weight.shape[0])
    fresh = with_tensors(module)
    before = torch.zeros_like(more) if module.bias is None else module.bias
    fresh._parameters["bias"] = nn.Parameter(before.detach() + more.to(before), requires_grad=False)
    return fresh


def _average(pool: nn.AvgPool2d, carry: Carry) -> tuple[nn.Module, Carry]:
    """A sum with its factor carried on, where values are whole and all windows have one size; else the pool itself."""
    ky, kx = pool.kernel_size  # type: ignore[misc]
    uniform = pool.divisor_override or (not pool.ceil_mode and (pool.count_include_pad or pool.padding == (0, 0)))
    if not carry.whole or not uniform:
        return pool, replace(carry, whole=False)
    share = torch.tensor(1.0 / (pool.divisor_override or math.prod((ky, kx))))
    amplitude = share if carry.amplitude is None else carry.amplitude * share
    return SumPool2d((ky, kx), pool.stride, pool.padding, pool.ceil_mode), Carry(amplitude, True, carry.entry)  # type: ignore[arg-type]
