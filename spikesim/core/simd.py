"""The few primitives whose machine code is written out: sums of weight rows held in vector registers, and bit counts.

numba compiles `acc[j] += a * w[j]` inside a loop over events into a load and a store of acc for every event, with a
test for overlap before each row; these hold acc in registers over all events instead. Arithmetic is IEEE multiply,
then add (for sums of weighted rows, multiply-add rounded once), event after event: bits equal those of the plain
loops given beside them, which also run where JIT is off.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features, get_host_cpu_name
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 64
"""Outputs summed at once: 256 bytes of a weight row; 8 AVX2 or 4 AVX-512 registers."""
FEW = 16
"""The same for layers of few outputs, a readout of ten classes."""

WIDE = 128 if "avx512f" in get_host_cpu_features() and get_host_cpu_name() != "znver4" else LANES
"""Outputs whose sums the vector registers hold at once, beside a row: more of them need fewer turns for each event. Zen 4
works on such registers by halves and gains nothing (3 to 10 % slower)."""

LINE = 64
"""Bytes of a cache line."""
HANDFUL = 8
"""Weight rows at most that are added to sums in memory at once, between one load of these and one store."""


def aligned(*shape: int, dtype: Any = np.float32, zero: bool = True) -> np.ndarray:
    """Zeros (or anything) that begin on a cache line: where rows straddle lines, reading takes up to twice as long."""
    raw = (np.zeros if zero else np.empty)(prod(shape) * np.dtype(dtype).itemsize + LINE, np.uint8)
    return np.ndarray(shape, dtype, raw, -raw.ctypes.data % LINE)


_INT64, _FLOAT = ir.IntType(64), ir.FloatType()


def data_of(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array).data


def vector(builder: Any, pointer: Any, lanes: int) -> Any:
    return builder.bitcast(pointer, ir.VectorType(_FLOAT, lanes).as_pointer())


def loaded(builder: Any, pointer: Any) -> Any:
    value = builder.load(pointer)
    value.align = 4
    return value


def splat(builder: Any, scalar: Any, lanes: int) -> Any:
    vec, index = ir.VectorType(_FLOAT, lanes), ir.VectorType(ir.IntType(32), lanes)
    one = builder.insert_element(ir.Constant(vec, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, ir.Constant(vec, ir.Undefined), ir.Constant(index, [0] * lanes))


def _fused(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """What `fused` says, for vectors."""
    name, kind = f"llvm.fma.v{a.type.count}f32", ir.FunctionType(a.type, [a.type] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [a, b, c])


def counted(builder: Any, start: Any, stop: Any, step: int, first: Any, body: Callable[[Any, Any], Any]) -> Any:
    """total = first; for e in range(start, stop, step): total = body(e, total); -> total, kept in registers."""
    entry = builder.block
    loop, done = builder.append_basic_block("rows"), builder.append_basic_block("done")
    builder.cbranch(builder.icmp_signed("<", start, stop), loop, done)
    builder.position_at_end(loop)
    e, total = builder.phi(_INT64), builder.phi(first.type)
    e.add_incoming(start, entry)
    total.add_incoming(first, entry)
    following = body(e, total)
    beyond, last = builder.add(e, ir.Constant(_INT64, step)), builder.block
    e.add_incoming(beyond, last)
    total.add_incoming(following, last)
    builder.cbranch(builder.icmp_signed("<", beyond, stop), loop, done)
    builder.position_at_end(done)
    result = builder.phi(first.type)
    result.add_incoming(first, entry)
    result.add_incoming(following, last)
    return result


AHEAD = 24
"""Events whose rows are asked for before they are read: what a row from the L3 cache takes, twice."""


def cache_bytes(level: int, otherwise: int) -> int:
    """Bytes of the cache of a level that a core has or shares, as the system says; otherwise where it does not."""
    said = Path(f"/sys/devices/system/cpu/cpu0/cache/index{level}/size")
    try:
        return int(said.read_text().strip().removesuffix("K")) << 10
    except (OSError, ValueError):
        return otherwise


NEAR = cache_bytes(2, 512 << 10)
"""Bytes of a core's own cache."""


