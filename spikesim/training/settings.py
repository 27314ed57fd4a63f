"""How long and how fast: optimiser, schedule and what else belongs to a run's identity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..core.params import check
from ..errors import ParameterError, must, nearest
from .tables import known_keys, read_tables

KEPT = ("last", "best")
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Training:
    """A run of `fit`.

    epochs, learning_rate (peak), weight_decay
    optimiser    "adamw", "adam", "amsgrad" or "sgd" (with `momentum`)
    schedule     "one-cycle", "cosine", "constant", or "steps": times `factor` after each of `milestones`, which are shares of
                 the run (0.6 is after 60 % of its steps)
    clip         largest norm of the gradient; 0: none
    precision    "float32", or "bfloat16", which autocast then computes layers in; membranes stay float32
    ema          share of the average of weights that a step keeps, such as 0.999; validation and the result then use the
                 average; 0: none
    patience     epochs without a better validation accuracy after which to stop; 0: never
    keep         "last", or "best": the weights of the epoch of the best validation accuracy
    threads      torch threads while training; part of the result's identity
    """

    epochs: int = 10
    learning_rate: float = 1e-2
    weight_decay: float = 1e-2
    schedule: str = "one-cycle"
    clip: float = 0.0
    threads: int = 1
    optimiser: str = "adamw"
    momentum: float = 0.9
    milestones: tuple[float, ...] = (0.6, 0.8, 0.9)
    factor: float = 0.2
    precision: str = "float32"
    ema: float = 0.0
    patience: int = 0
    keep: str = "last"

    def __post_init__(self) -> None:
        check(self, "epochs", at_least=1, integer=True)
        for name in ("learning_rate", "factor"):
            check(self, name, above=0)
        for name in ("weight_decay", "clip"):
            check(self, name, at_least=0)
        for name in ("momentum", "ema"):
            check(self, name, at_least=0, below=1)
        check(self, "threads", at_least=1, integer=True)
        check(self, "patience", at_least=0, integer=True)
        object.__setattr__(self, "milestones", tuple(float(m) for m in self.milestones))
        if any(not 0 < m < 1 for m in self.milestones) or list(self.milestones) != sorted(self.milestones):
            raise ParameterError(must("Training.milestones", "rising shares between 0 and 1", self.milestones))
        for name, known in (
            ("schedule", _SCHEDULES), ("optimiser", _OPTIMISERS), ("precision", PRECISIONS), ("keep", KEPT)
        ):  # fmt: skip
            value = getattr(self, name)
            if value not in known:
                raise ParameterError(
                    must(f"Training.{name}", f"one of {', '.join(known)}", value, nearest(value, known))
                )

    @classmethod
    def from_toml(cls, path: str | Path, table: str = "training") -> Training:
        """The `[training]` table of a TOML file; unknown keys are refused with the nearest spelling."""
        found = read_tables(path).get(table, {})
        return cls(**known_keys(path, table, found, {f.name for f in fields(cls)}))

    def optimiser_of(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimiser of the model's parameters that learn."""
        learned = [p for p in model.parameters() if p.requires_grad]
        if not learned:
            raise ParameterError(
                must("fit.model", "a model with parameters that learn", "none that requires a gradient")
            )
        return _OPTIMISERS[self.optimiser](learned, self)

    def schedule_of(self, optimiser: torch.optim.Optimizer, steps: int) -> Any:
        """The schedule of the learning rate over so many steps."""
        return _SCHEDULES[self.schedule](optimiser, self, steps)


def _adamw(learned: list[nn.Parameter], t: Training) -> torch.optim.Optimizer:
    return torch.optim.AdamW(learned, t.learning_rate, weight_decay=t.weight_decay)


def _adam(learned: list[nn.Parameter], t: Training) -> torch.optim.Optimizer:
    return torch.optim.Adam(learned, t.learning_rate, weight_decay=t.weight_decay)


def _amsgrad(learned: list[nn.Parameter], t: Training) -> torch.optim.Optimizer:
    return torch.optim.Adam(learned, t.learning_rate, weight_decay=t.weight_decay, amsgrad=True)


def _sgd(learned: list[nn.Parameter], t: Training) -> torch.optim.Optimizer:
    return torch.optim.SGD(learned, t.learning_rate, momentum=t.momentum, weight_decay=t.weight_decay)


def _one_cycle(optimiser: torch.optim.Optimizer, training: Training, steps: int) -> Any:
    cycle = training.optimiser != "sgd"  # its momentum is `training.momentum` throughout
    return torch.optim.lr_scheduler.OneCycleLR(
        optimiser, training.learning_rate, total_steps=steps, cycle_momentum=cycle
    )


def _cosine(optimiser: torch.optim.Optimizer, training: Training, steps: int) -> Any:
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)


def _constant(optimiser: torch.optim.Optimizer, training: Training, steps: int) -> Any:
    return torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1.0)


def _steps(optimiser: torch.optim.Optimizer, training: Training, steps: int) -> Any:
    edges = [round(share * steps) for share in training.milestones]
    return torch.optim.lr_scheduler.MultiStepLR(optimiser, edges, training.factor)


_OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": _adamw, "adam": _adam, "amsgrad": _amsgrad, "sgd": _sgd
}  # fmt: skip
_SCHEDULES: dict[str, Callable[..., Any]] = {
    "one-cycle": _one_cycle, "cosine": _cosine, "constant": _constant, "steps": _steps
}  # fmt: skip
