"""Many independent jobs: a resumable parallel map.

Each job runs in a process of its own with one inner thread, so results do not depend on how many run at once.
With a folder, each finished result is kept as JSON and a second call computes only what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
from threadpoolctl import threadpool_limits

from .core.files import folder, read_json, write_json
from .core.params import number


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch, our kernels and BLAS of this process at one thread, for the length of the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(before)


def _job(function: Callable[..., Any], arguments: tuple[Any, ...], path: Path | None) -> Any:
    """One job in its process; the worker itself keeps the result, so that it outlives a killed parent."""
    if path is not None and path.exists():
        return read_json(path)
    with one_thread():
        value = function(*arguments)
    if path is not None:
        write_json(path, value)
    return value


def parallel_map(
    function: Callable[..., Any],
    arguments: Iterable[tuple[Any, ...]],
    *,
    workers: int = 1,
    keep: Path | None = None,
    names: Sequence[str] | None = None,
) -> Iterator[Any]:
    """Yield `function(*a)` for each tuple in `arguments`, in their order, `workers` at a time.

    keep, names   where finished results (JSON values) are kept, one file per name; they are not computed again
    workers       1 runs in this process (with one inner thread all the same); more use joblib's loky processes
    """
    number("jobs.workers", workers, at_least=1, integer=True)
    tasks = list(arguments)
    paths: list[Path | None] = [None] * len(tasks)
    if keep is not None and names is not None:
        paths = [folder(keep) / f"{name}.json" for name in names]
    if workers == 1 or len(tasks) < 2:
        yield from (_job(function, task, path) for task, path in zip(tasks, paths))
        return
    calls = (joblib.delayed(_job)(function, task, path) for task, path in zip(tasks, paths))
    yield from joblib.Parallel(n_jobs=min(workers, len(tasks)), return_as="generator", inner_max_num_threads=1)(calls)
