"""Philox4x32-10: random numbers that are pure functions of a counter and a key.

    one round:  (c0, c1, c2, c3) <- (hi(M1 c2) ^ c1 ^ k0,  lo(M1 c2),  hi(M0 c0) ^ c3 ^ k1,  lo(M0 c0))
    ten rounds; between rounds  (k0, k1) <- (k0 + W0, k1 + W1)  modulo 2^32

hi and lo are the upper and lower 32 bits of the 64-bit product. The same counter and key give the same four
words in any order, thread or process, so a draw can be named instead of being waited for.

Source: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3",
Proc. SC'11, 2011. Known-answer vectors: the authors' Random123 library.

`generated`, `uniform_of` and `normal_pair_of` are the equations in plain Python; `philox4x32`, `uniform` and
`normal_pair` the same compiled, which kernels of any file may call (and then name this module in `depends`). numpy
references call `words`, which takes arrays.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .kernel import inlined

M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
W0, W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
MASK, SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)
ROUNDS = 10
U32_TO_UNIT, HALF = 2.0**-32, 0.5
TWO_PI, MINUS_TWO = 2.0 * math.pi, -2.0


CONSTANTS = (M0, M1, W0, W1, MASK, SHIFT)


def generated(c0, c1, c2, c3, k0, k1, constants=CONSTANTS):  # type: ignore[no-untyped-def]
    """Four words (each a uint64 below 2^32) of the counter (c0..c3) under the key (k0, k1), all uint64 below 2^32."""
    m0, m1, w0, w1, mask, shift = constants
    for _ in range(ROUNDS):
        low = m0 * c0
        high = m1 * c2
        c0 = ((high >> shift) ^ c1 ^ k0) & mask
        c1 = high & mask
        c2 = ((low >> shift) ^ c3 ^ k1) & mask
        c3 = low & mask
        k0 = (k0 + w0) & mask
        k1 = (k1 + w1) & mask
    return c0, c1, c2, c3


def uniform_of(word):  # type: ignore[no-untyped-def]
    """A float64 in the open interval (0, 1): (word + 1/2) / 2^32."""
    return (np.float64(word) + HALF) * U32_TO_UNIT


def normal_pair_of(first, second):  # type: ignore[no-untyped-def]
    """Two independent standard normal float64 by Box and Muller: r cos(phi), r sin(phi)."""
    radius = math.sqrt(MINUS_TWO * math.log((np.float64(first) + HALF) * U32_TO_UNIT))
    angle = TWO_PI * ((np.float64(second) + HALF) * U32_TO_UNIT)
    return radius * math.cos(angle), radius * math.sin(angle)


philox4x32, uniform, normal_pair = inlined(generated), inlined(uniform_of), inlined(normal_pair_of)


def split(value: int) -> tuple[np.uint64, np.uint64]:
    """A 64-bit number (a `Seeds.key`, a sample id) as its lower and upper words, ready to be key or counter."""
    value = int(value) & 0xFFFF_FFFF_FFFF_FFFF
    return np.uint64(value & 0xFFFF_FFFF), np.uint64(value >> 32)


def words(
    c0: np.ndarray | int, c1: np.ndarray | int, c2: np.ndarray | int, c3: np.ndarray | int, key: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """`philox4x32` on arrays: counters broadcast against each other, key a 64-bit int -> four uint64 arrays.

    This is the numpy reference of every kernel that draws.
    """
    a, b, c, d = np.broadcast_arrays(*[np.asarray(c).astype(np.uint64) & MASK for c in (c0, c1, c2, c3)])
    return generated(a, b, c, d, *split(key))


def words_of_tensors(c0: Any, c1: Any, c2: Any, c3: Any, key: int) -> tuple[Any, Any, Any, Any]:
    """`words` for torch tensors of int64, on their device; counters at least 0 and below 2^32.

    Products wrap around as those of uint64 do, and shifting a sign in is undone by the mask.
    """
    wrapped = tuple(int(c) - (int(c) >> 63 << 64) for c in CONSTANTS)
    low, high = split(key)
    return generated(c0, c1, c2, c3, int(low), int(high), wrapped)  # type: ignore[no-any-return]
