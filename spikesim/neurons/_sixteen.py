"""One step of 16 neurons of `_membrane.py` in vector registers, their spikes as 16 bits.

The machine code is made by running the equation itself, `step` or `gated_step`, on vectors of instructions in place of
numbers: IEEE operations in the equation's order, so bits equal those of the plain loop. numba would turn every spike
into a byte in memory, and for rows of 64 neurons spend more on the loop around them than on the equation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ..core.simd import FEW, compiled, counted, data_of, loaded, prefetched, splat, vector
from ..core.streaming import stored
from ..surrogate import SLOPES, Slope, gaussian, slope_row_reference
from ._membrane import Coefficients, gated_step, passed, step
from ._membrane_backward import step_back

_FLOAT, _BITS, _WORD = ir.VectorType(ir.FloatType(), FEW), ir.VectorType(ir.IntType(32), FEW), ir.IntType(64)


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

    def __truediv__(self, other: _Lanes) -> _Lanes:
        return _Lanes(self.builder, self.builder.fdiv(self.value, other.value))

    def __neg__(self) -> _Lanes:
        return _Lanes(self.builder, self.builder.fneg(self.value))

    def __abs__(self) -> _Lanes:
        bits = self.builder.bitcast(self.value, _BITS)
        kept = self.builder.and_(bits, ir.Constant(_BITS, [0x7FFF_FFFF] * FEW))
        return _Lanes(self.builder, self.builder.bitcast(kept, _FLOAT))

    def _compared(self, how: str, other: _Lanes) -> _Lanes:
        return _Lanes(self.builder, None, self.builder.fcmp_ordered(how, self.value, other.value))

    def __lt__(self, other: _Lanes) -> _Lanes:
        return self._compared("<", other)

    def __gt__(self, other: _Lanes) -> _Lanes:
        return self._compared(">", other)

    def __ge__(self, other: _Lanes) -> _Lanes:
        return self._compared(">=", other)


def _fires(u: _Lanes) -> _Lanes:
    nothing, ones = (ir.Constant(_FLOAT, [number] * FEW) for number in (0.0, 1.0))
    mask = u.builder.fcmp_ordered(">=", u.value, nothing)
    return _Lanes(u.builder, u.builder.select(mask, ones, nothing), mask)


def _where(condition: _Lanes, a: _Lanes, b: _Lanes) -> _Lanes:
    return _Lanes(a.builder, a.builder.select(condition.mask, a.value, b.value))


def _coefficient(context: Any, builder: Any, kind: Any, value: Any, at: Any) -> _Lanes:
    if not isinstance(kind, types.Array):
        return _Lanes(builder, splat(builder, value, FEW))
    return _Lanes(builder, loaded(builder, _place(context, builder, kind, value, at)))


def _place(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    return vector(builder, builder.gep(data_of(context, builder, kind, array), [at]), FEW)


def _numbers_at(context: Any, builder: Any, kinds: Any, values: Any, at: Any) -> Coefficients:
    """The coefficients of neurons at : at + 16 from a tuple of scalars and arrays."""
    parts = [builder.extract_value(values, i) for i in range(len(kinds.types))]
    return Coefficients(*(_coefficient(context, builder, t, p, at) for t, p in zip(kinds.types, parts)))


def _step_at(context: Any, builder: Any, kinds: Any, args: Any, rule: Any, keep: Any = None) -> _Lanes:
    """The step of neurons at : at + 16 from (x, v, at, c) by a rule: v is stored, h handed to `keep` if any. -> spikes"""
    x, v, at, coefficients = args
    place = _place(context, builder, kinds[1], v, at)
    drive, membrane = (_Lanes(builder, loaded(builder, p)) for p in (_place(context, builder, kinds[0], x, at), place))
    s, after, h = rule(membrane, drive, _numbers_at(context, builder, kinds[3], coefficients, at), _fires, passed)
    builder.store(after.value, place).align = 4
    if keep is not None:
        keep(h.value)
    return s  # type: ignore[no-any-return]


def _stepped(context: Any, builder: Any, kinds: Any, args: Any, gated: Any, keep: Any = None) -> Any:
    """`_step_at` by the rule that `gated` names. -> bits"""
    found = []
    with builder.if_else(gated) as branches:
        for branch, rule in zip(branches, (gated_step, step)):
            with branch:
                s = _step_at(context, builder, kinds, args, rule, keep)
                found.append((builder.zext(builder.bitcast(s.mask, ir.IntType(FEW)), _WORD), builder.block))
    word = builder.phi(_WORD)
    for bits, block in found:
        word.add_incoming(bits, block)
    return word


def _for_each_sixteen(context: Any, builder: Any, kind: Any, array: Any, body: Any) -> None:
    """body(at) for every sixteen of an array's first dimension."""
    size, nothing = (
        builder.extract_value(context.make_array(kind)(context, builder, array).shape, 0),
        ir.Constant(_WORD, 0),
    )

    def turn(at: Any, total: Any) -> Any:
        body(at)
        return total

    counted(builder, nothing, size, FEW, nothing, turn)


