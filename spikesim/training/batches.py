"""Where batches come from: one pass over the data in the order of an epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from ..core.params import check
from ..core.seeds import Seeds
from ..errors import ParameterError, must

Augment = Callable[[Tensor, torch.Generator], Tensor]


class Batch(NamedTuple):
    """x (B, ...), labels (B,), and the identities (B,) int64 that draws are keyed by."""

    x: Tensor
    labels: Tensor
    ids: np.ndarray


class Batches(Protocol):
    """A source of batches. `epoch(seeds)` is one pass in the order drawn from the seeds; `len` its number of batches."""

    def epoch(self, seeds: Seeds) -> Iterator[Batch]: ...

    def __len__(self) -> int: ...


def _orders(size: int, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    return torch.randperm(size, generator=generator).split(batch)


@dataclass(frozen=True)
class TensorBatches:
    """Batches of tensors in memory: x (N, *shape), labels (N,), shuffled anew each epoch.

    augment      (batch, generator) -> batch, drawn from the epoch's seeds
    sample_ids   (N,) identities; None: rows' numbers
    """

    x: Tensor
    labels: Tensor
    batch_size: int = 64
    augment: Augment | None = None
    sample_ids: np.ndarray | None = None

    def __post_init__(self) -> None:
        check(self, "batch_size", at_least=1, integer=True)
        if len(self.x) != len(self.labels) or not len(self.x):
            got = f"{len(self.x)} inputs, {len(self.labels)} labels"
            raise ParameterError(must("TensorBatches.x", "as long as labels and not empty", got))

    def __len__(self) -> int:
        return math.ceil(len(self.x) / self.batch_size)

    def epoch(self, seeds: Seeds) -> Iterator[Batch]:
        """The batches of one pass, in the order drawn from `seeds`."""
        generator, ids = seeds.torch(), self.sample_ids
        for rows in _orders(len(self.x), self.batch_size, generator):
            x = self.x[rows]
            x = x if self.augment is None else self.augment(x, generator)
            yield Batch(x, self.labels[rows], rows.numpy() if ids is None else np.asarray(ids)[rows.numpy()])


@dataclass(frozen=True)
class RasterBatches:
    """Batches of recordings as rasters of `steps` bins, x (B, T, 2, H, W), shuffled anew each epoch.

    data      an event data set        augment   (B, T 2, H, W), generator -> the same: all bins of a recording alike
    largest   counts are cut off there; 1: binary events; 0: as they are
    """

    data: Any
    steps: int
    batch_size: int = 64
    augment: Augment | None = None
    largest: int = 0

    def __post_init__(self) -> None:
        check(self, "steps", at_least=1, integer=True)
        check(self, "batch_size", at_least=1, integer=True)
        check(self, "largest", at_least=0, integer=True)
        if not hasattr(self.data, "raster") or not len(self.data):
            got = f"{len(self.data)} samples of {type(self.data).__name__}"
            raise ParameterError(
                must("RasterBatches.data", "recordings, at least one", got, "TensorBatches takes arrays")
            )

    def __len__(self) -> int:
        return math.ceil(len(self.data) / self.batch_size)

    def epoch(self, seeds: Seeds) -> Iterator[Batch]:
        """The batches of one pass, in the order drawn from `seeds`."""
        generator, labels = seeds.torch(), torch.from_numpy(np.array(self.data.labels))
        for rows in _orders(len(self.data), self.batch_size, generator):
            x = self.data.raster(self.steps, rows.numpy()).transpose(0, 1)
            if self.largest:
                x = x.clamp(max=self.largest)
            if self.augment is not None:
                x = self.augment(x.flatten(1, 2), generator).reshape(x.shape)
            yield Batch(x, labels[rows], np.asarray(self.data.sample_ids)[rows.numpy()])


@dataclass(frozen=True)
class LoaderBatches:
    """Batches of a torch DataLoader (or any sized iterable of (x, labels)); its order is its own."""

    loader: Any

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, seeds: Seeds) -> Iterator[Batch]:
        """One pass over the loader, with torch's default generator seeded for the epoch."""
        torch.manual_seed(seeds.key & 0x7FFF_FFFF)
        seen = 0
        for x, labels in self.loader:
            ids = np.arange(seen, seen + len(labels))
            seen += len(labels)
            yield Batch(torch.as_tensor(x, dtype=torch.get_default_dtype()), torch.as_tensor(labels), ids)
