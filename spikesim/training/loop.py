"""The training loop: plain torch, seeded by epoch, a checkpoint per epoch, bit-exact resume.

Every draw of epoch e (order, augmentation, dropout) comes from `seeds.child("epoch", e)`, so a run that is stopped
after any epoch and resumed ends in the same bits. The torch thread count is part of the run: it is stored in the
checkpoint and used again whatever the process was started with. Checkpoints are safetensors, written atomically.
"""

from __future__ import annotations

import json
import math
import tomllib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..core.files import written
from ..core.params import check
from ..core.seeds import Seeds
from ..errors import ArtefactError, ParameterError, must, nearest
from .losses import Loss, accuracy

Augment = Callable[[Tensor, torch.Generator], Tensor]


class Batches(Protocol):
    """Where batches come from: one pass over the data in the order of an epoch."""

    def epoch(self, seeds: Seeds) -> Iterator[tuple[Tensor, Tensor]]: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class TensorBatches:
    """Batches of tensors in memory: x (N, *shape), labels (N,), shuffled anew each epoch.

    augment   (batch, generator) -> batch, drawn from the epoch's seeds
    """

    x: Tensor
    labels: Tensor
    batch_size: int = 64
    augment: Augment | None = None

    def __post_init__(self) -> None:
        check(self, "batch_size", at_least=1, integer=True)
        if len(self.x) != len(self.labels) or not len(self.x):
            got = f"{len(self.x)} inputs, {len(self.labels)} labels"
            raise ParameterError(must("TensorBatches.x", "as long as labels and not empty", got))

    def __len__(self) -> int:
        return math.ceil(len(self.x) / self.batch_size)

    def epoch(self, seeds: Seeds) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of one pass, in the order drawn from `seeds`."""
        generator = seeds.torch()
        for rows in torch.randperm(len(self.x), generator=generator).split(self.batch_size):
            x = self.x[rows]
            yield (x if self.augment is None else self.augment(x, generator)), self.labels[rows]


@dataclass(frozen=True)
class LoaderBatches:
    """Batches of a torch DataLoader (or any sized iterable of (x, labels)); its order is its own."""

    loader: Any

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, seeds: Seeds) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass over the loader, with torch's default generator seeded for the epoch."""
        torch.manual_seed(seeds.key & 0x7FFF_FFFF)
        for x, labels in self.loader:
            yield torch.as_tensor(x, dtype=torch.get_default_dtype()), torch.as_tensor(labels)


@dataclass(frozen=True)
class Training:
    """How long and how fast: AdamW under a one-cycle or constant schedule.

    epochs, learning_rate (peak), weight_decay, schedule ("one-cycle" | "constant"), clip (gradient norm; 0: none),
    threads (torch threads while training; part of the result's identity)
    """

    epochs: int = 10
    learning_rate: float = 1e-2
    weight_decay: float = 1e-2
    schedule: str = "one-cycle"
    clip: float = 0.0
    threads: int = 1

    def __post_init__(self) -> None:
        check(self, "epochs", at_least=1, integer=True)
        check(self, "learning_rate", above=0)
        check(self, "weight_decay", at_least=0)
        check(self, "clip", at_least=0)
        check(self, "threads", at_least=1, integer=True)
        if self.schedule not in _SCHEDULES:
            raise ParameterError(
                must("Training.schedule", "a known schedule", self.schedule, nearest(self.schedule, _SCHEDULES))
            )

    @classmethod
    def from_toml(cls, path: str | Path, table: str = "training") -> Training:
        """The `[training]` table of a TOML file; unknown keys are refused with the nearest spelling."""
        try:
            found = tomllib.loads(Path(path).read_text()).get(table, {})
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ArtefactError(must(str(path), "a readable TOML file", str(error))) from None
        known = {f.name for f in fields(cls)}
        for key in found:
            if key not in known:
                raise ParameterError(must(f"{path} [{table}]", "made of known keys", key, nearest(key, known)))
        return cls(**found)


def _one_cycle(optimiser: torch.optim.Optimizer, training: Training, steps: int) -> Any:
    return torch.optim.lr_scheduler.OneCycleLR(optimiser, training.learning_rate, total_steps=steps)


def _constant(optimiser: torch.optim.Optimizer, training: Training, steps: int) -> Any:
    return torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1.0)


