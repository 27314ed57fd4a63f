"""Losses: how a model is shown a batch, and its output over time and the labels as one number.

For outputs o_t (T, B, C) of a spiking network, logits z and labels y:

    ReadoutCrossEntropy   CE(readout(o), y)                     the network's own readout
    MembraneCrossEntropy  CE(sum_t o_t, y)                      outputs accumulated without leak or spike
    RateCrossEntropy      CE(gain mean_t o_t, y)                spike rates of spiking outputs
    Tet                   mean_t [(1 - share) CE(o_t, y) + share (o_t - target)^2]
    Regularised           loss + weight mean_l (r_l - rate)^2   r_l: mean |spikes| per neuron and step of layer l
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..core.params import check
from ..errors import ParameterError, must
from ..neurons import Neuron


class Loss:
    """Abstract: (model, x, labels) -> (scalar loss, scores (B, classes)). Subclasses are frozen dataclasses."""

    def __call__(self, model: nn.Module, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    scored: ClassVar[str] = "accuracy"
    """What `score` measures."""

    def shown(self, x: Tensor) -> Tensor | None:
        """A batch as a spiking network takes it, (T, B, *shape); None where it is an ANN that is trained."""
        return None

    def score(self, scores: Tensor, labels: Tensor) -> float:
        """How right a batch's scores are, at most 1; the mean over samples: their accuracy."""
        return accuracy(scores, labels)


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

    steps       None: the batch x is (B, T, *shape), as data loaders give it, and run as (T, B, *shape); otherwise x
                (B, *shape) is shown at each of so many steps (direct encoding)
    smoothing   share of the label's mass spread over all classes
    """

    smoothing: float = 0.0
    steps: int | None = None

    def __post_init__(self) -> None:
        check(self, "smoothing", at_least=0, at_most=1)
        if self.steps is not None:
            check(self, "steps", at_least=1, integer=True)

    def __call__(self, model: Any, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        output, _, _ = model(self.shown(x))
        return self.of(model, output, labels)

    def shown(self, x: Tensor) -> Tensor:
        """(T, B, *shape)"""
        return x.transpose(0, 1) if self.steps is None else x.expand(self.steps, *x.shape)

    def of(self, model: Any, output: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and scores of an output (T, B, classes)."""
        scores = self.scores(model, output)
        return functional.cross_entropy(scores, labels, label_smoothing=self.smoothing), scores.detach()

    def scores(self, model: Any, output: Tensor) -> Tensor:
        """Logits (B, classes) of an output (T, B, classes)."""
        return model.readout(output)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class MembraneCrossEntropy(ReadoutCrossEntropy):
    """Cross-entropy of the sum of outputs over time: of the membrane of an output layer that neither leaks nor spikes."""

    def scores(self, model: Any, output: Tensor) -> Tensor:
        return output.sum(0)


@dataclass(frozen=True)
class RateCrossEntropy(ReadoutCrossEntropy):
    """Cross-entropy of spike rates, times `gain`: rates are at most 1, and so would logits be."""

    gain: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, "gain", above=0)

    def scores(self, model: Any, output: Tensor) -> Tensor:
        return self.gain * output.mean(0)


@dataclass(frozen=True)
class Tet(ReadoutCrossEntropy):
    """Temporal efficient training: every step must answer, and outputs stay near `target`.

    share    of the regularising term        Deng et al. 2022 (share 0.05, target the threshold, 1)
    """

    share: float = 0.05
    target: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, "share", at_least=0, at_most=1)

    def of(self, model: Any, output: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        steps = output.shape[0]
        entropy = functional.cross_entropy(output.flatten(0, 1), labels.repeat(steps), label_smoothing=self.smoothing)
        near = (output - self.target).square().mean()
        return (1 - self.share) * entropy + self.share * near, output.mean(0).detach()


@dataclass(frozen=True)
class Regularised(Loss):
    """Another loss, and how far spike rates are from `rate` (spikes per neuron and step), times `weight`."""

    loss: ReadoutCrossEntropy
    rate: float = 0.1
    weight: float = 1.0

    def __post_init__(self) -> None:
        check(self, "rate", at_least=0)
        check(self, "weight", at_least=0)

    def __call__(self, model: Any, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        names = spiking_nodes(model)
        if not names:
            raise ParameterError(must("Regularised.model", "a network with spiking layers", "one without"))
        output, _, recorded = model(self.shown(x), record=names)
        value, scores = self.loss.of(model, output, labels)
        off = torch.stack([(recorded[name].abs().mean() - self.rate).square() for name in names])
        return value + self.weight * off.mean(), scores

    def shown(self, x: Tensor) -> Tensor:
        """(T, B, *shape)"""
        return self.loss.shown(x)


def spiking_nodes(model: nn.Module) -> list[str]:
    """Names of a network's neurons that spike; none for an ANN."""
    nodes = getattr(model, "nodes", {})
    return [name for name, node in nodes.items() if isinstance(node, Neuron) and node.spiking]


def spikes_per_neuron(model: Any, loss: Loss, x: Tensor) -> float | None:
    """Mean number of spikes of a neuron for one of the samples x as the loss shows them; None for an ANN."""
    names, shown = spiking_nodes(model), loss.shown(x)
    if shown is None or not names:
        return None
    with torch.no_grad():
        _, _, recorded = model(shown, record=names)
    counts = [recorded[name].abs().sum((0, 1)) for name in names]
    return float(sum(c.sum() for c in counts)) / sum(c.numel() for c in counts) / shown.shape[1]


def accuracy(scores: Tensor, labels: Tensor) -> float:
    """Share of rows of scores (B, classes) whose largest entry is at the label (B,)."""
    return float((scores.argmax(1) == labels).to(torch.float64).mean())
