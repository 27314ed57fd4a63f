"""Several tensors as one: how a network of one input takes a model of several."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import ShapeError, must

Shapes = tuple[tuple[int, ...], ...]
"""(*shape) of one sample of each tensor."""


def packed(parts: Sequence[Tensor], shapes: Shapes, leading: int, name: str) -> Tensor:
    """Tensors (*leading axes, *shape) side by side: (*leading axes, sum of sizes). `name` is said in refusals."""
    got = [tuple(part.shape) for part in parts]
    if [shape[leading:] for shape in got] != list(shapes) or len({shape[:leading] for shape in got}) != 1:
        axes = "(T, N, *shape)" if leading > 1 else "(N, *shape)"
        rule = f"{len(shapes)} tensors {axes} of shapes {', '.join(map(str, shapes))}"
        raise ShapeError(must(name, rule, ", ".join(map(str, got))))
    return torch.cat([part.reshape(*part.shape[:leading], -1) for part in parts], -1)


def unpacked(x: Tensor, shapes: Shapes) -> tuple[Tensor, ...]:
    """The tensors (N, *shape) in x (N, sum of sizes)."""
    if len(shapes) < 2:
        return (x,)
    sizes = [int(torch.Size(shape).numel()) for shape in shapes]
    return tuple(part.reshape(len(x), *shape) for part, shape in zip(x.split(sizes, 1), shapes))
