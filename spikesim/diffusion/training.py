"""Training a denoiser: noised pictures, and the loss |eps - eps^|^2 or |v - v^|^2, for the loop that trains everything else.

    x = sqrt(abar_k) x_0 + sqrt(1 - abar_k) eps,      k uniform, eps standard normal, drawn anew every epoch

Ho et al., NeurIPS 2020, algorithm 1; v: Salimans and Ho, ICLR 2022; conditions left out with some probability: Ho and
Salimans 2022.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..core.params import check, number
from ..core.seeds import Seeds
from ..errors import ArtefactError, ParameterError, ShapeError, must
from ..network import Network
from ..training.batches import Batch
from ..training.losses import Loss
from .denoiser import must_be_answer, velocity
from .network_denoiser import planes
from .schedule import Schedule
from .unet import TAIL


@dataclass(frozen=True, eq=False)
class NoisedBatches:
    """Batches of noised pictures: x (B, C + 1 (+ 1), H, W) as `planes`, and what is to be predicted (B, C, H, W) as labels.

    pictures   (N, C, H, W)        labels  (N,) their classes, where the network learns them
    per_epoch  pictures of an epoch, another choice each; 0: all      flip  half of them left to right
    without    share of pictures whose class is left out (for classifier-free guidance)
    answer     what that is: the "noise" in them, or their "velocity" (`denoiser.py`)
    teacher    (x (B, C, H, W), t (B,), condition) -> what to predict instead: another model's answer. It is near the mean of
               the answers that fit a noised picture, so that gradients vary less
    """

    pictures: Tensor
    schedule: Schedule
    batch_size: int = 64
    labels: Tensor | None = None
    classes: int = 0
    per_epoch: int = 0
    without: float = 0.1
    flip: bool = False
    answer: str = "noise"
    teacher: Callable[[Tensor, Tensor, Tensor | None], Tensor] | None = None

    def __post_init__(self) -> None:
        check(self, "batch_size", at_least=1, integer=True)
        check(self, "per_epoch", at_least=0, at_most=len(self.pictures), integer=True)
        check(self, "without", at_least=0, at_most=1)
        must_be_answer("NoisedBatches", self.answer)
        if self.pictures.ndim != 4 or not len(self.pictures):
            raise ShapeError(must("NoisedBatches.pictures", "(N, C, H, W), at least one", tuple(self.pictures.shape)))
        if self.classes and (self.labels is None or len(self.labels) != len(self.pictures)):
            raise ParameterError(must("NoisedBatches.labels", "one for each picture, where there are classes", "none"))

    @property
    def _size(self) -> int:
        return self.per_epoch or len(self.pictures)

    def __len__(self) -> int:
        return math.ceil(self._size / self.batch_size)

    def epoch(self, seeds: Seeds) -> Iterator[Batch]:
        """One pass; order, times and noise are drawn from `seeds`."""
        drawn = seeds.child("diffusion").torch()
        times = torch.as_tensor(self.schedule.times)
        for rows in torch.randperm(len(self.pictures), generator=drawn)[: self._size].split(self.batch_size):
            x0 = self.pictures[rows]
            if self.flip:
                turned = torch.rand(len(x0), generator=drawn) < 0.5
                x0 = torch.where(turned[:, None, None, None], x0.flip(3), x0)
            k = torch.randint(self.schedule.steps, (len(x0),), generator=drawn)
            noise = torch.randn(x0.shape, generator=drawn)
            condition = None
            if self.classes and self.labels is not None:
                none = torch.rand(len(x0), generator=drawn) < self.without
                condition = torch.where(none, self.classes, self.labels[rows])
            x = self.schedule.noised(x0, k, noise)
            if self.teacher is not None:
                with torch.no_grad():
                    wanted = self.teacher(x, times[k], condition)
            elif self.answer == "velocity":
                wanted = velocity(x0, noise, torch.as_tensor(self.schedule.alphas_bar)[k])
            else:
                wanted = noise
            yield Batch(planes(x, times[k], condition, self.classes), wanted, np.asarray(rows))


@dataclass(frozen=True)
class DenoisingLoss(Loss):
    """The mean squared error of the answer; scored by the share of what was asked for that it explains."""

    steps: int = 1
    scored: ClassVar[str] = "explained"

    def __post_init__(self) -> None:
        check(self, "steps", at_least=1, integer=True)

    def __call__(self, model: Any, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        output, _, _ = model(self.shown(x))
        predicted = model.readout(output)
        return functional.mse_loss(predicted, labels), predicted.detach()

    def shown(self, x: Tensor) -> Tensor:
        """(T, B, *shape)"""
        return x.expand(self.steps, *x.shape)

    def score(self, scores: Tensor, labels: Tensor) -> float:
        """1 - |a - a^|^2 / |a|^2, a the noise or the velocity."""
        return float(1 - (scores - labels).square().mean() / labels.square().mean())


def warm_start(network: Network, other: nn.Module, gain: float = 1.0) -> list[str]:
    """Give a network the weights of another of the same layers; the names that the other has not, which stay as they are.

    So a spiking U-Net starts from an ANN, and one with temporal scales from one without. Activations keep their own
    thresholds, but for those that both have learned. ArtefactError where a weight has another shape, or is missing here.

    gain  what this readout makes of an output over what the other's makes of it, by which the tail is divided: else the
          answer of a U-Net of four steps starts 2.95 times as large as the ANN's. ParameterError unless above 0
    """
    number("warm_start.gain", gain, above=0)
    own, learned = network.state_dict(), dict(network.named_parameters()).keys() & dict(other.named_parameters()).keys()
    given = {n: value for n, value in other.state_dict().items() if n in learned or not n.endswith(NEURONS)}
    for name, value in given.items():
        if name in own and own[name].shape != value.shape:
            rule = f"{tuple(own[name].shape)} as in this network"
            raise ArtefactError(must(f"start.{name}", rule, tuple(value.shape), "start from a model of the same size"))
    lost = [name for name in given if name not in own]
    if lost or not set(own) & set(given):
        raise ArtefactError(must("start", "a model of the same layers", f"other ones: {lost[:3] or list(given)[:3]}"))
    network.load_state_dict({**own, **given})
    for node in TAIL if gain != 1 else ():
        for parameter in network.node(node).parameters():
            parameter.data /= gain
    return [name for name in own if name not in given]


NEURONS = (".threshold", ".leak", ".gain", ".initial")
"""What activations have of their own."""
