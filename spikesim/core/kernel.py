"""How numba is used here: one decorator, the house flags, and a record of every kernel with its reference.

A kernel stands in the file of its equation, right under it, because numba's disk cache watches only the file a
kernel is written in. Where a kernel must call a compiled function of another file, `depends` names that module
and its source joins the cache stamp, so that an edit there recompiles here. No `fastmath`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numba

from . import team as team_module
from .pool import Shared, Stepped
from .team import shared_out

__all__ = ["KERNELS", "block_at", "blocks_in", "inlined", "kernel", "plain", "shared_out"]

KERNELS: dict[str, tuple[Any, Callable[..., Any]]] = {}
"""Every kernel with its plain reference, by dotted name; the kernel law compares the bits of each pair."""


def inlined(function: Callable[..., Any]) -> Any:
    """The compiled form of an equation, for use inside kernels of the same file; `.py_func` is the plain one."""
    return numba.njit(function, inline="always")


def plain(function: Any) -> Callable[..., Any]:
    """The Python function behind a compiled one (where JIT is off they are the same), for use in references."""
    return getattr(function, "py_func", function)  # type: ignore[no-any-return]


def blocks_in(x: Any, size: int) -> int:
    """Blocks of `size` neurons in x (T, B, N), sample after sample: the items of a neuron kernel."""
    return int(x.shape[1] * -(-x.shape[2] // size))


@numba.njit(inline="always")
def block_at(item, size, block):  # type: ignore[no-untyped-def]
    """Of the item of so many in `blocks_in`, with N = size: its sample, first neuron, and the neuron behind its last."""
    blocks = (size + block - 1) // block
    first = (item % blocks) * block
    return item // blocks, first, min(size, first + block)


def kernel(
    *, reference: Callable[..., Any], items: Callable[..., int] | None = None,
    regions: Callable[..., int] | None = None, depends: tuple[ModuleType, ...] = (),
) -> Callable[[Callable[..., Any]], Any]:  # fmt: skip
    """Compile with the house flags (cached, no GIL, strict IEEE arithmetic) and record `reference` beside it.

    Division by zero gives inf or nan, as in numpy: a check in the loop would keep it from being vectorised.

    `reference` takes the same arguments and returns or fills the same arrays, in numpy or torch. `items(*args)` says
    how many independent items a call has; the function takes three arguments more, which callers leave out: it asks
    `shared_out(begin, end, team)` first, and if that is not so, does the items from begin to end - 1. Where every step needs the
    one before, `regions(*args)` says how many parts there are, one after the other, which are shared out inside of the
    kernel: it takes one argument more, `team`, and hands it on to compiled functions with items, as
    `np.int64(0), items, team`: a plain 0 would be compiled into them. Such functions
    have no cache of their own, which would not see an edit in a file they call into; they are compiled with the kernel.
    """

    def wrap(function: Callable[..., Any]) -> Any:
        compiled = numba.njit(function, cache=True, nogil=True, error_model="numpy")
        shares = items is not None or regions is not None
        if depends or shares:
            _widen_stamp(compiled, (*depends, team_module, sys.modules[__name__]) if shares else depends)
        called: Any = compiled if items is None else Shared(compiled, items)
        called = called if regions is None else Stepped(compiled, regions)
        KERNELS[f"{function.__module__}.{function.__qualname__}"] = (called, reference)
        return called

    return wrap


def _widen_stamp(compiled: Any, depends: tuple[ModuleType, ...]) -> None:
    """Make the cache of `compiled` stale whenever one of the modules it calls into has changed."""
    index = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if index is None:  # JIT off, or a cache that cannot be written: nothing is stored, nothing goes stale
        return
    stamps = [Path(str(module.__file__)).stat() for module in depends]
    index._source_stamp = (index._source_stamp, *[(s.st_mtime, s.st_size) for s in stamps])
