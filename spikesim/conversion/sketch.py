"""Sketch: the draft's nodes while a traced graph is read, one operation after the other, on an example.

Every reader (torch.fx, torch.export, ONNX) calls the same operations (`operations/`), and every operation writes its
nodes here. A node is computed on the example at once, so its shape is known and nothing has to be inferred.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..layers.shape import Rearrange, Reshape
from ..network import INPUT
from .draft import Node


class Unsupported(Exception):
    """An operation, or a form of it, that cannot be converted; its text completes "must be ..., got"."""


@dataclass(frozen=True)
class Ref:
    """A value of the graph that depends on the input: the name of its node, its shape (B, *shape)."""

    name: str
    shape: tuple[int, ...]

    @property
    def ndim(self) -> int:
        """Axes, the batch's included."""
        return len(self.shape)


class Sketch:
    """Nodes written so far, and the example's value at each.

    example  x (B, *shape) of the input;  path  of the operation that is being read, in the user's words
    """

    def __init__(self, example: Tensor) -> None:
        self.nodes: list[Node] = []
        self.values: dict[str, Tensor] = {INPUT: example}
        self.path = ""

    def ref(self, name: str) -> Ref:
        """The reference to a node that is there."""
        return Ref(name, tuple(self.values[name].shape))

    @property
    def input(self) -> Ref:
        """The network's input."""
        return self.ref(INPUT)

    def inputs(self, names: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> list[Ref]:
        """The tensors that a model takes: the input itself, or a node for each where several are packed in it."""
        if len(shapes) < 2:
            return [self.input]
        found, start = [], 0
        for self.path, shape in zip(names, shapes):
            size = int(torch.Size(shape).numel())
            found.append(self.picked(self.input, torch.arange(start, start + size).reshape(shape)))
            start += size
        return found

    def emit(self, module: nn.Module, *sources: Ref, name: str = "") -> Ref:
        """Write a node that applies `module` to the sum of its sources, or to all of them where it joins."""
        if type(module) is nn.Identity and len(sources) == 1:
            return sources[0]
        parts = [self.values[source.name] for source in sources]
        module.to(self.values[INPUT].dtype)
        if getattr(module, "joins", False):
            value = module(*parts)
        else:
            value = module(parts[0] if len(parts) == 1 else sum(parts[1:], parts[0]))
        free = self._free(name or self.path or type(module).__name__.lower())
        self.nodes.append(Node(free, module, tuple(source.name for source in sources), self.path))
        self.values[free] = value
        return self.ref(free)

    def rearranged(self, x: Ref, function: Callable[[Tensor], Tensor]) -> Ref:
        """A node that moves values about as `function` does, which is tried on their numbers.

        Raises Unsupported where it computes anything, or mixes samples.
        """
        (index,) = self.indices(x, lambda t: (function(t),))
        return self.picked(x, index)

    def indices(self, x: Ref, function: Callable[[Tensor], tuple[Tensor, ...]]) -> list[Tensor]:
        """Where each output of `function` takes its values from: (*shape') int64, flat in x's shape, -1 for a zero."""
        batch, size = x.shape[0], int(torch.Size(x.shape[1:]).numel())
        numbers = torch.arange(1, batch * size + 1, dtype=torch.float64).reshape(x.shape)
        found = []
        for y in function(numbers):
            if not isinstance(y, Tensor) or y.ndim < 1 or y.shape[0] != batch:
                raise Unsupported("a shape change that mixes samples")
            offsets = torch.arange(batch, dtype=torch.float64).reshape(-1, *[1] * (y.ndim - 1)) * size
            local = torch.where(y > 0, y - offsets, y)
            if bool((local != local[:1]).any()) or bool((local < 0).any()) or bool((local > size).any()):
                raise Unsupported("a shape change that mixes samples")
            found.append(local[0].long() - 1)
        return found

    def picked(self, x: Ref, index: Tensor) -> Ref:
        """A node that takes the values of x at `index` (*shape'), flat in x's shape; -1 gives 0."""
        size, out_shape = int(torch.Size(x.shape[1:]).numel()), tuple(index.shape)
        if index.numel() == size and torch.equal(index.flatten(), torch.arange(size)):
            if out_shape == x.shape[1:]:
                return x
            return self.emit(nn.Flatten(1) if len(out_shape) == 1 else Reshape(out_shape), x)
        module = Rearrange(out_shape)
        module.index.copy_(index.flatten())
        return self.emit(module, x)

    def _free(self, path: str) -> str:
        name, number = path, 0
        while name in self.values:
            number += 1
            name = f"{path}_{number}"
        return name