_SCHEDULES: dict[str, Callable[..., Any]] = {"one-cycle": _one_cycle, "constant": _constant}


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave: its number from 1, mean loss, training accuracy, learning rate at its end."""

    number: int
    loss: float
    accuracy: float
    learning_rate: float


def fit(
    model: nn.Module,
    batches: Batches,
    loss: Loss,
    training: Training,
    *,
    seeds: Seeds,
    checkpoint: Path | None = None,
    watch: Callable[[Epoch], None] | None = None,
) -> list[Epoch]:
    """Train `model` in place and return its epochs; the model is left in evaluation mode.

    checkpoint   a .safetensors file, rewritten after every epoch; where it exists training goes on from it
    watch        called after every epoch
    Raises ParameterError when the loss is no longer finite (the last checkpoint stays), ArtefactError when the
    checkpoint belongs to another model or training.
    """
    optimiser = torch.optim.AdamW(model.parameters(), training.learning_rate, weight_decay=training.weight_decay)
    schedule = _SCHEDULES[training.schedule](optimiser, training, training.epochs * len(batches))
    history = [] if checkpoint is None or not checkpoint.exists() else _resume(checkpoint, model, optimiser, training)
    with warnings.catch_warnings():  # torch warns of steps before the optimiser's own, which a resumed run has made
        warnings.simplefilter("ignore")
        for _ in range(len(history) * len(batches)):
            schedule.step()
    with _quiet_threads(training.threads), torch.random.fork_rng(devices=[]):
        for number in range(len(history), training.epochs):
            history.append(_train_epoch(model, batches, loss, training, optimiser, schedule, seeds, number))
            if checkpoint is not None:
                _store(checkpoint, model, optimiser, training, history)
            if watch is not None:
                watch(history[-1])
    model.eval()
    return history


def _train_epoch(
    model: nn.Module, batches: Batches, loss: Loss, training: Training, optimiser: torch.optim.Optimizer, schedule: Any,
    seeds: Seeds, number: int,
) -> Epoch:  # fmt: skip
    model.train()
    here = seeds.child("epoch", number)
    torch.manual_seed(here.child("dropout").key & 0x7FFF_FFFF)
    total, right, seen = 0.0, 0.0, 0
    for x, labels in batches.epoch(here):
        optimiser.zero_grad(set_to_none=True)
        value, scores = loss(model, x, labels)
        if not math.isfinite(value.item()):
            rule = f"finite in epoch {number + 1}"
            raise ParameterError(must("training.loss", rule, value.item(), "lower training.learning_rate"))
        value.backward()  # type: ignore[no-untyped-call]
        if training.clip:
            nn.utils.clip_grad_norm_(model.parameters(), training.clip)
        optimiser.step()
        schedule.step()
        total += value.item() * len(labels)
        right += accuracy(scores, labels) * len(labels)
        seen += len(labels)
    return Epoch(number + 1, total / seen, right / seen, float(optimiser.param_groups[0]["lr"]))


@contextmanager
def _quiet_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _store(
    path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, training: Training, history: list[Epoch]
) -> None:
    """Model, optimiser and history in one file: tensors as tensors, everything else as JSON in its header."""
    tensors = {f"model.{k}": v.detach().clone().contiguous() for k, v in model.state_dict().items()}
    for index, entry in optimiser.state_dict()["state"].items():
        tensors.update({f"optimiser.{index}.{k}": torch.as_tensor(v).clone().contiguous() for k, v in entry.items()})
    header = {"training": json.dumps(asdict(training)), "history": json.dumps([asdict(e) for e in history])}
    with written(path) as temporary:
        save_file(tensors, temporary, metadata=header)


def _resume(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, training: Training) -> list[Epoch]:
    try:
        with safe_open(path, framework="pt") as file:
            header, tensors = file.metadata(), {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ArtefactError(must(str(path), "a readable checkpoint", str(error), "delete it to start over")) from None
    if json.loads(header["training"]) != asdict(training):
        raise ArtefactError(
            must(str(path), "a checkpoint of this training", header["training"], "delete it to start over")
        )
    try:
        model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    except RuntimeError as error:
        raise ArtefactError(must(str(path), "a checkpoint of this model", str(error).splitlines()[0])) from None
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimiser."):
            _, index, name = key.split(".", 2)
            state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return [Epoch(**e) for e in json.loads(header["history"])]
