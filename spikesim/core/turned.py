"""A tile of 16 x 16 floats written transposed, in vector registers: a store writes 16 numbers of a row at once.

numba's loop would move one number at a time, each from another cache line.
"""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .simd import FEW

_VECTOR, _BYTE = ir.VectorType(ir.FloatType(), FEW), ir.IntType(8).as_pointer()
_QUARTERS = range(0, FEW, 4)


def turned_reference(source: Any, i: int, j: int, target: Any, p: int, q: int) -> None:
    """target[p : p + 16, q : q + 16] = source[i : i + 16, j : j + 16] transposed; float32, rows without gaps."""
    target[p : p + FEW, q : q + FEW] = source[i : i + FEW, j : j + FEW].T


def _rows(context: Any, builder: Any, kind: Any, array: Any, i: Any, j: Any) -> list[Any]:
    """Where 16 numbers of each of 16 rows lie, from [i, j] on."""
    view = context.make_array(kind)(context, builder, array)
    stride = builder.extract_value(view.strides, 0)
    before = builder.add(builder.mul(i, stride), builder.mul(j, ir.Constant(j.type, 4)))
    at, places = builder.gep(builder.bitcast(view.data, _BYTE), [before]), []
    for _ in range(FEW):
        places.append(builder.bitcast(at, _VECTOR.as_pointer()))
        at = builder.gep(at, [stride])
    return places


def _mixed(builder: Any, a: Any, b: Any, picked: list[int]) -> Any:
    """Numbers of a and b in one vector; those of b count from 16."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), FEW), picked))


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Four rounds, each a shuffle of two vectors: single numbers, pairs within quarters, then quarters twice."""
    ones = [[n for k in _QUARTERS for n in (k + h, FEW + k + h, k + h + 1, FEW + k + h + 1)] for h in (0, 2)]
    pairs = [[n for k in _QUARTERS for n in (k + h, k + h + 1, FEW + k + h, FEW + k + h + 1)] for h in (0, 2)]
    quarters = [[k + 4 * (h + g) + n for k in (0, FEW) for g in (0, 2) for n in range(4)] for h in (0, 1)]
    a = [_mixed(builder, rows[2 * k], rows[2 * k + 1], way) for k in range(8) for way in ones]
    b = [_mixed(builder, a[4 * k + h], a[4 * k + h + 2], way) for k in range(4) for h in (0, 1) for way in pairs]
    c = [_mixed(builder, b[8 * k + h], b[8 * k + h + 4], way) for k in (0, 1) for h in range(4) for way in quarters]
    # c[8 k + 2 h + w]: columns h + 4 w and h + 4 w + 8 of rows 8 k to 8 k + 7
    return [
        _mixed(builder, c[2 * h + w], c[8 + 2 * h + w], quarters[m]) for m in (0, 1) for w in (0, 1) for h in range(4)
    ]


@intrinsic
def _turned(typing: Any, source: Any, i: Any, j: Any, target: Any, p: Any, q: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rows = []
        for place in _rows(context, builder, source, *args[:3]):
            rows.append(builder.load(place))
            rows[-1].align = 4
        for place, column in zip(_rows(context, builder, target, *args[3:]), _transposed(builder, rows)):
            builder.store(column, place).align = 4
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp, types.intp), emit


_compiled = not getattr(numba.config, "DISABLE_JIT", False)
turned: Any = _turned if _compiled else turned_reference


@numba.njit(nogil=True)
def tile_turned(weight, first, last, at, end, block, back):  # type: ignore[no-untyped-def]
    """block (end - at, lanes) = weight[first:last, at:end] transposed, or `back`; for kernels of other files."""
    outputs, inputs = (last - first) // FEW * FEW, (end - at) // FEW * FEW
    for o in range(0, outputs, FEW):
        for i in range(0, inputs, FEW):
            if back:
                turned(block, i, o, weight, first + o, at + i)
            else:
                turned(weight, first + o, at + i, block, i, o)
    for i in range(end - at):
        row = block[i]
        for o in range(outputs if i < inputs else 0, last - first):
            if back:
                weight[first + o, at + i] = row[o]
            else:
                row[o] = weight[first + o, at + i]
