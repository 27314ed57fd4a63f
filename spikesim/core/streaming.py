"""Arrays that no cache holds, for kernels: lines asked for before they are read, and stores that go past the caches.

An ordinary store reads its line from memory first, which is a third of all traffic where a kernel reads one array and writes
another. What is stored past the caches is slower to read again, so it is for arrays larger than the last of them (FAR).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from .simd import LINE, cache_bytes, prefetched

FAR = cache_bytes(3, 32 << 20)
"""Bytes of the last cache, which cores share."""


def goes_past(read: np.ndarray, *outputs: np.ndarray) -> bool:
    """Whether outputs are to be stored past the caches: they and what is read fill more than FAR, and they begin on lines."""
    on_lines = all(out.ctypes.data % LINE == 0 for out in outputs)
    return on_lines and read.nbytes + sum(out.nbytes for out in outputs) > FAR


def stored(builder: Any, value: Any, pointer: Any, far: Any) -> None:
    """Store a vector of floats; where the flag `far` is set, past the caches: the pointer is then that of a line's beginning."""
    with builder.if_else(far) as (past, through):
        with past:
            streamed = builder.store(value, pointer)
            streamed.align = LINE
            streamed.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
        with through:
            builder.store(value, pointer).align = 4


@intrinsic
def _settled(typing: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), emit


def settled_reference() -> None:
    """What was stored past the caches is there for other threads: to be said once, after the last such store."""


@intrinsic
def _fetched(typing: Any, row: Any, at: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        prefetched(builder, builder.gep(context.make_array(row)(context, builder, args[0]).data, [args[1]]))
        return context.get_dummy_value()

    return types.void(row, types.intp), emit


def fetched_reference(row: Any, at: int) -> None:
    """Ask for the line of row[at], which is read later: nothing that anyone could see."""


_compiled = not getattr(numba.config, "DISABLE_JIT", False)
settled: Any = _settled if _compiled else settled_reference
fetched: Any = _fetched if _compiled else fetched_reference
