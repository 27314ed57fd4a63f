"""Standard normal float32 numbers from random words, in arithmetic that compilers turn into vectors.

Box and Muller: of two words a, b of 32 bits, with u = (a >> 1) + 1/2 in units of 2^-31 and the angle in turns b 2^-32,

    r = sqrt(-2 ln u),     n0 = r cos(2 pi angle),  n1 = r sin(2 pi angle)

    ln u       u = m 2^e with m in [sqrt(1/2), sqrt(2)), f = m - 1:   ln m = f - f^2/2 + f^3 P(f), P of degree 8
    cos, sin   of the rest x in [-pi/4, pi/4] of the nearest quarter turn, by polynomials in x^2, then swapped and negated

Polynomials are Chebyshev interpolants; the numbers differ from Box and Muller's in exact arithmetic by at most
2e-6 + 4e-8 / r (u is rounded to float32), and reach to sqrt(-2 ln 2^-32) = 6.66. Everything is IEEE float32, operation
by operation, so `normals` (numpy) and `normal_pair32` (compiled) have the same bits.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .kernel import inlined

F = np.float32
LOG = tuple(
    map(
        F, (0.33333331, -0.2499999, 0.20000708, -0.16668481, 0.14249936, -0.1241105, 0.11661512, -0.11571201, 0.0714975)
    )
)
SIN = tuple(map(F, (-0.16666667, 8.333332e-3, -1.9840081e-4, 2.7249466e-6)))
COS = tuple(map(F, (4.1666668e-2, -1.3888888e-3, 2.4800556e-5, -2.729691e-7)))
ONE, HALF, MINUS_TWO, LN_2 = F(1), F(0.5), F(-2), F(0.6931472)
UNIT, TURN = F(2.0**-31), F(2 * np.pi * 2.0**-32)
ROOT = np.int32(0x3F3504F3)
"""The bits of sqrt(1/2)."""
SHIFT = np.int32(23)
EIGHTHS, LEFT, RIGHT = np.uint32(29), np.uint32(2), np.int32(2)
"""Shifts: to whole eighths of a turn, and a word's two upper bits out and its sign back in."""
NONE, WORD, TWO = np.uint32(0), np.uint32(1), np.uint32(2)


@intrinsic
def _bits_of(typing: Any, x: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), emit


@intrinsic
def _float_of(typing: Any, x: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), emit


@intrinsic
def _as_int32(typing: Any, x: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.trunc(args[0], ir.IntType(32))

    return types.int32(types.uint64), emit


def bits_reference(x: Any) -> Any:
    """The bits of float32 numbers as int32."""
    return np.asarray(x, F).view(np.int32)[()]


def float_reference(x: Any) -> Any:
    """float32 numbers of these bits (int32)."""
    return np.asarray(x, np.int32).view(F)[()]


def int32_reference(x: Any) -> Any:
    """The lower 32 bits of uint64 numbers, as int32."""
    return np.asarray(x, np.uint64).astype(np.uint32).view(np.int32)[()]


_compiled = not getattr(numba.config, "DISABLE_JIT", False)
bits_of: Any = _bits_of if _compiled else bits_reference
float_of: Any = _float_of if _compiled else float_reference
as_int32: Any = _as_int32 if _compiled else int32_reference


def pair_of(a, b, bits_of, float_of, as_int32, pick):  # type: ignore[no-untyped-def]
    """Two normals of two words (uint32, or uint64 below 2^32); numbers or arrays, as the four functions passed."""
    u = (F(as_int32(a >> WORD)) + HALF) * UNIT
    power = np.int32(np.int32(bits_of(u) - ROOT) >> SHIFT)
    f = float_of(np.int32(bits_of(u) - np.int32(power << SHIFT))) - ONE
    # Terms in pairs, pairs in pairs: one product behind another would have registers wait for most of the time.
    f2 = f * f
    low = LOG[0] + LOG[1] * f + f2 * (LOG[2] + LOG[3] * f)
    high = LOG[4] + LOG[5] * f + f2 * (LOG[6] + LOG[7] * f) + f2 * f2 * LOG[8]
    log = f - HALF * f2 + f2 * f * (low + f2 * f2 * high) + F(power) * LN_2
    r = np.sqrt(MINUS_TWO * log)

    quarter = ((b >> EIGHTHS) + WORD) >> WORD
    x = F(np.int32(as_int32(b << LEFT) >> RIGHT)) * TURN  # b less so many quarters: its lower 30 bits, signed
    z = x * x
    z2 = z * z
    sin = x + x * z * (SIN[0] + z * SIN[1] + z2 * (SIN[2] + z * SIN[3]))
    cos = ONE - HALF * z + z2 * (COS[0] + z * COS[1] + z2 * (COS[2] + z * COS[3]))
    odd, second = (quarter & WORD) != NONE, (quarter & TWO) != NONE
    n0, n1 = pick(odd, sin, cos), pick(odd, cos, sin)
    return r * pick(odd != second, -n0, n0), r * pick(second, -n1, n1)


def _pick(condition, yes, no):  # type: ignore[no-untyped-def]
    return yes if condition else no


_pair, _chosen = inlined(pair_of), inlined(_pick)


@numba.njit(inline="always")
def normal_pair32(a, b):  # type: ignore[no-untyped-def]
    """`pair_of` two words, compiled."""
    return _pair(a, b, bits_of, float_of, as_int32, _chosen)


def normals(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`pair_of` arrays of words: the numpy reference of every kernel that draws normals."""
    return pair_of(a, b, bits_reference, float_reference, int32_reference, np.where)
