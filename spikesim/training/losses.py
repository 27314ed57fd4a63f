"""Losses: a network's output over time, and labels, to one number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..core.params import check


class Loss:
    """Abstract: (model, x, labels) -> (scalar loss, scores (B, classes)). Subclasses are frozen dataclasses."""

    def __call__(self, model: nn.Module, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """Cross-entropy of an ANN's scores: x (B, *shape) -> (B, classes).

    smoothing   share of the label's mass spread over all classes
    """

    smoothing: float = 0.0

    def __post_init__(self) -> None:
        check(self, "smoothing", at_least=0, at_most=1)

    def __call__(self, model: nn.Module, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        scores = model(x)
        return functional.cross_entropy(scores, labels, label_smoothing=self.smoothing), scores.detach()


@dataclass(frozen=True)
class ReadoutCrossEntropy(Loss):
    """Cross-entropy of a spiking network's own readout, back through time.

    The batch x is (B, T, *shape), as data loaders give it; it is run as (T, B, *shape).
    """

    smoothing: float = 0.0

    def __post_init__(self) -> None:
        check(self, "smoothing", at_least=0, at_most=1)

    def __call__(self, model: Any, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        output, _, _ = model(x.transpose(0, 1))
        scores = model.readout(output)
        return functional.cross_entropy(scores, labels, label_smoothing=self.smoothing), scores.detach()


def accuracy(scores: Tensor, labels: Tensor) -> float:
    """Share of rows of scores (B, classes) whose largest entry is at the label (B,)."""
    return float((scores.argmax(1) == labels).to(torch.float64).mean())