@intrinsic
def _sixteen(typing: Any, x: Any, v: Any, at: Any, c: Any, gated: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _stepped(context, builder, (x, v, at, c), args[:4], args[4])

    return types.uint64(x, v, types.intp, c, types.boolean), emit


@intrinsic
def _kept(typing: Any, x: Any, v: Any, at: Any, c: Any, gated: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def keep(h: Any) -> None:
            builder.store(h, _place(context, builder, x, args[0], args[2])).align = 4

        return _stepped(context, builder, (x, v, at, c), args[:4], args[4], keep)

    return types.uint64(x, v, types.intp, c, types.boolean), emit


@intrinsic
def _row(typing: Any, x: Any, later: Any, v: Any, spikes: Any, c: Any, gated: Any, far: Any) -> Any:
    """Spikes are stored one sixteen late: a drive that lies a few bytes before them, modulo a page, as an array of numpy's
    before one of torch's, would have every load wait for the store before it."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        size = builder.extract_value(context.make_array(x)(context, builder, args[0]).shape, 0)
        few, past = ir.Constant(_WORD, FEW), args[6]

        def sixteen(rule: Any, at: Any) -> Any:
            prefetched(builder, _place(context, builder, later, args[1], at))
            inputs = (args[0], args[2], at, args[4])
            return _step_at(context, builder, (x, v, types.intp, c), inputs, rule).value

        def body(rule: Any) -> Any:
            def turn(at: Any, before: Any) -> Any:
                following = sixteen(rule, at)
                stored(builder, before, _place(context, builder, spikes, args[3], builder.sub(at, few)), past)
                return following

            return turn

        with builder.if_else(args[5]) as branches:
            for branch, rule in zip(branches, (gated_step, step)):
                with branch:
                    first = sixteen(rule, ir.Constant(_WORD, 0))
                    last = counted(builder, few, size, FEW, first, body(rule))
                    stored(builder, last, _place(context, builder, spikes, args[3], builder.sub(size, few)), past)
        return context.get_dummy_value()

    return types.void(x, later, v, spikes, c, types.boolean, types.boolean), emit


@intrinsic
def _row_packed(typing: Any, x: Any, v: Any, rest: Any, spikes: Any, c: Any, gated: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        words = data_of(context, builder, spikes, args[3])

        def by(rule: Any) -> Any:
            def sixteen(at: Any) -> None:
                s = _step_at(context, builder, (x, v, types.intp, c), (args[0], args[1], at, args[4]), rule)
                after = loaded(builder, _place(context, builder, rest, args[2], at))
                builder.store(after, _place(context, builder, x, args[0], at)).align = 4
                sixteenth = builder.lshr(at, ir.Constant(_WORD, 4))
                builder.store(builder.bitcast(s.mask, ir.IntType(FEW)), builder.gep(words, [sixteenth]))

            return sixteen

        with builder.if_else(args[5]) as branches:
            for branch, rule in zip(branches, (gated_step, step)):
                with branch:
                    _for_each_sixteen(context, builder, x, args[0], by(rule))
        return context.get_dummy_value()

    return types.void(x, v, rest, spikes, c, types.boolean), emit


def row_packed_reference(
    x: np.ndarray, v: np.ndarray, rest: np.ndarray, spikes: np.ndarray, c: Coefficients, gated: bool
) -> None:
    """One step of a row of 16 k neurons: membranes v in and out, 16 spikes to a number, (k,) uint16; x becomes `rest`."""
    s, v[:], _ = (gated_step if gated else step)(v, x, c, lambda u: (u >= 0).astype(np.uint8), passed)
    spikes[:], x[:] = np.packbits(s, bitorder="little").view(np.uint16), rest


def sixteen_reference(x: np.ndarray, v: np.ndarray, at: int, c: Coefficients, gated: bool) -> np.uint64:
    """One step of neurons at : at + 16: drive x, membranes v in and out, coefficients scalars or rows. -> bits, first lowest"""
    return sixteen_kept_reference(x.copy(), v, at, c, gated)


def sixteen_kept_reference(x: np.ndarray, v: np.ndarray, at: int, c: Coefficients, gated: bool) -> np.uint64:
    """`sixteen_reference`, which leaves h in place of the drive x, for the way back."""
    here, rule = slice(at, at + FEW), gated_step if gated else step
    s, v[here], x[here] = rule(v[here], x[here], _numbers(c, here), lambda u: (u >= 0).astype(u.dtype), passed)
    return np.packbits(s.astype(np.uint8), bitorder="little").view(np.uint16)[0].astype(np.uint64)


def row_reference(
    x: np.ndarray, later: np.ndarray, v: np.ndarray, spikes: np.ndarray, c: Coefficients, gated: bool, far: bool
) -> None:
    """One step of a row of 16 k neurons: drive x, membranes v in and out, spikes 0.0 or 1.0.

    later: a row of the drive to ask for. far: store past the caches (`core/streaming.py`).
    """
    spikes[:], v[:], _ = (gated_step if gated else step)(v, x, c, lambda u: (u >= 0).astype(u.dtype), passed)


def _numbers(c: Coefficients, here: slice) -> Coefficients:
    return Coefficients(*(n if np.ndim(n) == 0 else n[here] for n in c))


def _stepped_back(context: Any, builder: Any, kinds: Any, args: Any) -> None:
    """One step back of neurons at : at + 16 from (g, flow, h, slope, at, c, through)."""
    at, places = args[4], [_place(context, builder, kind, array, args[4]) for kind, array in zip(kinds[:4], args[:4])]
    grad, carry, charge, steep = (_Lanes(builder, loaded(builder, place)) for place in places)
    row = _numbers_at(context, builder, kinds[5], args[5], at)
    s = _fires(charge - row.threshold)
    gh, _, _ = step_back(grad, carry, charge, s, steep, row, _coefficient(context, builder, kinds[6], args[6], at))
    builder.store((row.leak * gh).value, places[1]).align = 4
    builder.store((row.gain * gh).value, places[3]).align = 4


@intrinsic
def _back(typing: Any, g: Any, flow: Any, h: Any, slope: Any, at: Any, c: Any, through: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _stepped_back(context, builder, signature.args, args)
        return context.get_dummy_value()

    return types.void(g, flow, h, slope, types.intp, c, types.float32), emit


@intrinsic
def _row_charged(typing: Any, x: Any, v: Any, h: Any, c: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def sixteen(at: Any) -> None:
            def keep(value: Any) -> None:
                builder.store(value, _place(context, builder, h, args[2], at)).align = 4

            _step_at(context, builder, (x, v, types.intp, c), (args[0], args[1], at, args[3]), step, keep)

        _for_each_sixteen(context, builder, x, args[0], sixteen)
        return context.get_dummy_value()

    return types.void(x, v, h, c), emit


def row_charged_reference(x: np.ndarray, v: np.ndarray, h: np.ndarray, c: Coefficients) -> None:
    """Charges of one step of a row of 16 k neurons, reset at once: drive x, membranes v in and out."""
    _, v[:], h[:] = step(v, x, c, lambda u: (u >= 0).astype(u.dtype), passed)


SLOPED = tuple(code for code, slope in enumerate(SLOPES) if slope is not gaussian)
"""Surrogates whose slopes `row_back` makes: an exponential of vectors is not at hand."""


@intrinsic
def _row_back(typing: Any, g: Any, flow: Any, h: Any, out: Any, c: Any, through: Any, code: Any, rise: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = *signature.args[:4], types.intp, *signature.args[4:6]

        def by(slope: Any) -> Any:
            def sixteen(at: Any) -> None:
                numbers = [
                    _coefficient(context, builder, types.float32, builder.extract_value(args[7], i), at)
                    for i in range(4)
                ]
                charge = _Lanes(builder, loaded(builder, _place(context, builder, h, args[2], at)))
                u = charge - _numbers_at(context, builder, c, args[4], at).threshold
                place = _place(context, builder, out, args[3], at)
                builder.store(slope(u, Slope(*numbers), _where, None).value, place).align = 4
                _stepped_back(context, builder, kinds, (*args[:4], at, *args[4:6]))

            return sixteen

        for number in SLOPED:
            with builder.if_then(builder.icmp_signed("==", args[6], ir.Constant(_WORD, number))):
                _for_each_sixteen(context, builder, g, args[0], by(SLOPES[number]))
        return context.get_dummy_value()

    return types.void(g, flow, h, out, c, types.float32, types.intp, rise), emit


def row_back_reference(
    g: np.ndarray, flow: np.ndarray, h: np.ndarray, out: np.ndarray, c: Coefficients, through: Any, code: int, rise: Slope
) -> None:  # fmt: skip
    """One step back of a row of 16 k neurons by one of the SLOPED: dL/ds in g, dL/dv in flow, in and out; dL/dx to out."""
    slope_row_reference(code, h - c.threshold, rise, out)
    for at in range(0, g.size, FEW):
        back_reference(g, flow, h, out, at, c, through)


def back_reference(
    g: np.ndarray, flow: np.ndarray, h: np.ndarray, slope: np.ndarray, at: int, c: Coefficients, through: Any
) -> None:
    """One step back of neurons at : at + 16: dL/ds in g, dL/dv in flow, in and out; dL/dx in place of the slope."""
    here = slice(at, at + FEW)
    row, s = _numbers(c, here), (h[here] >= _numbers(c, here).threshold).astype(h.dtype)
    gh, _, _ = step_back(g[here], flow[here], h[here], s, slope[here], row, through)
    flow[here], slope[here] = row.leak * gh, row.gain * gh


sixteen: Any = _sixteen if compiled else sixteen_reference
sixteen_kept: Any = _kept if compiled else sixteen_kept_reference
row: Any = _row if compiled else row_reference
row_packed: Any = _row_packed if compiled else row_packed_reference
row_charged: Any = _row_charged if compiled else row_charged_reference
back: Any = _back if compiled else back_reference
row_back: Any = _row_back if compiled else row_back_reference
