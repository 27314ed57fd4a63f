"""Runs of memory that events are added to, as in a convolution: many short ones, each a multiple of 16 floats long.

Events of one pixel add different rows of weights to the same sums. `runs_added` keeps these in vector registers over all
of them, where a run for each event would be loaded and stored every time. IEEE multiply, then add, event after event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .simd import FEW, compiled, counted, data_of, loaded, splat, vector

SIDES = (64, 32, 16)
"""Lengths of the parts that a run is cut into, longest first: what is held in registers at once."""

_INT64 = ir.IntType(64)


def runs_added_reference(
    target: Any, at: int, weight: Any, starts: Any, begin: int, off: int, val: Any, first: int, count: int, n: int
) -> None:
    """target[at:at + n] += val[first + k] weight[starts[begin + k] + off:][:n] for k in 0:count; an empty val stands for ones.

    target and weight are flat, n is a multiple of FEW.
    """
    for k in range(count):
        row = weight[starts[begin + k] + off : starts[begin + k] + off + n]
        target[at : at + n] += val[first + k] * row if val.size else row


def _over(builder: Any, count: Any, first: list[Any], body: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
    """totals = first; for k in range(count): totals = body(k, totals), where count > 0; each total in a register."""
    entry, loop, done = builder.block, builder.append_basic_block("events"), builder.append_basic_block("added")
    builder.branch(loop)
    builder.position_at_end(loop)
    k, totals = builder.phi(_INT64), [builder.phi(value.type) for value in first]
    following = body(k, totals)
    beyond = builder.add(k, ir.Constant(_INT64, 1))
    for phi, start, later in zip((k, *totals), (ir.Constant(_INT64, 0), *first), (beyond, *following)):
        phi.add_incoming(start, entry)
        phi.add_incoming(later, builder.block)
    builder.cbranch(builder.icmp_signed("<", beyond, count), loop, done)
    builder.position_at_end(done)
    return following


@intrinsic
def _runs_added(
    typing: Any, target: Any, at: Any, weight: Any, starts: Any, begin: Any, off: Any, val: Any, first: Any, count: Any,
    n: Any,
) -> Any:  # fmt: skip
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        out, w, s, v = (data_of(context, builder, signature.args[i], args[i]) for i in (0, 2, 3, 6))
        out, w = builder.gep(out, [args[1]]), builder.gep(w, [args[5]])
        s, v = builder.gep(s, [args[4]]), builder.gep(v, [args[7]])
        nothing = ir.Constant(_INT64, 0)

        def part(side: int, weighted: bool) -> Callable[[Any, Any], Any]:
            def add(j: Any, total: Any) -> Any:
                at = [builder.add(j, ir.Constant(_INT64, lane)) for lane in range(0, side, FEW)]
                places = [vector(builder, builder.gep(out, [a]), FEW) for a in at]

                def event(k: Any, sums: list[Any]) -> list[Any]:
                    start = builder.sext(builder.load(builder.gep(s, [k])), _INT64)
                    rows = [loaded(builder, vector(builder, builder.gep(w, [builder.add(start, a)]), FEW)) for a in at]
                    if weighted:
                        value = splat(builder, builder.load(builder.gep(v, [k])), FEW)
                        rows = [builder.fmul(value, row) for row in rows]
                    return [builder.fadd(total, row) for total, row in zip(sums, rows)]

                found = _over(builder, args[8], [loaded(builder, place) for place in places], event)
                for value, place in zip(found, places):
                    builder.store(value, place).align = 4
                return total

            return add

        def run(weighted: bool) -> None:
            done = nothing
            for side in SIDES:
                whole = builder.udiv(builder.sub(args[9], done), ir.Constant(_INT64, side))
                until = builder.add(done, builder.mul(whole, ir.Constant(_INT64, side)))
                counted(builder, done, until, side, nothing, part(side, weighted))
                done = until

        size = context.make_array(val)(context, builder, args[6]).nitems
        with builder.if_else(builder.icmp_signed(">", size, nothing)) as (given, ones_only):
            with given:
                run(True)
            with ones_only:
                run(False)
        return context.get_dummy_value()

    kinds = (target, types.intp, weight, starts, types.intp, types.intp, val, types.intp, types.intp, types.intp)
    return types.void(*kinds), emit


runs_added: Any = _runs_added if compiled else runs_added_reference
