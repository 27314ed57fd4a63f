"""One step of 16 neurons of `_membrane.py` in vector registers, their spikes as 16 bits.

The machine code is made by running the equation itself, `step` or `gated_step`, on vectors of instructions in place of
numbers: IEEE operations in the equation's order, so bits equal those of the plain loop. numba would turn every spike
into a byte in memory, and for rows of 64 neurons spend more on the loop around them than on the equation.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ..core.simd import FEW
from ._membrane import Coefficients, gated_step, passed, step

_FLOAT, _WORD = ir.VectorType(ir.FloatType(), FEW), ir.IntType(64)


class _Lanes:
    """A vector of FEW floats to be, with the arithmetic that the equation asks of its numbers."""

    def __init__(self, builder: Any, value: Any, mask: Any = None) -> None:
        self.builder, self.value, self.mask = builder, value, mask

    def __add__(self, other: _Lanes) -> _Lanes:
        return _Lanes(self.builder, self.builder.fadd(self.value, other.value))

    def __sub__(self, other: _Lanes) -> _Lanes:
        return _Lanes(self.builder, self.builder.fsub(self.value, other.value))

    def __mul__(self, other: _Lanes) -> _Lanes:
        return _Lanes(self.builder, self.builder.fmul(self.value, other.value))


def _fires(u: _Lanes) -> _Lanes:
    mask = u.builder.fcmp_ordered(">=", u.value, ir.Constant(_FLOAT, [0.0] * FEW))
    return _Lanes(u.builder, u.builder.uitofp(mask, _FLOAT), mask)


def _coefficient(context: Any, builder: Any, kind: Any, value: Any, at: Any) -> _Lanes:
    if not isinstance(kind, types.Array):
        single = builder.insert_element(ir.Constant(_FLOAT, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), FEW), [0] * FEW)
        return _Lanes(builder, builder.shuffle_vector(single, ir.Constant(_FLOAT, ir.Undefined), zeros))
    return _Lanes(builder, _loaded(builder, _place(context, builder, kind, value, at)))


def _place(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), _FLOAT.as_pointer())


def _loaded(builder: Any, place: Any) -> Any:
    value = builder.load(place)
    value.align = 4
    return value


@intrinsic
def _sixteen(typing: Any, x: Any, v: Any, at: Any, c: Any, gated: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        drive = _Lanes(builder, _loaded(builder, _place(context, builder, x, args[0], args[2])))
        place = _place(context, builder, v, args[1], args[2])
        membrane = _Lanes(builder, _loaded(builder, place))
        parts = [builder.extract_value(args[3], i) for i in range(len(c.types))]
        row = Coefficients(*(_coefficient(context, builder, t, p, args[2]) for t, p in zip(c.types, parts)))
        found = []
        with builder.if_else(args[4]) as branches:
            for branch, rule in zip(branches, (gated_step, step)):
                with branch:
                    s, after, _ = rule(membrane, drive, row, _fires, passed)
                    builder.store(after.value, place).align = 4
                    bits = builder.zext(builder.bitcast(s.mask, ir.IntType(FEW)), _WORD)
                    found.append((bits, builder.block))
        word = builder.phi(_WORD)
        for bits, block in found:
            word.add_incoming(bits, block)
        return word

    return types.uint64(x, v, types.intp, c, types.boolean), emit


def sixteen_reference(x: np.ndarray, v: np.ndarray, at: int, c: Coefficients, gated: bool) -> np.uint64:
    """One step of neurons at : at + 16: drive x, membranes v in and out, coefficients scalars or rows. -> bits, first lowest"""
    here, rule = slice(at, at + FEW), gated_step if gated else step
    row = Coefficients(*(n if np.ndim(n) == 0 else n[here] for n in c))
    s, v[here], _ = rule(v[here], x[here], row, lambda u: (u >= 0).astype(u.dtype), passed)
    return np.packbits(s.astype(np.uint8), bitorder="little").view(np.uint16)[0].astype(np.uint64)


sixteen: Any = _sixteen if not getattr(numba.config, "DISABLE_JIT", False) else sixteen_reference
