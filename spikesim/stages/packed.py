"""Spikes as bits: 64 neurons to a word, (B, T, words) uint64; from bits to event lists or a tensor.

A stage numbers its neurons as suits its kernel; `relabel` (words * 64,) int32 gives each its flat index in the layer's
own order, so that event lists always speak the network's language. Summed pools are a relabelling too.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor

from ..core import simd
from ..core.kernel import kernel, shared_out
from ..core.raster import SparseRaster

_lowest, _ones = simd.lowest, simd.ones
AS_IT_IS = np.empty(0, np.int32)
"""The relabelling that changes nothing."""


def listed_reference(words: np.ndarray, relabel: np.ndarray, ptr: np.ndarray, idx: np.ndarray) -> None:
    """idx[ptr[r]:]: the set bits of words[r], lowest first, relabelled where a table is given; words (R, words)."""
    for r, row in enumerate(words):
        (here,) = np.nonzero(np.unpackbits(row.view(np.uint8), bitorder="little"))
        idx[ptr[r] : ptr[r] + here.size] = relabel[here] if relabel.size else here


@njit(cache=True, nogil=True)
def _counted(words, ptr):  # type: ignore[no-untyped-def]
    """ptr[r + 1] = ptr[r] + bits set in row r. Serial: it takes a thousandth of the time the stages take."""
    for r in range(words.shape[0]):
        n = ptr[r]
        for w in range(words.shape[1]):
            n += _ones(words[r, w])
        ptr[r + 1] = n


@njit(cache=True, nogil=True)
def _listed(words, relabel, idx, k):  # type: ignore[no-untyped-def]
    for w in range(words.size):
        word = words[w]
        while word:
            at = w * 64 + _lowest(word)
            idx[k] = relabel[at] if relabel.size else at
            k += 1
            word &= word - np.uint64(1)


@kernel(reference=listed_reference, items=lambda words, *_: len(words), depends=(simd,))
def listed_kernel(words, relabel, ptr, idx, begin, end, team):  # type: ignore[no-untyped-def]
    if shared_out(team):
        return
    for r in range(begin, end):
        _listed(words[r], relabel, idx, ptr[r])


def unpacked_reference(words: np.ndarray, relabel: np.ndarray, out: np.ndarray) -> None:
    """numpy twin of `unpacked_kernel`, same arguments."""
    steps = out.shape[0]
    for r, row in enumerate(words):
        (here,) = np.nonzero(np.unpackbits(row.view(np.uint8), bitorder="little"))
        out[r % steps, r // steps] = 0
        out[r % steps, r // steps, relabel[here] if relabel.size else here] = 1


@kernel(reference=unpacked_reference, items=lambda words, *_: len(words), depends=(simd,))
def unpacked_kernel(words, relabel, out, begin, end, team):  # type: ignore[no-untyped-def]
    """out (T, B, N) = 1 where a bit of words (B T, words) is set, else 0."""
    if shared_out(team):
        return
    steps = out.shape[0]
    for r in range(begin, end):
        row = out[r % steps, r // steps]
        for j in range(row.size):
            row[j] = 0
        for w in range(words.shape[1]):
            word = words[r, w]
            while word:
                at = w * 64 + _lowest(word)
                row[relabel[at] if relabel.size else at] = 1
                word &= word - np.uint64(1)


class Bits(NamedTuple):
    """Spikes that leave a stage: words (B, T, words) uint64, how its neurons are numbered, and the shape they have."""

    words: np.ndarray
    relabel: np.ndarray
    shape: tuple[int, ...]

    def lists(self) -> SparseRaster:
        """The same as event lists."""
        rows = self.words.reshape(-1, self.words.shape[2])
        ptr = np.zeros(len(rows) + 1, np.int64)
        _counted(rows, ptr)
        idx = np.empty(ptr[-1], np.int32)
        listed_kernel(rows, self.relabel, ptr, idx)
        return SparseRaster.trusted(ptr, idx, None, self.words.shape[1], self.shape)

    def dense(self) -> Tensor:
        """The same as (T, B, *shape) float32."""
        batch, steps, words = self.words.shape
        out = np.empty((steps, batch, prod(self.shape)), np.float32)
        unpacked_kernel(self.words.reshape(-1, words), self.relabel, out)
        return torch.from_numpy(out).view(steps, batch, *self.shape)
