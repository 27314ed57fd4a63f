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


def counted_reference(words: np.ndarray, ptr: np.ndarray) -> None:
    """ptr[1:] = ptr[0] + the sum of bits set in rows up to each; words (R, words), ptr (R + 1,)."""
    ptr[1:] = ptr[0] + np.cumsum([sum(int(w).bit_count() for w in row) for row in words])


@kernel(reference=counted_reference, depends=(simd,))
def counted_kernel(words, ptr):  # type: ignore[no-untyped-def]
    """Serial: it takes a thousandth of the time the stages take."""
    for r in range(words.shape[0]):
        n = ptr[r]
        for w in range(words.shape[1]):
            n += _ones(words[r, w])
        ptr[r + 1] = n


@njit(nogil=True)
def listed(words, idx, k, end):  # type: ignore[no-untyped-def]
    """idx[k:]: the set bits of words, lowest first; up to `end` is free to write. -> the end of the list

    Eight at a time, of which those of the next word overwrite what is too many: a loop of as many turns as a word has
    bits costs a mispredicted branch for each word.
    """
    for w in range(words.size):
        word = words[w]
        found = _ones(word)
        if found <= 8 and k + 8 <= end:
            for j in range(8):
                idx[k + j] = w * 64 + _lowest(word)
                word &= word - np.uint64(1)
            k += found
            continue
        while word:
            idx[k] = w * 64 + _lowest(word)
            k += 1
            word &= word - np.uint64(1)
    return k


@kernel(reference=listed_reference, items=lambda words, *_: len(words), depends=(simd,))
def listed_kernel(words, relabel, ptr, idx, begin, end, team):  # type: ignore[no-untyped-def]
    if shared_out(begin, end, team):
        return
    for r in range(begin, end):
        listed(words[r], idx, ptr[r], ptr[r + 1])
        if relabel.size:
            for e in range(ptr[r], ptr[r + 1]):
                idx[e] = relabel[idx[e]]


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
    if shared_out(begin, end, team):
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


def summed_reference(words: np.ndarray, relabel: np.ndarray, out: np.ndarray) -> None:
    """numpy twin of `summed_kernel`, same arguments."""
    fired = np.unpackbits(words.view(np.uint8), axis=2, bitorder="little").sum(1, dtype=np.float32)
    places = relabel if relabel.size else np.arange(fired.shape[1])
    for b, row in enumerate(fired):
        (here,) = np.nonzero(row)
        out[b, places[here]] += row[here]


@kernel(reference=summed_reference, items=lambda words, *_: len(words), depends=(simd,))
def summed_kernel(words, relabel, out, begin, end, team):  # type: ignore[no-untyped-def]
    """out (B, N) += the bits of words (B, T, words) over all steps."""
    if shared_out(begin, end, team):
        return
    for b in range(begin, end):
        for t in range(words.shape[1]):
            for w in range(words.shape[2]):
                word = words[b, t, w]
                while word:
                    at = w * 64 + _lowest(word)
                    out[b, relabel[at] if relabel.size else at] += 1
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
        counted_kernel(rows, ptr)
        idx = np.empty(ptr[-1], np.int32)
        listed_kernel(rows, self.relabel, ptr, idx)
        return SparseRaster.trusted(ptr, idx, None, self.words.shape[1], self.shape)

    def between(self, first: int, last: int) -> Bits:
        """The same of steps first to last - 1 alone."""
        return self._replace(words=np.ascontiguousarray(self.words[:, first:last]))

    def counts(self) -> Tensor:
        """Spikes of every neuron, (B, *shape) float32."""
        batch = self.words.shape[0]
        out = np.zeros((batch, prod(self.shape)), np.float32)
        summed_kernel(self.words, self.relabel, out)
        return torch.from_numpy(out).view(batch, *self.shape)

    def dense(self) -> Tensor:
        """The same as (T, B, *shape) float32."""
        batch, steps, words = self.words.shape
        out = np.empty((steps, batch, prod(self.shape)), np.float32)
        unpacked_kernel(self.words.reshape(-1, words), self.relabel, out)
        return torch.from_numpy(out).view(steps, batch, *self.shape)