def _fetched(
    builder: Any, rows: Any, table: Any, idx: Any, e: Any, size: Any, lanes: int, bytes_each: int = 4, fits: int = 2 * NEAR
) -> None:  # fmt: skip
    """Ask for the cache lines of the row of an event AHEAD of event e, of this step or the next; idx has `size` events.

    Only where the table of rows has more than `fits` bytes: asking takes as long as reading. Of 592 KB beside 512 KB
    of L2 (W2 on a Zen 3) so little comes from L3 that asking costs 8 % in all.
    """
    far = builder.icmp_signed(">", table.nitems, ir.Constant(_INT64, fits // bytes_each))
    with builder.if_then(far):
        _asked(builder, rows, idx, e, size, lanes, bytes_each)


def prefetched(builder: Any, pointer: Any) -> None:
    """Ask for the cache line at the pointer."""
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(prefetch, [builder.bitcast(pointer, byte), number(0), number(3), number(1)])


def _asked(builder: Any, rows: Any, idx: Any, e: Any, size: Any, lanes: int, bytes_each: int) -> None:
    ahead = builder.add(e, ir.Constant(_INT64, AHEAD))
    event = builder.select(builder.icmp_signed("<", ahead, size), ahead, e)
    at = builder.zext(builder.load(builder.gep(idx, [event])), _INT64)
    row = builder.gep(rows, [builder.mul(at, ir.Constant(_INT64, lanes))])
    for line in range(0, lanes, LINE // bytes_each):
        prefetched(builder, builder.gep(row, [ir.Constant(_INT64, line)]))


def widened(row: Any) -> Any:
    """Weights as float32: float32, int8, or float16 kept as the uint16 of its bits."""
    return (row.view(np.float16) if row.dtype == np.uint16 else row).astype(np.float32, copy=False)


def _row(builder: Any, pointer: Any, lanes: int, kind: Any) -> Any:
    """What `widened` says: a row of `kind` at the pointer as lanes of float32."""
    vec = ir.VectorType(_FLOAT, lanes)
    if kind == types.float32:
        return loaded(builder, builder.bitcast(pointer, vec.as_pointer()))
    stored = ir.VectorType(ir.IntType(8) if kind == types.int8 else ir.HalfType(), lanes)
    value = builder.load(builder.bitcast(pointer, stored.as_pointer()))
    value.align = kind.bitwidth // 8
    return builder.sitofp(value, vec) if kind == types.int8 else builder.fpext(value, vec)


def fused(a: Any, b: Any, c: Any) -> np.ndarray:
    """a b + c for float32, rounded once, as a fused multiply-add instruction does it.

    The product is exact in float64; the sum is rounded to odd there, so that rounding it to float32 is right.
    """
    product, addend = np.float64(a) * np.asarray(b, np.float64), np.asarray(c, np.float64)
    total = np.atleast_1d(product + addend)
    back = total - product
    error = (product - (total - back)) + (addend - back)
    even = (total.view(np.int64) & 1) == 0
    step = np.where((error > 0) == (total > 0), 1, -1)
    total.view(np.int64)[...] += np.where((error != 0) & even & np.isfinite(total), step, 0)
    return total.astype(np.float32)


def rows_summed_reference(acc: Any, first: Any, weight: Any, idx: Any, val: Any, start: int, stop: int) -> None:
    """acc (lanes,) = first + sum over e in start:stop of val[e] weight[idx[e]], in that order; an empty val means ones.

    A product and its addition are rounded once (`fused`). weight (n, lanes) float32, or of fewer bits: see `widened`.
    """
    acc[:] = first
    for e in range(start, stop):
        row = widened(weight[idx[e]])
        acc[:] = fused(val[e], row, acc) if val.size else acc + row


def _rows_summed(lanes: int, fits: int = 2 * NEAR) -> Any:
    @intrinsic
    def rows_summed(typing: Any, acc: Any, first: Any, weight: Any, idx: Any, val: Any, start: Any, stop: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            a, f, w, i, v = (data_of(context, builder, t, x) for t, x in zip(signature.args[:5], args[:5]))
            place, events = vector(builder, a, lanes), context.make_array(idx)(context, builder, args[3]).nitems
            begun = loaded(builder, vector(builder, f, lanes))
            table = context.make_array(weight)(context, builder, args[2])

            def body(weighted: bool) -> Callable[[Any, Any], Any]:
                def add(e: Any, total: Any) -> Any:
                    at = builder.zext(builder.load(builder.gep(i, [e])), _INT64)
                    start_of_row = builder.gep(w, [builder.mul(at, ir.Constant(_INT64, lanes))])
                    _fetched(builder, w, table, i, e, events, lanes, weight.dtype.bitwidth // 8, fits)
                    row = _row(builder, start_of_row, lanes, weight.dtype)
                    if weighted:
                        return _fused(builder, splat(builder, builder.load(builder.gep(v, [e])), lanes), row, total)
                    return builder.fadd(total, row)

                return add

            size = context.make_array(val)(context, builder, args[4]).nitems
            with builder.if_else(builder.icmp_signed(">", size, ir.Constant(_INT64, 0))) as (given, ones_only):
                for branch, weighted in ((given, True), (ones_only, False)):
                    with branch:
                        total = counted(builder, args[5], args[6], 1, begun, body(weighted))
                        builder.store(total, place).align = 4
            return context.get_dummy_value()

        return types.void(acc, first, weight, idx, val, types.intp, types.intp), emit

    return rows_summed


def row_spread_reference(target: Any, row: Any, idx: Any, val: Any, start: int, stop: int) -> None:
    """target[idx[e]] += val[e] row for e in start:stop, in that order; an empty val stands for ones."""
    for e in range(start, stop):
        target[idx[e]] += val[e] * row if val.size else row


def _row_spread(lanes: int) -> Any:
    @intrinsic
    def row_spread(typing: Any, target: Any, row: Any, idx: Any, val: Any, start: Any, stop: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            out, g, i, v = (data_of(context, builder, t, x) for t, x in zip(signature.args[:4], args[:4]))
            values, nothing = loaded(builder, vector(builder, g, lanes)), ir.Constant(_INT64, 0)
            events = context.make_array(idx)(context, builder, args[2]).nitems
            table = context.make_array(target)(context, builder, args[0])

            def body(weighted: bool) -> Callable[[Any, Any], Any]:
                def add(e: Any, total: Any) -> Any:
                    at = builder.zext(builder.load(builder.gep(i, [e])), _INT64)
                    place = vector(builder, builder.gep(out, [builder.mul(at, ir.Constant(_INT64, lanes))]), lanes)
                    _fetched(builder, out, table, i, e, events, lanes)
                    added = values
                    if weighted:
                        added = builder.fmul(splat(builder, builder.load(builder.gep(v, [e])), lanes), values)
                    builder.store(builder.fadd(loaded(builder, place), added), place).align = 4
                    return total

                return add

            size = context.make_array(val)(context, builder, args[3]).nitems
            with builder.if_else(builder.icmp_signed(">", size, nothing)) as (given, ones_only):
                for branch, weighted in ((given, True), (ones_only, False)):
                    with branch:
                        counted(builder, args[4], args[5], 1, nothing, body(weighted))
            return context.get_dummy_value()

        return types.void(target, row, idx, val, types.intp, types.intp), emit

    return row_spread


def handfuls_added_reference(sums: Any, weight: Any, entries: Any, counts: Any) -> None:
    """sums[b] += weight[i] for every i of an entry (b, i, ...), entry after entry; sums (samples, 64), weight (sources, 64).

    Entries of HANDFUL sources come first, counts[HANDFUL] of them, then those of one source less, ...; after the entries of
    each size HANDFUL places are left out.
    """
    at = 0
    for n in range(HANDFUL, 0, -1):
        for _ in range(counts[n]):
            for i in entries[at + 1 : at + 1 + n]:
                sums[entries[at]] += weight[i]
            at += n + 1
        at += HANDFUL


@intrinsic
def _handfuls_added(typing: Any, sums: Any, weight: Any, entries: Any, counts: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        out, w, listed, many = (data_of(context, builder, t, x) for t, x in zip(signature.args, args))
        nothing, lanes = ir.Constant(_INT64, 0), ir.Constant(_INT64, LANES)

        def row(table: Any, place: Any) -> Any:
            at = builder.zext(builder.load(builder.gep(listed, [place])), _INT64)
            return vector(builder, builder.gep(table, [builder.mul(at, lanes)]), LANES)

        def body(start: Any, n: int) -> Callable[[Any, Any], Any]:
            def add(e: Any, total: Any) -> Any:
                place = builder.add(start, builder.mul(e, ir.Constant(_INT64, n + 1)))
                target = row(out, place)
                found = loaded(builder, target)
                for i in range(n):
                    found = builder.fadd(found, loaded(builder, row(w, builder.add(place, ir.Constant(_INT64, 1 + i)))))
                builder.store(found, target).align = 4
                return total

            return add

        at = nothing
        for n in range(HANDFUL, 0, -1):
            count = builder.load(builder.gep(many, [ir.Constant(_INT64, n)]))
            counted(builder, nothing, count, 1, nothing, body(at, n))
            places = builder.mul(count, ir.Constant(_INT64, n + 1))
            at = builder.add(at, builder.add(places, ir.Constant(_INT64, HANDFUL)))
        return context.get_dummy_value()

    return types.void(sums, weight, entries, counts), emit


def _bits(name: str) -> Any:
    @intrinsic
    def count(typing: Any, word: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            if name == "ctpop":
                return builder.ctpop(args[0])
            return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

        return types.int64(types.uint64), emit

    return count


def ones_reference(word: Any) -> int:
    """How many bits of a 64-bit word are set."""
    return int(word).bit_count()


def lowest_reference(word: Any) -> int:
    """Place of the lowest bit set; 64 for 0."""
    return (int(word) & -int(word)).bit_length() - 1 if word else 64


def word_reference(fired: Any, at: int) -> Any:
    """64 bytes of 0 or 1, fired[at:at + 64], as the bits of one word, the first byte lowest."""
    return np.packbits(fired[at : at + 64], bitorder="little").view(np.uint64)[0]


@intrinsic
def _word(typing: Any, fired: Any, at: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vec = ir.VectorType(ir.IntType(8), 64)
        place = builder.bitcast(builder.gep(data_of(context, builder, fired, args[0]), [args[1]]), vec.as_pointer())
        value = builder.load(place)
        value.align = 1
        return builder.bitcast(builder.icmp_unsigned("!=", value, ir.Constant(vec, [0] * 64)), _INT64)

    return types.uint64(fired, types.intp), emit


@numba.njit(inline="always")
def value_at(val: Any, e: Any) -> Any:
    """val[e], or 1 where the list of values is empty."""
    return val[e] if val.size else np.float32(1)


compiled = not getattr(numba.config, "DISABLE_JIT", False)
rows_summed_64: Any = _rows_summed(LANES) if compiled else rows_summed_reference
rows_gathered_64: Any = _rows_summed(LANES, NEAR) if compiled else rows_summed_reference
"""`rows_summed_64` for lists that each go through the whole table: what L2 does not hold is gone when the next list comes."""
rows_summed_128: Any = _rows_summed(2 * LANES) if compiled else rows_summed_reference
rows_summed_16: Any = _rows_summed(FEW) if compiled else rows_summed_reference
handfuls_added: Any = _handfuls_added if compiled else handfuls_added_reference
row_spread: Any = _row_spread(LANES) if compiled else row_spread_reference
row_spread_16: Any = _row_spread(FEW) if compiled else row_spread_reference
ones: Any = _bits("ctpop") if compiled else ones_reference
lowest: Any = _bits("cttz") if compiled else lowest_reference
word: Any = _word if compiled else word_reference
