"""FoldPadding: zeros that are put around a map before a convolution become the convolution's own padding."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ..layers.shape import Rearrange
from ..network import INPUT
from .draft import Draft, Node
from .operations.owned import with_tensors


@dataclass(frozen=True)
class FoldPadding:
    """conv_p(pad_q(x)) = conv_(p+q)(x) for zeros on all sides alike: exact, and one copy of the map less per step.

    Done where the padding feeds nothing but a convolution with zero padding; uneven borders stay a node of their own.
    """

    def __call__(self, draft: Draft) -> Draft:
        first = draft.calibration.first[:1]
        shapes = {INPUT: first.shape, **{name: value.shape for name, value in draft.values(first).items()}}
        for pad, layer in list(draft.chain(Rearrange, nn.Conv2d)):
            border = _border(pad, tuple(shapes[pad.sources[0]][1:]))
            module: Any = layer.module
            if border is None or module.padding_mode != "zeros" or isinstance(module.padding, str):
                continue
            wider = with_tensors(module)
            wider.padding = tuple(p + q for p, q in zip(module.padding, border))  # type: ignore[assignment]
            draft = draft.changed(replace(layer, module=wider)).without(pad.name)
        return draft


def _border(pad: Node, shape: tuple[int, ...]) -> tuple[int, int] | None:
    """(rows, columns) of zeros on every side, where that is all that the node adds to a map of this shape."""
    module: Any = pad.module
    out_shape = module.out_shape
    if len(shape) != 3 or len(out_shape) != 3 or out_shape[0] != shape[0]:
        return None
    (high, odd_y), (wide, odd_x) = (divmod(int(after) - before, 2) for before, after in zip(shape[1:], out_shape[1:]))
    if odd_y or odd_x or high < 0 or wide < 0:
        return None
    numbers = torch.arange(1, 1 + shape[0] * shape[1] * shape[2]).reshape(shape)
    around = functional.pad(numbers, (wide, wide, high, high)).flatten() - 1
    return (high, wide) if torch.equal(around, module.index.cpu()) else None
