"""The training loop: plain torch, seeded by epoch, a checkpoint per epoch, bit-exact resume, one process or several.

Every draw of epoch e (order, augmentation, dropout) comes from `seeds.child("epoch", e)`, so a run that is stopped after
any epoch and resumed ends in the same bits. Settings are `settings.py`, what is stored `state.py`, sharing out `processes.py`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core.allocator import freed_memory_kept
from ..core.seeds import Seeds
from ..errors import ParameterError, must
from .batches import Batch, Batches
from .dropout import Masks, keyed_dropout
from .health import first_not_finite
from .losses import Loss, spikes_per_neuron
from .processes import Processes
from .settings import PRECISIONS, Training
from .state import Epoch, State


@dataclass(frozen=True)
class Step:
    """Where an epoch is: batches done of how many, mean loss and score (`Loss.scored`) of its batches so far."""

    epoch: int
    done: int
    of: int
    loss: float
    accuracy: float


Watch = Callable[[Epoch], None]
WatchSteps = Callable[[Step], None]
Constrain = Callable[[nn.Module], None]


def fit(
    model: nn.Module,
    batches: Batches,
    loss: Loss,
    training: Training,
    *,
    seeds: Seeds,
    validation: Batches | None = None,
    checkpoint: Path | None = None,
    watch: Watch | None = None,
    watch_steps: WatchSteps | None = None,
    constrain: Constrain | None = None,
) -> list[Epoch]:
    """Train `model` in place and return its epochs; the model is left in evaluation mode.

    validation   never trained on: measured after every epoch, for `training.patience` and `keep`
    checkpoint   a .safetensors file, rewritten after every epoch; where it exists training goes on from it
    watch        called after every epoch, `watch_steps` after every batch (of the first process)
    constrain    called on the model after every step, to put parameters back where they may be
    Under `torch.distributed` every process takes its share of each batch (see `processes.py`).
    Raises ParameterError when the loss is no longer finite (the last checkpoint stays), ArtefactError when the
    checkpoint belongs to another model or training.
    """
    if validation is None and (training.patience or training.keep == "best"):
        raise ParameterError(must("fit.validation", "given with patience or keep = best", "none", "hold samples back"))
    processes = Processes.here()
    processes.agree(model)
    state = State(model, training, len(batches))
    if checkpoint is not None and checkpoint.exists():
        state.resume(checkpoint)
    run = _Loop(state, loss, seeds, processes, watch_steps if processes.first else None, constrain)
    with freed_memory_kept(), _quiet_threads(training.threads), torch.random.fork_rng(devices=[]):
        while not state.done:
            state.close(run.epoch(batches, validation))
            if processes.first and checkpoint is not None:
                state.store(checkpoint)
            if processes.first and watch is not None:
                watch(state.history[-1])
    state.finish()
    return state.history


class _Loop:
    """One epoch after the other."""

    def __init__(
        self, state: State, loss: Loss, seeds: Seeds, processes: Processes, watch: WatchSteps | None,
        constrain: Constrain | None,
    ) -> None:  # fmt: skip
        self.state, self.loss, self.seeds, self.processes, self.watch = state, loss, seeds, processes, watch
        self.model, self.training, self.constrain = state.model, state.training, constrain

    def epoch(self, batches: Batches, validation: Batches | None) -> Epoch:
        """Train on all batches once, then measure."""
        number, started = len(self.state.history), time.perf_counter()
        here = self.seeds.child("epoch", number)
        torch.manual_seed(here.child("dropout").key & 0x7FFF_FFFF)
        self.model.train()
        met = torch.zeros(3, dtype=torch.float64)  # loss and right answers, summed over samples; samples
        last: Batch | None = None
        with keyed_dropout(self.model, here.child("dropout")) as masks:
            for index, batch in enumerate(batches.epoch(here)):
                met += self._step(batch, index, number, masks)
                last = batch
                if self.watch is not None:
                    loss, right = (met[:2] / met[2]).tolist()
                    self.watch(Step(number + 1, index + 1, len(batches), loss, right))
        if last is None:
            raise ParameterError(must("fit.batches", "at least one batch", "none"))
        self.processes.agree(self.model)
        loss, right = (met[:2] / met[2]).tolist()
        rate = float(self.state.optimiser.param_groups[0]["lr"])
        with self._measured():
            score = None if validation is None else accuracy_on(self.model, self.loss, validation)
            spikes = spikes_per_neuron(self.model, self.loss, last.x)
        return Epoch(number + 1, loss, right, rate, score, spikes, time.perf_counter() - started)

    def _step(self, batch: Batch, index: int, number: int, masks: Masks) -> Tensor:
        """One step on this process's share of a batch -> (3,) summed over processes: loss, right answers, samples."""
        mine = self.processes.share(batch)
        masks.at(index, mine.ids)
        self.state.optimiser.zero_grad(set_to_none=True)
        met = torch.zeros(3, dtype=torch.float64)
        if len(mine.labels):
            with self._precision():
                value, scores = self.loss(self.model, mine.x, mine.labels)
            size = len(mine.labels)
            met += torch.tensor(
                [value.item() * size, self.loss.score(scores, mine.labels) * size, size], dtype=torch.float64
            )
        met = self.processes.added(met)
        if not math.isfinite(met[0].item()):
            self._refuse(mine, index, number, float(met[0] / met[2]))
        if len(mine.labels):
            (value * (len(mine.labels) / len(batch.labels))).backward()
        self.processes.add_gradients(self.model)
        if self.training.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.training.clip)
        self.state.step(self.constrain)
        return met

    def _refuse(self, batch: Batch, index: int, number: int, got: float) -> None:
        where = first_not_finite(self.model, lambda: self.loss(self.model, batch.x, batch.labels), batch.x)
        rule = f"finite in epoch {number + 1}, step {index + 1} (first in {where})"
        raise ParameterError(must("training.loss", rule, got, "lower training.learning_rate, or set training.clip"))

    def _precision(self) -> Any:
        dtype = PRECISIONS[self.training.precision]
        if dtype is None:
            return nullcontext()
        return torch.autocast(next(self.model.parameters()).device.type, dtype)

    @contextmanager
    def _measured(self) -> Iterator[None]:
        """The model in evaluation mode, with its averaged weights where it has them."""
        own = {k: v.clone() for k, v in self.model.state_dict().items()} if self.state.average else {}
        if own:
            self.model.load_state_dict(self.state.average)
        self.model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            if own:
                self.model.load_state_dict(own)


def accuracy_on(model: nn.Module, loss: Loss, batches: Batches) -> float:
    """Mean score of the loss (the share of right answers, 0..1), as it shows and asks; the model is put into evaluation mode. Under
    `torch.distributed` every process measures its share."""
    processes, met = Processes.here(), torch.zeros(2, dtype=torch.float64)
    model.eval()
    with torch.no_grad():
        for batch in batches.epoch(Seeds(0)):
            mine = processes.share(batch)
            if len(mine.labels):
                _, scores = loss(model, mine.x, mine.labels)
                size = len(mine.labels)
                met += torch.tensor([loss.score(scores, mine.labels) * size, size], dtype=torch.float64)
    right, samples = processes.added(met).tolist()
    return right / samples


@contextmanager
def _quiet_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
