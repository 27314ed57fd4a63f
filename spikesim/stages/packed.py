"""Spikes as bits: 64 neurons to a word, (B, T, words) uint64; from bits to event lists.

A stage numbers its neurons as suits its kernel; `relabel` (words * 64,) int32 gives each its flat index in the layer's
own order, so that event lists always speak the network's language. Summed pools are a relabelling too.
"""

from __future__ import annotations

import numpy as np
from numba import njit

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


def lists_of(bits: np.ndarray, relabel: np.ndarray, shape: tuple[int, ...]) -> SparseRaster:
    """The spikes in bits (B, T, words) as event lists over `shape`."""
    words = bits.reshape(-1, bits.shape[2])
    ptr = np.zeros(len(words) + 1, np.int64)
    _counted(words, ptr)
    idx = np.empty(ptr[-1], np.int32)
    listed_kernel(words, relabel, ptr, idx)
    return SparseRaster.trusted(ptr, idx, None, bits.shape[1], shape)
