"""Calibration data: anything a user has, streamed as chunks of one size, checked on the way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..core.packing import Shapes, packed
from ..errors import ParameterError, ShapeError, must

CHUNK = 64
"""Inputs per chunk. One size for all, so that the result does not depend on how the data came in batches."""

ENOUGH = 64
"""Fewer calibration inputs than this give a warning."""

KEPT = 32
"""Inputs that the network keeps, and that errors are measured on."""


class Calibration:
    """A stream of the ANN's inputs.

    device  where the ANN is
    inputs  tensors that the ANN takes; several are packed side by side: batches (x1, x2) or (x1, x2, y)
    data    a tensor or array (N, *shape); an iterable of batches x or (x, y); a torch Dataset of samples; or a
            dataset of recordings with `frames()`, whose event counts are what the ANN sees
    Raises ParameterError (empty, not finite, no tensor), ShapeError (batches that differ). A one-shot iterator can
    be streamed once: recipes with more than one pass need data that can be iterated again.
    """

    def __init__(self, data: Any, device: torch.device | str = "cpu", inputs: int = 1) -> None:
        self.device, self.inputs = torch.device(device), inputs
        self.recordings = hasattr(data, "frames") and hasattr(data, "raster")  # what is run has bins that sum to x
        self.counts = self.recordings if hasattr(data, "frames") else None  # a tensor does not say
        self.parts: Shapes = ()  # (*shape) of each tensor, where the ANN takes several
        if hasattr(data, "frames"):
            data = data.frames()
        if isinstance(data, Dataset):
            data = DataLoader(data, batch_size=CHUNK)
        if isinstance(data, (Tensor, np.ndarray)) or (_is_pair(data) if inputs == 1 else isinstance(data, tuple)):
            data = [data]
        if not isinstance(data, Iterable):
            rule = "a tensor (N, *shape), batches of x or (x, y), or a dataset with frames()"
            raise ParameterError(must("convert.calibration", rule, type(data).__name__))
        stream = iter(data)
        self.count = 0  # inputs seen by the last pass
        head: list[Any] = []
        while sum(len(self._read(batch)) for batch in head) < KEPT:
            batch = next(stream, None)
            if batch is None:
                break
            head.append(batch)
        if not sum(len(self._read(batch)) for batch in head):
            raise ParameterError(must("convert.calibration", "at least one input", "none", f"give {ENOUGH} or more"))
        self.first = _finite(torch.cat([self._read(batch) for batch in head])[:KEPT].clone().to(self.device))
        if bool((self.first == self.first.flatten()[0]).all()):
            got = f"{self.first.flatten()[0].item():g} throughout"
            raise ParameterError(must("convert.calibration", "inputs that differ", got, "give real inputs"))
        self._source: Iterable[Any] = chain(head, stream) if stream is data else data

    @property
    def shape(self) -> tuple[int, ...]:
        """(*shape) of one input."""
        return tuple(self.first.shape[1:])

    def _read(self, batch: Any) -> Tensor:
        """The inputs of a batch, several of them packed: (N, *shape) or (N, sum of sizes)."""
        if self.inputs == 1:
            return _inputs(batch)
        if not isinstance(batch, (tuple, list)) or len(batch) < self.inputs:
            got = f"a batch of {len(batch)}" if isinstance(batch, (tuple, list)) else type(batch).__name__
            rule = f"batches of {self.inputs} tensors, as many as the ANN takes"
            raise ShapeError(must("convert.calibration", rule, got, "give batches (x1, x2, ...)"))
        tensors = [_inputs(part) for part in batch[: self.inputs]]
        self.parts = self.parts or tuple(tuple(part.shape[1:]) for part in tensors)
        return packed(tensors, self.parts, 1, "convert.calibration")

    def sample(self, count: int) -> Tensor:
        """`count` inputs (n, *shape), or all there are: those of the smallest checksums, so that order does not matter."""
        kept, marks = self.first[:0], np.zeros(0, np.int64)
        for x, n in self.chunks():
            fresh = np.array([crc32(row.contiguous().cpu().numpy()) for row in x[:n]], np.int64)
            kept, marks = torch.cat([kept, x[:n]]), np.concatenate([marks, fresh])
            best = np.argsort(marks, kind="stable")[:count]
            kept, marks = kept[torch.from_numpy(best).to(kept.device)], marks[best]
        return kept

    def chunks(self) -> Iterator[tuple[Tensor, int]]:
        """(x (CHUNK, *shape) float32, n): the first n rows are data, the rest zeros that fill the last chunk."""
        self.count, rest = 0, self.first[:0]
        for batch in self._source:
            x = self._read(batch).to(self.device)
            if tuple(x.shape[1:]) != self.shape:
                rule = f"(N, {_listed(self.shape)}) in every batch"
                raise ShapeError(must("convert.calibration", rule, tuple(x.shape)))
            rest = torch.cat([rest, _finite(x)])
            while len(rest) >= CHUNK:
                self.count += CHUNK
                yield rest[:CHUNK], CHUNK
                rest = rest[CHUNK:]
        if len(rest):
            self.count += len(rest)
            yield torch.cat([rest, rest.new_zeros(CHUNK - len(rest), *self.shape)]), len(rest)


def _is_pair(data: Any) -> bool:
    """Whether data is (inputs, labels) rather than a sequence of batches."""
    return isinstance(data, tuple) and len(data) == 2 and np.ndim(data[0]) > 1 and np.ndim(data[1]) == 1


def _inputs(batch: Any) -> Tensor:
    """The x (N, *shape) of a batch x or (x, y), as float32."""
    x = batch[0] if isinstance(batch, (tuple, list)) and len(batch) else batch
    if not isinstance(x, (Tensor, np.ndarray)) or x.ndim < 2:
        got = f"{type(x).__name__} {tuple(getattr(x, 'shape', ()))}".replace(" ()", "")
        raise ShapeError(must("convert.calibration", "tensors (N, *shape)", got, "one sample needs x[None]"))
    return torch.as_tensor(x).detach().to(torch.float32)


def _finite(x: Tensor) -> Tensor:
    bad = (~torch.isfinite(x)).nonzero()
    if len(bad):
        where = tuple(int(i) for i in bad[0])
        raise ParameterError(must("convert.calibration", "finite", f"{x[where].item()} at {where}", "clean the inputs"))
    return x


def _listed(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
