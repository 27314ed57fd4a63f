"""A kernel's items shared out among the OpenMP threads that torch keeps anyway.

torch's own operations run on these threads, and between operations they wait spinning on their cores. Threads of
another pool would have to share a core with them for milliseconds; the same team starts within microseconds.

`shared_out(begin, end, team)` is machine code at the head of a kernel: it packs the arguments, opens a parallel region of
torch's OpenMP library, and every thread of it calls the kernel again for one piece of the items after the other. It
adds next to nothing to compilation, where numba's parallel loops add a second and more to each kernel.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

MOST = 64
"""Threads of a team at most: each has a counter on the caller's stack."""

_INT, _WORD, _BYTES = ir.IntType(32), ir.IntType(64), ir.IntType(8).as_pointer()


def _opened() -> int:
    """Address of GOMP_parallel in the OpenMP library that torch has loaded, or 0."""
    name = {"linux": "libtorch_cpu.so", "darwin": "libtorch_cpu.dylib"}.get(sys.platform, "")
    library = Path(torch.__file__).parent / "lib" / name
    try:
        function = ctypes.CDLL(str(library)).GOMP_parallel
    except (OSError, AttributeError):
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0


class Team:
    """Where the parallel region is opened; after a fork the OpenMP library has lost its threads and must not be asked."""

    def __init__(self) -> None:
        self.address = _opened() if _compiled else 0
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self.address = 0

    def orders(self, threads: int, pieces: int) -> np.ndarray:
        """What `shared_out` reads: keep it alive during the call, and hand the kernel its `.ctypes.data`."""
        return np.array([self.address, min(threads, MOST), pieces], np.int64)


def _slot(builder: Any, record: Any, *path: int) -> Any:
    return builder.gep(record, [_INT(0), *map(_INT, path)], inbounds=True)


@intrinsic
def _shared_out(typing: Any, begin: Any, end: Any, team: Any) -> Any:
    if any(isinstance(kind, types.Literal) for kind in (begin, end, team)):
        raise numba.core.errors.TypingError("begin, end and team of a kernel must be variables: each piece has its own")

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kernel = builder.function  # its machine arguments: result, error, then the kernel's own; begin, end, team last
        own = list(kernel.args)[2:-1]
        record_type = ir.LiteralStructType(
            [_INT, _BYTES, _WORD, _WORD, _WORD, ir.ArrayType(_WORD, MOST), *[a.type for a in own]]
        )
        record = cgutils.alloca_once(builder, record_type)
        asked = builder.icmp_signed("!=", args[2], _WORD(0))
        with builder.if_then(asked, likely=False):
            orders = builder.inttoptr(args[2], _WORD.as_pointer())
            address, threads, pieces = (builder.load(builder.gep(orders, [_INT(i)])) for i in range(3))
            for i, value in enumerate((_INT(0), _BYTES(None), threads, pieces, _WORD(0))):
                builder.store(value, _slot(builder, record, i))
            builder.store(ir.ArrayType(_WORD, MOST)(None), _slot(builder, record, 5))
            for i, value in enumerate(own):
                builder.store(value, _slot(builder, record, 6 + i))
            member = _member(context, builder.module, kernel, record_type)
            opens = ir.FunctionType(ir.VoidType(), [member.type, _BYTES, _INT, _INT]).as_pointer()
            region = builder.inttoptr(address, opens)
            builder.call(region, [member, builder.bitcast(record, _BYTES), builder.trunc(threads, _INT), _INT(0)])
            error = builder.load(_slot(builder, record, 1))
            code = builder.load(_slot(builder, record, 0))
            with builder.if_then(builder.icmp_signed("!=", code, _INT(0)), likely=False):
                builder.store(builder.bitcast(error, kernel.args[1].type.pointee), kernel.args[1])
                builder.ret(code)
        return asked

    return types.boolean(types.intp, types.intp, types.intp), emit


def _member(context: Any, module: Any, kernel: Any, record_type: Any) -> Any:
    """What each thread of the team runs: pieces of its own share, then what others have left of theirs."""
    member = ir.Function(module, ir.FunctionType(ir.VoidType(), [_BYTES]), kernel.name + ".member")
    member.linkage = "internal"
    b = ir.IRBuilder(member.append_basic_block("entry"))
    record = b.bitcast(member.args[0], record_type.as_pointer())
    threads, pieces = b.load(_slot(b, record, 2)), b.load(_slot(b, record, 3))
    given = [b.load(_slot(b, record, i)) for i in range(6, len(record_type.elements))]
    begin, end = given[-2:]
    result = b.alloca(kernel.args[0].type.pointee)
    error = b.alloca(kernel.args[1].type.pointee)
    mine = b.atomic_rmw("add", _slot(b, record, 4), _WORD(1), "monotonic")

    def edge(i: Any) -> Any:
        return b.add(begin, b.sdiv(b.mul(b.sub(end, begin), i), pieces))

    with cgutils.for_range(b, threads) as turn:
        share = b.urem(b.add(mine, turn.index), threads)
        low = b.sdiv(b.mul(pieces, share), threads)
        high = b.sdiv(b.mul(pieces, b.add(share, _WORD(1))), threads)
        counter = b.gep(record, [_INT(0), _INT(5), share])
        loop, work, done = (b.append_basic_block(name) for name in ("loop", "work", "done"))
        b.branch(loop)
        b.position_at_end(loop)
        piece = b.add(low, b.atomic_rmw("add", counter, _WORD(1), "monotonic"))
        b.cbranch(b.icmp_signed("<", piece, high), work, done)
        b.position_at_end(work)
        after = b.add(piece, _WORD(1))
        code = b.call(kernel, [result, error, *given[:-2], edge(piece), edge(after), _WORD(0)])
        failed = context.call_conv._get_return_status(b, code, b.load(error)).is_error
        with b.if_then(failed, likely=False):
            b.store(b.bitcast(b.load(error), _BYTES), _slot(b, record, 1))
            b.store(code, _slot(b, record, 0))
        b.branch(loop)
        b.position_at_end(done)
    b.ret_void()
    return member


_compiled = not getattr(numba.config, "DISABLE_JIT", False)
TEAM = Team()


def _alone(begin: int, end: int, team: int) -> bool:
    return False


shared_out: Any = _shared_out if _compiled else _alone
"""Whether other threads have done the kernel's items; to be the first thing a kernel asks. `team` is 0 or an address;
begin, end and team are the kernel's last arguments."""
