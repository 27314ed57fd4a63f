"""Several weighted sums of the same rows at once: the inner loop of a matrix product, in a fixed order.

    sums[i, j] = sum over k of a[i, k] weight[k, j],   k rising, each product and its addition rounded once

The sums stay in vector registers over all k. Because the order is that of a list of events, a product with a in {0, 1}
has the bits of adding the listed rows one after the other (`simd.rows_summed_64`), whatever stands in the same batch.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .simd import _INT64, LANES, WIDE, _fused, _load, _splat, _vector, fused

SPAN = LANES if WIDE > LANES else LANES // 4
"""Columns summed at once: READS times as many sums, a row and a factor fill the vector registers."""
READS = 6 if WIDE > LANES else 4
"""Sums of the same columns held at once."""


def block_product_reference(sums: Any, to: int, a: Any, first: int, weight: Any, at: int) -> None:
    """sums[first + r, to + j] for r < READS, j < SPAN: of a (reads, n) and weight (n, LANES) from column `at` on."""
    for r in range(first, first + READS):
        total = np.zeros(SPAN, np.float32)
        for k in range(len(weight)):
            total = fused(a[r, k], weight[k, at : at + SPAN], total)
        sums[r, to : to + SPAN] = total


@intrinsic
def _block_product(typing: Any, sums: Any, to: Any, a: Any, first: Any, weight: Any, at: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        out, factors, table = (context.make_array(signature.args[i])(context, builder, args[i]) for i in (0, 2, 4))
        kind, zero = ir.VectorType(ir.FloatType(), SPAN), ir.Constant(_INT64, 0)
        none = ir.Constant(kind, [0.0] * SPAN)

        def line(array: Any, r: int, column: Any) -> Any:
            """Address of `column` in row first + r of an array."""
            row = builder.add(args[3], ir.Constant(_INT64, r))
            width = builder.extract_value(array.shape, 1)
            return builder.gep(array.data, [builder.add(builder.mul(row, width), column)])

        begin = [line(factors, r, zero) for r in range(READS)]
        places = [_vector(builder, line(out, r, args[1]), SPAN) for r in range(READS)]
        rows = builder.extract_value(table.shape, 0)
        entry, loop, done = builder.block, builder.append_basic_block("rows"), builder.append_basic_block("done")
        builder.cbranch(builder.icmp_signed("<", zero, rows), loop, done)
        builder.position_at_end(loop)
        k, totals = builder.phi(_INT64), [builder.phi(kind) for _ in range(READS)]
        place = builder.gep(table.data, [builder.add(builder.mul(k, ir.Constant(_INT64, LANES)), args[5])])
        row = _load(builder, _vector(builder, place, SPAN))
        after = []
        for b, total in zip(begin, totals):
            factor = _splat(builder, builder.load(builder.gep(b, [k])), SPAN)
            after.append(_fused(builder, factor, row, total))
        following = builder.add(k, ir.Constant(_INT64, 1))
        for phi, start, now in [(k, zero, following), *((t, none, now) for t, now in zip(totals, after))]:
            phi.add_incoming(start, entry)
            phi.add_incoming(now, loop)
        builder.cbranch(builder.icmp_signed("<", following, rows), loop, done)
        builder.position_at_end(done)
        ends = [builder.phi(kind) for _ in after]
        for end, now, where in zip(ends, after, places):
            end.add_incoming(none, entry)
            end.add_incoming(now, loop)
            builder.store(end, where).align = 4
        return context.get_dummy_value()

    return types.void(sums, types.intp, a, types.intp, weight, types.intp), emit


_compiled = not getattr(numba.config, "DISABLE_JIT", False)
block_product: Any = _block_product if _compiled else block_product_reference
