"""SparseRaster: binned events as index lists, the native input of the event-driven engine.

Row r = b T + t holds sample b's non-zeros at step t: inputs idx[ptr[r]:ptr[r + 1]] (flat index of *shape), each of
value val (None: all are 1). What a dense raster (T, B, *shape) says in T B N floats, this says in 8 bytes an event.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ParameterError, ShapeError, must
from . import simd
from .kernel import kernel, shared_out
from .simd import value_at


def filled_reference(ptr: np.ndarray, idx: np.ndarray, val: np.ndarray, out: np.ndarray) -> None:
    """out (T, B, N), zeros, += the events."""
    steps, batch, _ = out.shape
    for b in range(batch):
        for t in range(steps):
            for e in range(ptr[b * steps + t], ptr[b * steps + t + 1]):
                out[t, b, idx[e]] += value_at(val, e)


@kernel(reference=filled_reference, items=lambda *a: a[-1].shape[1], depends=(simd,))
def filled_kernel(ptr, idx, val, out, begin, end, team):  # type: ignore[no-untyped-def]
    if shared_out(begin, end, team):
        return
    steps, _, _ = out.shape
    for b in range(begin, end):
        for t in range(steps):
            row = out[t, b]
            for e in range(ptr[b * steps + t], ptr[b * steps + t + 1]):
                row[idx[e]] += value_at(val, e)


def counted_reference(x: np.ndarray, counts: np.ndarray) -> None:
    """counts (B, T): non-zeros of x (T, B, N)."""
    counts[...] = (x != 0).sum(-1).T


@kernel(reference=counted_reference, items=lambda x, _: x.shape[1])
def counted_kernel(x, counts, begin, end, team):  # type: ignore[no-untyped-def]
    if shared_out(begin, end, team):
        return
    for b in range(begin, end):
        for t in range(x.shape[0]):
            row, n = x[t, b], np.int32(0)
            for i in range(row.size):
                n += np.int32(row[i] != 0)
            counts[b, t] = n


def listed_reference(x: np.ndarray, ptr: np.ndarray, idx: np.ndarray, val: np.ndarray) -> None:
    """The non-zeros of x (T, B, N) as lists, ascending in each row; ptr (B T + 1,) is given."""
    for r in range(ptr.size - 1):
        row = x[r % x.shape[0], r // x.shape[0]]
        (here,) = np.nonzero(row)
        idx[ptr[r] : ptr[r + 1]], val[ptr[r] : ptr[r + 1]] = here, row[here]


@kernel(reference=listed_reference, items=lambda x, *_: x.shape[1])
def listed_kernel(x, ptr, idx, val, begin, end, team):  # type: ignore[no-untyped-def]
    if shared_out(begin, end, team):
        return
    steps = x.shape[0]
    for b in range(begin, end):
        for t in range(steps):
            k, row = ptr[b * steps + t], x[t, b]
            for i in range(row.size):
                if row[i] != 0:
                    idx[k], val[k] = i, row[i]
                    k += 1


_ALL_ONES = np.empty(0, np.float32)


@dataclass(frozen=True, eq=False)
class SparseRaster:
    """Binned events of a batch.

    ptr    (B T + 1,) int64, never decreasing, from 0 to the number of events; row b T + t
    idx    (events,) int32, flat index into *shape         val  (events,) float32, or None where all are 1
    steps  T         shape  (*shape) of one sample at one step, (2, 34, 34) for N-MNIST
    Raises ShapeError and ParameterError for lists that do not fit together.
    """

    ptr: np.ndarray
    idx: np.ndarray
    val: np.ndarray | None
    steps: int
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        ptr = np.ascontiguousarray(self.ptr, np.int64)
        if self.steps < 1 or ptr.ndim != 1 or ptr.size < 2 or (ptr.size - 1) % self.steps:
            raise ShapeError(must("SparseRaster.ptr", f"(B * {self.steps} + 1,) with B >= 1", ptr.shape))
        if ptr[0] != 0 or ptr[-1] != np.size(self.idx) or (ptr[1:] < ptr[:-1]).any():
            rule = f"rising from 0 to the {np.size(self.idx)} events of idx"
            raise ParameterError(must("SparseRaster.ptr", rule, f"{ptr[0]} to {ptr[-1]}"))
        inputs = prod(self.shape)
        if inputs > np.iinfo(np.int32).max:
            raise ParameterError(must("SparseRaster.shape", "at most 2^31 - 1 inputs", self.shape))
        given = np.asarray(self.idx)
        if given.dtype.kind not in "iu" or given.ndim != 1:
            raise ShapeError(must("SparseRaster.idx", "a row of whole numbers", f"{given.dtype} {given.shape}"))
        if given.size and not (int(given.min()) >= 0 and int(given.max()) < inputs):
            got = f"{given.min()} to {given.max()}"
            raise ParameterError(must("SparseRaster.idx", f"from 0 to {inputs - 1}, an input of {self.shape}", got))
        object.__setattr__(self, "ptr", ptr)
        object.__setattr__(self, "idx", np.ascontiguousarray(given, np.int32))
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        if self.val is not None:
            val = np.ascontiguousarray(self.val, np.float32)
            if val.shape != given.shape or not np.isfinite(val).all():
                raise ParameterError(must("SparseRaster.val", f"{given.shape}, finite", f"{val.shape}"))
            object.__setattr__(self, "val", val)

    @classmethod
    def trusted(cls, ptr: Any, idx: Any, val: Any, steps: int, shape: tuple[int, ...]) -> SparseRaster:
        """The lists of our own kernels, not checked again."""
        self = object.__new__(cls)
        self.__dict__.update(ptr=ptr, idx=idx, val=val, steps=steps, shape=shape)
        return self

    @classmethod
    def from_dense(cls, x: Tensor) -> SparseRaster:
        """The non-zeros of x (T, B, *shape), float32 on the CPU."""
        if x.ndim < 3 or not x.numel() or x.dtype != torch.float32 or x.device.type != "cpu":
            got = f"{tuple(x.shape)} {x.dtype} on {x.device.type}"
            raise ShapeError(must("SparseRaster.from_dense.x", "(T, B, *shape), float32 on the CPU, not empty", got))
        raster = cls.where_sparse(x, 1.0)
        assert isinstance(raster, SparseRaster)
        return raster

    @classmethod
    def where_sparse(cls, x: Tensor, share: float) -> SparseRaster | Tensor:
        """`from_dense`, or x itself where more than `share` of it is not 0."""
        rows = x.detach().reshape(*x.shape[:2], -1).contiguous().numpy()
        counts = np.empty((x.shape[1], x.shape[0]), np.int32)
        counted_kernel(rows, counts)
        ptr = np.zeros(counts.size + 1, np.int64)
        np.cumsum(counts.ravel(), out=ptr[1:])
        if ptr[-1] > share * rows.size:
            return x
        idx, val = np.empty(ptr[-1], np.int32), np.empty(ptr[-1], np.float32)
        listed_kernel(rows, ptr, idx, val)
        return cls.trusted(ptr, idx, None if (val == 1).all() else val, x.shape[0], tuple(x.shape[2:]))

    @property
    def batch(self) -> int:
        """Samples B."""
        return (self.ptr.size - 1) // self.steps

    @property
    def values(self) -> np.ndarray:
        """val for kernels: empty where all are 1."""
        return _ALL_ONES if self.val is None else self.val

    @property
    def density(self) -> float:
        """Share of inputs and steps that hold an event."""
        return self.idx.size / ((self.ptr.size - 1) * max(1, prod(self.shape)))

    def dense(self) -> Tensor:
        """(T, B, *shape) float32; events listed twice add up."""
        out = np.zeros((self.steps, self.batch, prod(self.shape)), np.float32)
        filled_kernel(self.ptr, self.idx, self.values, out)
        return torch.from_numpy(out).reshape(self.steps, self.batch, *self.shape)

    def samples(self, first: int, last: int) -> SparseRaster:
        """Samples first to last - 1; views, not copies."""
        ptr = self.ptr[first * self.steps : last * self.steps + 1]
        val = None if self.val is None else self.val[ptr[0] : ptr[-1]]
        return SparseRaster.trusted(ptr - ptr[0], self.idx[ptr[0] : ptr[-1]], val, self.steps, self.shape)


def joined(parts: list[SparseRaster]) -> SparseRaster:
    """Rasters of the same samples, one after the other in time, as one."""
    steps, batch = sum(part.steps for part in parts), parts[0].batch
    counts = np.concatenate([np.diff(part.ptr).reshape(batch, part.steps) for part in parts], 1)
    ptr = np.concatenate([[0], np.cumsum(counts)])
    idx, values = np.empty(ptr[-1], np.int32), np.ones(ptr[-1], np.float32)
    done = 0
    for part in parts:
        rows = (np.arange(batch)[:, None] * steps + done + np.arange(part.steps)).ravel()
        place = np.repeat(ptr[rows] - part.ptr[:-1], np.diff(part.ptr)) + np.arange(part.idx.size)
        idx[place] = part.idx
        if part.val is not None:
            values[place] = part.val
        done += part.steps
    val = None if all(part.val is None for part in parts) else values
    return SparseRaster.trusted(ptr, idx, val, steps, parts[0].shape)


def stacked(parts: list[SparseRaster]) -> SparseRaster:
    """Rasters of different samples, with the same steps and shape, as one batch."""
    if len(parts) == 1:
        return parts[0]
    ends = np.cumsum([0, *(part.idx.size for part in parts)])
    ptr = np.concatenate([[0], *(part.ptr[1:] + end for part, end in zip(parts, ends))])
    idx = np.concatenate([part.idx for part in parts])
    ones = all(part.val is None for part in parts)
    values = (np.ones(part.idx.size, np.float32) if part.val is None else part.val for part in parts)
    val = None if ones else np.concatenate(list(values))
    return SparseRaster.trusted(ptr, idx, val, parts[0].steps, parts[0].shape)
