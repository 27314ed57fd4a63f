"""What a picture's further planes say, such as the time of a diffusion: picked out, and made an embedding of."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..core.params import number
from ..errors import ParameterError, must


class Channels(nn.Module):
    """Channels `start` to `stop` (left out) of x (N, C, *rest)."""

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        number("Channels.start", start, at_least=0, below=stop, integer=True)
        self.start, self.stop = start, stop

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.start : self.stop]

    def extra_repr(self) -> str:
        return f"{self.start}, {self.stop}"


class TimeEmbedding(nn.Module):
    """Sinusoids of a number that fills a plane: x (N, 1, H, W) -> (N, size).

        y_i = sin(t f_i),   y_(size/2 + i) = cos(t f_i),      f_i = 10000^(-i / (size/2)),   t = x[n, 0, 0, 0]

    Vaswani et al., NeurIPS 2017; of diffusion times: Ho et al., NeurIPS 2020.
    """

    frequencies: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        if size < 2 or size % 2:
            raise ParameterError(must("TimeEmbedding.size", "even, at least 2", size))
        self.size = size
        frequencies = torch.exp(torch.arange(size // 2) * (-math.log(10000.0) / (size // 2)))
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        phase = functional.linear(x[:, :, 0, 0], self.frequencies[:, None])  # a product that conversion knows
        return torch.cat([torch.sin(phase), torch.cos(phase)], 1)

    def extra_repr(self) -> str:
        return f"{self.size}"


class ClassEmbedding(nn.Module):
    """A learned row for the class whose number fills a plane: x (N, 1, H, W) -> (N, size); class `classes` is "none"."""

    def __init__(self, classes: int, size: int) -> None:
        super().__init__()
        number("ClassEmbedding.classes", classes, at_least=1, integer=True)
        self.classes, self.size = classes, size
        self.weight = nn.Parameter(torch.randn(classes + 1, size))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight[x[:, 0, 0, 0].round().long()]

    def extra_repr(self) -> str:
        return f"{self.classes}, {self.size}"
