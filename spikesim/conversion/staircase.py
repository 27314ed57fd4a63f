"""Quantised activations written by hand: a floor between scales, shifts and clamps is found and becomes a neuron.

    y = c clip(floor(a x + b), n0, n1) + d,      L = n1 - n0,   theta = c L
      = theta clip(floor(L z / theta + 1/2) / L, 0, 1) + c n0 + d,      z = c (a x + b - n0 - 1/2)

So every staircase of equal steps with two ends is a `QuantisedReLU` between two affine maps: QCFS, clip-floor, PACT and
LSQ with their learned scales, fake quantisation. round(x) is read as floor(x + 1/2). The straight-through forms
x + (floor(x) - x).detach() are simplified first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..errors import ConversionError, must
from ..layers.quantised import QuantisedReLU
from ..layers.scale import Scale
from ..layers.shape import Shift
from .draft import Node, needed
from .operations.rounding import Floor

Nodes = tuple[Node, ...]


@dataclass(frozen=True)
class _Line:
    """x -> clip(a x + b, low, high)."""

    a: Tensor
    b: Tensor
    low: float = -math.inf
    high: float = math.inf

    def then(self, module: nn.Module) -> _Line | None:
        """The line with one more module after it; None where that is no line any more."""
        if isinstance(module, nn.ReLU):
            return replace(self, low=max(self.low, 0.0), high=max(self.high, 0.0))
        if isinstance(module, nn.Hardtanh):
            low, high = module.min_val, module.max_val
            return replace(self, low=min(max(self.low, low), high), high=max(min(self.high, high), low))
        if isinstance(module, Shift):
            return self._moved(torch.ones(()), module.bias.double())
        return self._moved(module.factor.double(), torch.zeros(())) if isinstance(module, Scale) else None

    def _moved(self, factor: Tensor, offset: Tensor) -> _Line | None:
        bounded = self.low > -math.inf or self.high < math.inf
        if not bool((factor != 0).all()) or (bounded and (factor.numel() > 1 or offset.numel() > 1)):
            return None
        low, high = self.low, self.high
        if bounded:
            low, high = sorted((low * float(factor) + float(offset), high * float(factor) + float(offset)))
        return _Line(self.a * factor, self.b * factor + offset, low, high)


def as_neurons(nodes: Nodes, output: str, precision: torch.dtype) -> Nodes:
    """The nodes with every staircase as a quantised activation. Raises ConversionError for other roundings."""
    if not any(isinstance(node.module, Floor) for node in nodes):
        return nodes
    nodes = _straight(nodes, output)
    while (at := next((n for n in nodes if isinstance(n.module, Floor)), None)) is not None:
        nodes = _replaced(nodes, at, output)
    for node in nodes:
        node.module.to(precision)
    return nodes


def _replaced(nodes: Nodes, floor: Node, output: str) -> Nodes:
    """One staircase exchanged for two affine maps and a quantised activation; its last node keeps its name."""
    by_name = {node.name: node for node in nodes}
    users = {node.name: [n for n in nodes if node.name in n.sources] for node in nodes}
    before, after = [floor], [floor]
    while (source := by_name.get(before[0].sources[0])) and _links(source) and len(users[source.name]) == 1:
        before.insert(0, source)
    inward = _best(before[:-1])
    before = before[-1 - len(inward) :]
    while after[-1].name != output and len(users[after[-1].name]) == 1 and _links(users[after[-1].name][0]):
        after.append(users[after[-1].name][0])
    first, found = before[0], _read(before[:-1], after[1:])
    if found is None:
        rule = "part of a quantised activation: equal steps between a lowest and a highest value"
        raise ConversionError(must(f"ann.{floor.path}", rule, "another rounding"))
    length, pieces = found
    last, fresh, reads = after[length], list[Node](), first.sources[0]
    for i, module in enumerate(pieces):
        name = last.name if i == len(pieces) - 1 else f"{floor.name}_{i}"
        fresh.append(Node(name, module, (reads,), floor.path))
        reads = name
    gone = {node.name for node in (*before, *after[: length + 1])}
    place = next(i for i, node in enumerate(nodes) if node.name == last.name)
    kept = [node for node in nodes[:place] if node.name not in gone]
    return (*kept, *fresh, *(node for node in nodes[place + 1 :] if node.name not in gone))


def _links(node: Node) -> bool:
    """Whether a node may be part of a staircase."""
    return len(node.sources) == 1 and isinstance(node.module, (nn.ReLU, nn.Hardtanh, Scale, Shift))


def _line(nodes: list[Node]) -> _Line | None:
    line: _Line | None = _Line(torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64))
    for node in nodes:
        line = None if line is None else line.then(node.module)
    return line


def _best(nodes: list[Node]) -> list[Node]:
    """The longest tail of the nodes that is a line."""
    return next(nodes[i:] for i in range(len(nodes) + 1) if _line(nodes[i:]) is not None)


def _read(before: list[Node], after: list[Node]) -> tuple[int, list[nn.Module]] | None:
    """(nodes after the floor that belong to it, modules in its place)."""
    inward = _line(before)
    if inward is None or not bool((inward.a > 0).all()):
        return None
    for length in range(len(after), -1, -1):
        outward = _line(after[:length])
        if outward is None or not bool((outward.a > 0).all()):
            continue
        low, high = (math.floor(v + 1e-6) if math.isfinite(v) else v for v in (inward.low, inward.high))
        if (outward.low, outward.high) != (-math.inf, math.inf):  # bounds after the floor, in its units
            if outward.a.numel() > 1 or outward.b.numel() > 1:
                continue
            a, b = float(outward.a), float(outward.b)
            low, high = max(low, round((outward.low - b) / a, 6)), min(high, round((outward.high - b) / a, 6))
        if not (math.isfinite(low) and math.isfinite(high)) or low % 1 or high % 1 or high <= low:
            continue
        return length, _pieces(inward, outward, int(low), int(high))
    return None


def _pieces(inward: _Line, outward: _Line, low: int, high: int) -> list[nn.Module]:
    """Affine map, quantised activation, affine map."""
    c, levels = outward.a, high - low
    scale, shift, rest = inward.a * c, c * (inward.b - low - 0.5), c * low + outward.b
    theta = QuantisedReLU(levels, tuple(c.shape))
    theta.threshold.data = c * levels
    pieces: list[nn.Module] = [] if _is(scale, 1.0) else [_tensored(Scale, "factor", scale)]
    pieces += [] if _is(shift, 0.0) else [_tensored(Shift, "bias", shift)]
    pieces.append(theta.requires_grad_(False))
    return pieces + ([] if _is(rest, 0.0) else [_tensored(Shift, "bias", rest)])


def _is(tensor: Tensor, value: float) -> bool:
    return bool(torch.allclose(tensor, torch.full_like(tensor, value), rtol=0, atol=1e-7))


def _tensored(kind: type[nn.Module], name: str, value: Tensor) -> nn.Module:
    module = kind(tuple(value.shape))  # type: ignore[call-arg]
    setattr(module, name, value)
    return module


def _straight(nodes: Nodes, output: str) -> Nodes:
    """x + (floor(x) - x) as floor(x): sums whose terms cancel."""
    combination: dict[str, dict[str, float]] = {}
    alias: dict[str, str] = {}
    kept = list[Node]()
    for node in nodes:
        node = replace(node, sources=tuple(alias.get(source, source) for source in node.sources))
        own = {node.name: 1.0}
        if type(node.module) is nn.Identity:
            own = {}
            for source in node.sources:
                for name, factor in combination.get(source, {source: 1.0}).items():
                    own[name] = own.get(name, 0.0) + factor
            own = {name: factor for name, factor in own.items() if factor}
            if len(own) == 1 and set(own.values()) == {1.0} and node.name != output:
                alias[node.name] = next(iter(own))
                continue
        elif isinstance(node.module, Scale) and node.module.factor.numel() == 1:
            terms = combination.get(node.sources[0], {node.sources[0]: 1.0})
            own = {name: factor * float(node.module.factor) for name, factor in terms.items()}
        combination[node.name] = own
        kept.append(node)
    return needed(kept, output)
