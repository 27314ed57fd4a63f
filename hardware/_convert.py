"""What happens to the column currents of one read: cell noise, conversion, and the sum that an output is.

    I_j <- I_j + sqrt(S_j + c_j) n        S_j = sum_i a_i s_ij^2 of the rows driven, c_j the converter's own; n ~ N(0, 1)
    I_j <- gain_j I_j + offset_j          of the converter that column j is connected to
    q_j = lsb_j min(max(floor(I_j / lsb_j + 1/2), low), top)          lsb_j = 0: no conversion; 1 / lsb_j is rounded
    y_o <- y_o + weight (sum_k w_k q_{k O + o} - w_r q_r(o) + shift a)    a rows driven

Independent Gaussian noise of every cell is exactly this in distribution, without drawing for every cell. Column j = k O + o
is cell k of output o (the mapping says what it stands for); reference columns, if any, come last. With capacitors that do not
match (`bits` not empty) the code is found bit by bit, most significant first: bit b is kept if what has been kept and
its own weight are at most I_j / lsb_j + 1/2 - low.

Columns are padded to a multiple of 16. n are numbers of `core.normals`: of Q = columns / 4 calls of Philox in one read,
call q gives columns q, Q + q, 2 Q + q and 3 Q + q.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from spikesim.core.normals import normal_pair32, normals
from spikesim.core.philox import MASK, philox4x32, words

ZERO, HALF = np.float32(0), np.float32(0.5)
PAD = 16
"""Columns are padded to a multiple of this."""


class Converters(NamedTuple):
    """Of every column of every row tile: (row tiles, padded columns) float32.

    lsb (siemens), per (1 / lsb, or 0), gain, offset (siemens), variance (siemens^2) of the converter itself
    bits (row tiles, n, padded columns), capacitors in codes, most significant first; n = 0 where they all match
    low, top   smallest and largest code
    """

    lsb: np.ndarray
    per: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    variance: np.ndarray
    bits: np.ndarray
    low: Any
    top: Any


class Decoding(NamedTuple):
    """How codes become outputs: weights (K,) float32 of the K cells of an output; reference (n_out,) int32, the reference
    column of each output, or empty; its weight; shift (siemens) for every row driven."""

    weights: np.ndarray
    reference: np.ndarray
    reference_weight: Any
    shift: Any


class Draw(NamedTuple):
    """Where draws are counted from: key words and first step; noisy: whether anything fluctuates."""

    low: Any
    high: Any
    step0: Any
    noisy: bool


def noise_reference(columns: int, place: tuple[int, int, int, int], draw: Draw) -> np.ndarray:
    """(columns,) float32 normals of one read: place = sample, step, patch, read."""
    sample, step, patch, read = place
    key = int(draw.low) | int(draw.high) << 32
    a, b, c, d = words(sample, step, patch, read + np.arange(columns // 4, dtype=np.uint64), key)
    return np.concatenate([*normals(a, b), *normals(c, d)])


def convert_reference(
    current: np.ndarray, square: np.ndarray, tile: int, place: tuple[int, int, int, int], by: Converters, draw: Draw,
    columns: int,
) -> tuple[np.ndarray, int]:  # fmt: skip
    """currents (padded columns,) -> q, and how many of the first `columns` were outside the codes."""
    if draw.noisy:
        current = current + np.sqrt(square + by.variance[tile]) * noise_reference(len(current), place, draw)
    current = by.gain[tile] * current + by.offset[tile]
    lsb = by.lsb[tile]
    if lsb[0] == 0:
        return current, 0
    level = np.floor(current * by.per[tile] + HALF)
    clipped = int(((level > by.top) | (level < by.low))[:columns].sum())
    code = np.minimum(np.maximum(level, by.low), by.top)
    if by.bits.shape[1]:
        code = _searched(current * by.per[tile] + HALF - by.low, by.bits[tile]) + by.low
    return code * lsb, clipped


def _searched(level: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """Codes by successive approximation: levels (columns,) above the lowest, capacitors (n, columns)."""
    kept, code = np.zeros_like(level), np.zeros_like(level)
    for b, capacitor in enumerate(bits):
        take = kept + capacitor <= level
        kept = np.where(take, kept + capacitor, kept)
        code = np.where(take, code + np.float32(2 ** (len(bits) - 1 - b)), code)
    return code


def decode_reference(
    q: np.ndarray, weight: np.float32, driven: int, rule: Decoding, target: np.ndarray
) -> None:  # fmt: skip
    """Add one read to the outputs `target` (n_out,)."""
    outputs = len(target)
    for k, w in enumerate(rule.weights):
        target += weight * w * q[k * outputs : (k + 1) * outputs]
    if len(rule.reference):
        target -= weight * rule.reference_weight * q[len(rule.weights) * outputs + rule.reference]
    if rule.shift != 0:
        target += weight * rule.shift * np.float32(driven)


@njit(nogil=True)
def draw_noise(noise, word, place, low, high):  # type: ignore[no-untyped-def]
    """As `noise_reference`, into noise; `word` is scratch of its size, uint32. Words first: numbers of 64 bits in the loop
    that makes normals of them would halve the lanes of its vectors."""
    sample, step, patch, read = place
    quads = noise.size // 4
    for q in range(quads):
        a, b, c, d = philox4x32(sample, step, patch, (read + np.uint64(q)) & MASK, low, high)
        word[q], word[quads + q] = np.uint32(a), np.uint32(b)
        word[2 * quads + q], word[3 * quads + q] = np.uint32(c), np.uint32(d)
    half, more = 2 * quads, 3 * quads
    _pairs(word[:quads], word[quads:half], noise[:quads], noise[quads:half])
    _pairs(word[half:more], word[more:], noise[half:more], noise[more:])


@njit(nogil=True)
def _pairs(a, b, x, y):  # type: ignore[no-untyped-def]
    for q in range(a.size):
        x[q], y[q] = normal_pair32(a[q], b[q])


@njit(nogil=True)
def disturb(current, square, noise, word, tile, place, by, draw):  # type: ignore[no-untyped-def]
    """Add noise to the currents; `noise` and `word` are scratch of their size."""
    draw_noise(noise, word, place, draw.low, draw.high)
    variance = by.variance[tile]
    for o in range(current.size):
        current[o] = current[o] + np.sqrt(square[o] + variance[o]) * noise[o]


@njit(nogil=True)
def convert(current, tile, by, columns):  # type: ignore[no-untyped-def]
    """Currents to codes, as currents, in place. -> how many of the first `columns` were outside the codes."""
    lsb, per, gain, offset, low, top = by.lsb[tile], by.per[tile], by.gain[tile], by.offset[tile], by.low, by.top
    if lsb[0] == ZERO:
        for o in range(columns):
            current[o] = gain[o] * current[o] + offset[o]
        return 0
    clipped, search = np.int32(0), by.bits.shape[1] > 0
    for o in range(columns):
        exact = (gain[o] * current[o] + offset[o]) * per[o] + HALF
        level = np.floor(exact)
        clipped = np.int32(clipped + ((level > top) | (level < low)))
        current[o] = exact if search else min(max(level, low), top) * lsb[o]
    if search:
        _search(current[:columns], lsb, low, by.bits[tile])
    return clipped


@njit(nogil=True)
def _search(level, lsb, low, bits):  # type: ignore[no-untyped-def]
    """As `_searched`: levels, counted from code 0, to codes as currents."""
    for o in range(level.size):
        goal, total, code = level[o] - low, ZERO, ZERO
        for b in range(bits.shape[0]):
            trial = total + bits[b, o]
            take = trial <= goal
            total = trial if take else total
            code = code + np.float32(1 << (bits.shape[0] - 1 - b)) if take else code
        level[o] = (code + low) * lsb[o]


@njit(nogil=True)
def decode(q, weight, driven, rule, target):  # type: ignore[no-untyped-def]
    """As `decode_reference`."""
    outputs = target.size
    for k in range(rule.weights.size):
        factor, plane = weight * rule.weights[k], q[k * outputs : (k + 1) * outputs]
        for o in range(outputs):
            target[o] += factor * plane[o]
    if rule.reference.size:
        factor, plane = weight * rule.reference_weight, q[rule.weights.size * outputs :]
        for o in range(outputs):
            target[o] -= factor * plane[rule.reference[o]]
    if rule.shift != ZERO:
        added = weight * rule.shift * np.float32(driven)
        for o in range(outputs):
            target[o] += added
