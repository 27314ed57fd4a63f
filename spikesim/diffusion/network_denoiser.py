"""A network as a denoiser: picture, time and class as planes side by side, shown at every step, from silence every time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..core.ledger import Ledger
from ..core.params import check
from ..engine import run
from ..errors import ParameterError, ShapeError, must
from ..execution import Engine, Fused
from ..network import Network, NetworkState
from .denoiser import noise_of_velocity
from .schedule import Schedule

SECOND = 2**40
"""Added to numbers of pictures that are shown a second time at once."""


def plane_count(channels: int, classes: int) -> int:
    """Channels of what such a network takes: the picture's, the time, and the class where there are any."""
    return channels + 1 + bool(classes)


def planes(x: Tensor, t: Tensor, condition: Tensor | None, classes: int) -> Tensor:
    """x (B, C, H, W), times t (B,), classes (B,) where there are any -> (B, C + 1 (+ 1), H, W); no condition is class `classes`.

    ShapeError for a condition that is no class number for each picture; ParameterError for one of a network without classes.
    """
    parts = [x, _plane(t, x)]
    if classes:
        labels = torch.full_like(t, classes) if condition is None else torch.as_tensor(condition)
        if labels.shape != t.shape or labels.is_floating_point():
            raise ShapeError(must("denoiser.condition", f"({len(t)},) class numbers", tuple(labels.shape)))
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) <= classes:
            got = f"{int(labels.min())} to {int(labels.max())}"
            raise ParameterError(must("denoiser.condition", f"from 0 to {classes} (none of them)", got))
        parts.append(_plane(labels, x))
    elif condition is not None:
        rule = "absent: this network learned no classes"
        raise ParameterError(must("denoiser.condition", rule, "one", "train with conditional = true"))
    return torch.cat(parts, 1)


def _plane(number: Tensor, like: Tensor) -> Tensor:
    return number.to(like).reshape(-1, 1, 1, 1).expand(-1, 1, *like.shape[2:])


@dataclass(frozen=True, eq=False)
class NetworkDenoiser:
    """A U-Net (`unet.py`), or what was converted or deployed from one, as every sampler asks it.

    network   its input is (C + 1 (+ 1), H, W)            steps    T that each call runs, from the initial state
    classes   that it learned                             engine   dense by default: a U-Net's activity is high
    ids       (B,) numbers of the pictures, by which a chip's reads are drawn, anew at every time; None: rows' numbers
    ledger    counts what all calls do
    velocity  the schedule that it was trained on, where it answers the velocity (`denoiser.py`); None: it answers the noise
    """

    network: Network
    steps: int
    classes: int = 0
    engine: Engine | None = None
    ids: np.ndarray | None = None
    ledger: Ledger | None = None
    velocity: Schedule | None = None

    def __post_init__(self) -> None:
        check(self, "steps", at_least=1, integer=True)
        check(self, "classes", at_least=0, integer=True)

    def __call__(self, x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        answer = self.answer(x, t, condition)
        if self.velocity is None:
            return answer
        return noise_of_velocity(x, answer, torch.as_tensor(self.velocity.alphas_bar)[t])

    def answer(self, x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        """What the network says (B, C, H, W), noise or velocity."""
        shown = planes(x, t, condition, self.classes)
        begin = NetworkState(int(t[0]) * self.steps, {}, {})  # silent, and at a step of its own for each diffusion time
        found = run(
            self.network, shown, steps=self.steps, state=begin, engine=self.engine or Fused(),
            sample_ids=self._ids(len(x)), ledger=self.ledger,
        )  # fmt: skip
        return found.readout

    def _ids(self, count: int) -> np.ndarray | None:
        """Numbers of so many rows: of guidance, which shows every picture twice, the second half has its own."""
        if self.ids is None or len(self.ids) == count:
            return self.ids
        if count != 2 * len(self.ids):
            raise ShapeError(
                must("denoiser.x", f"({len(self.ids)}, ...), a row for each of ids, or twice so many", count)
            )
        return np.concatenate([self.ids, self.ids + SECOND])
