"""Data-parallel training: what each of several processes does of a batch, and how their gradients become one.

Process k of n takes rows k, k + n, ... of every batch, and scales its mean loss by its share of the rows; the sum of all
gradients is then that of the whole batch's mean loss. Started by `torchrun --nproc-per-node n -m spikesim train FILE`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from .batches import Batch


@dataclass(frozen=True)
class Processes:
    """rank of size; one process where `torch.distributed` was not started."""

    rank: int = 0
    size: int = 1

    @classmethod
    def here(cls) -> Processes:
        """Those of this run."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def share(self, batch: Batch) -> Batch:
        """This process's rows of a batch."""
        if self.size == 1:
            return batch
        mine = slice(self.rank, None, self.size)
        return Batch(batch.x[mine], batch.labels[mine], batch.ids[mine])

    def added(self, values: Tensor) -> Tensor:
        """The sum over processes."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def add_gradients(self, model: nn.Module) -> None:
        """Every parameter's gradient becomes the sum over processes (where none has one, it stays None)."""
        if self.size == 1:
            return
        learned = [p for p in model.parameters() if p.requires_grad]
        present = self.added(torch.tensor([float(p.grad is not None) for p in learned]))
        used = [p for p, there in zip(learned, present.tolist()) if there]
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in used])
        self.added(flat)
        for p, part in zip(used, flat.split([p.numel() for p in used])):
            p.grad = part.view_as(p).clone()

    def agree(self, model: nn.Module) -> None:
        """All take the first process's weights and buffers: statistics of batch normalisation differ between shares."""
        if self.size > 1:
            for tensor in model.state_dict().values():
                distributed.broadcast(tensor, 0)


@contextmanager
def joined() -> Iterator[Processes]:
    """The group of processes that torchrun has started (gloo on CPUs, nccl on GPUs), or this one alone."""
    started = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if started:
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Processes.here()
    finally:
        if started:
            distributed.destroy_process_group()
