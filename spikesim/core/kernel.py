"""How numba is used here: one decorator, the house flags, and a record of every kernel with its reference.

A kernel stands in the file of its equation, right under it, because numba's disk cache watches only the file a
kernel is written in. Where a kernel must call a compiled function of another file, `depends` names that module
and its source joins the cache stamp, so that an edit there recompiles here. No `fastmath`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numba

KERNELS: dict[str, tuple[Any, Callable[..., Any]]] = {}
"""Every kernel with its plain reference, by dotted name; the kernel law compares the bits of each pair."""


def inlined(function: Callable[..., Any]) -> Any:
    """The compiled form of an equation, for use inside kernels of the same file; `.py_func` is the plain one."""
    return numba.njit(function, inline="always")


def plain(function: Any) -> Callable[..., Any]:
    """The Python function behind a compiled one (where JIT is off they are the same), for use in references."""
    return getattr(function, "py_func", function)  # type: ignore[no-any-return]


def kernel(
    *, reference: Callable[..., Any], parallel: bool = False, depends: tuple[ModuleType, ...] = ()
) -> Callable[[Callable[..., Any]], Any]:
    """Compile with the house flags (cached, no GIL, strict IEEE arithmetic) and record `reference` beside it.

    Division by zero gives inf or nan, as in numpy: a check in the loop would keep it from being vectorised.

    `reference` takes the same arguments and returns or fills the same arrays, in numpy or torch.
    """

    def wrap(function: Callable[..., Any]) -> Any:
        compiled = numba.njit(function, cache=True, nogil=True, parallel=parallel, error_model="numpy")
        if depends:
            _widen_stamp(compiled, depends)
        KERNELS[f"{function.__module__}.{function.__qualname__}"] = (compiled, reference)
        return compiled

    return wrap


def _widen_stamp(compiled: Any, depends: tuple[ModuleType, ...]) -> None:
    """Make the cache of `compiled` stale whenever one of the modules it calls into has changed."""
    index = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if index is None:  # JIT off, or a cache that cannot be written: nothing is stored, nothing goes stale
        return
    stamps = [Path(str(module.__file__)).stat() for module in depends]
    index._source_stamp = (index._source_stamp, *[(s.st_mtime, s.st_size) for s in stamps])
