"""Everything that a training run is after an epoch, and its file.

One safetensors file: model.*, optimiser.INDEX.*, average.* (where weights are averaged), best.* (where the best are kept), and as
JSON in its header the settings and the history. Written aside and renamed: a kill leaves the file before.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..core.files import written
from ..errors import ArtefactError, must
from .settings import Training

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave.

    number         from 1                            loss, accuracy  means over its batches (accuracy: `Loss.score`)
    learning_rate  at its end                        validation      score there, where there is one
    spikes         per neuron and sample, at its end seconds         it took (not compared)
    """

    number: int
    loss: float
    accuracy: float
    learning_rate: float
    validation: float | None = None
    spikes: float | None = None
    seconds: float = field(default=0.0, compare=False)


class State:
    """A run: model, optimiser, schedule, averaged and best weights, and the epochs so far."""

    def __init__(self, model: nn.Module, training: Training, steps_per_epoch: int) -> None:
        self.model, self.training, self._steps = model, training, steps_per_epoch
        self.optimiser = training.optimiser_of(model)
        self.schedule = training.schedule_of(self.optimiser, training.epochs * steps_per_epoch)
        self.average: Weights = _copied(model) if training.ema else {}
        self.best: Weights = {}
        self.history: list[Epoch] = []

    def step(self, constrain: Callable[[nn.Module], None] | None = None) -> None:
        """One step of optimiser, schedule and average."""
        self.optimiser.step()
        if constrain is not None:
            constrain(self.model)
        self.schedule.step()
        kept = self.training.ema
        for name, value in self.model.state_dict().items() if kept else ():
            mean = self.average[name]
            if mean.is_floating_point():
                mean.lerp_(value.detach(), 1 - kept)
            else:
                mean.copy_(value)

    @property
    def best_accuracy(self) -> float:
        """The best validation accuracy so far; -1 before there is one."""
        return max((e.validation for e in self.history if e.validation is not None), default=-1.0)

    @property
    def done(self) -> bool:
        """Whether all epochs are over, or patience is."""
        scores = [e.validation for e in self.history]
        if len(scores) >= self.training.epochs:
            return True
        if not self.training.patience or not scores or scores[-1] is None:
            return False
        return len(scores) - 1 - scores.index(self.best_accuracy) >= self.training.patience

    def close(self, epoch: Epoch) -> None:
        """Take in an epoch; its weights where they are the best."""
        if self.training.keep == "best" and (epoch.validation or 0.0) > self.best_accuracy:
            self.best = {k: v.clone() for k, v in self.weights.items()}
        self.history.append(epoch)

    @property
    def weights(self) -> Weights:
        """What validation is measured with: the average, where there is one."""
        return self.average or self.model.state_dict()

    def finish(self) -> None:
        """Leave the model with the weights asked for, in evaluation mode."""
        self.model.load_state_dict(self.best or self.weights)
        self.model.eval()

    def store(self, path: Path) -> None:
        """Write the file."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors.update({f"average.{k}": v for k, v in self.average.items()})
        tensors.update({f"best.{k}": v for k, v in self.best.items()})
        for index, entry in self.optimiser.state_dict()["state"].items():
            tensors.update({f"optimiser.{index}.{k}": torch.as_tensor(v) for k, v in entry.items() if v is not None})
        header = {
            "training": json.dumps(asdict(self.training)),
            "history": json.dumps([asdict(e) for e in self.history]),
        }
        with written(path) as temporary:
            save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, temporary, metadata=header)

    def resume(self, path: Path) -> None:
        """Read the file. ArtefactError where it is not one, or of another training or model."""
        header, tensors = _read(path)
        settings = json.loads(json.dumps(asdict(self.training)))
        if json.loads(header["training"]) != settings:
            raise ArtefactError(
                must(str(path), "a checkpoint of this training", header["training"], "delete it to start over")
            )
        try:
            self.model.load_state_dict(_part(tensors, "model"))
        except RuntimeError as error:
            raise ArtefactError(must(str(path), "a checkpoint of this model", str(error).splitlines()[0])) from None
        self.average, self.best = _part(tensors, "average"), _part(tensors, "best")
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in _part(tensors, "optimiser").items():
            index, name = key.split(".", 1)
            state.setdefault(int(index), {})[name] = value
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})
        self.history = [Epoch(**e) for e in json.loads(header["history"])]
        with warnings.catch_warnings():  # torch warns of steps before the optimiser's own, which this run has made
            warnings.simplefilter("ignore")
            for _ in range(len(self.history) * self._steps):
                self.schedule.step()


def _copied(model: nn.Module) -> Weights:
    return {k: v.detach().clone() for k, v in model.state_dict().items()}


def _part(tensors: dict[str, Tensor], name: str) -> Weights:
    return {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata(), {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ArtefactError(must(str(path), "a readable checkpoint", str(error), "delete it to start over")) from None
