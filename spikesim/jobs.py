"""Many independent jobs: a lazy, resumable parallel map over this machine's processes or a Dask cluster.

Each job runs alone in a process with one inner thread, so results do not depend on how many run at once, nor on workers
that die: what a lost worker had not finished is computed again. With a `Kept` folder each finished result is a JSON file,
and a second call computes only what is missing. Jobs are drawn from their iterator as they are needed, and what all of
them share is sent to a worker once: memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count, islice, repeat
from pathlib import Path
from typing import Any

from .core.files import folder
from .core.params import number
from .errors import ParameterError, must
from .job import Job, Kept, LostWorkerError, Pool, lethal, one_thread

__all__ = ["Kept", "one_thread", "parallel_map"]

AHEAD = 4
"""Jobs per worker that are handed out or finished before the first of them is: bounds memory, keeps workers busy."""
STRIKES = 3
"""Workers that may die on a job before it is given up."""


def parallel_map(
    function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]], *, shared: tuple[Any, ...] = (),
    workers: int = 1, cluster: str | None = None, kept: Kept | None = None, names: Iterable[str] | None = None,
) -> Iterator[Any]:  # fmt: skip
    """Yield `function(*shared, *a)` for each tuple a of `arguments`, in their order, `workers` at a time.

    shared        what every job needs, like a network and its data: sent to each worker once
    workers       1 runs in this process (with one inner thread all the same); more use joblib's loky processes
    cluster       address of a Dask scheduler, whose workers (of one thread each) are used instead
    kept, names   where finished results (JSON values) stay, and under which names; they are not computed again
    Raises JobError for a cluster that cannot be used or goes away, and for a job on which workers die time and again;
    ArtefactError where a result cannot be written. Finished results stay kept in each case.
    """
    number("jobs.workers", workers, at_least=1, integer=True)
    if (kept is None) != (names is None):
        raise ParameterError(must("jobs.kept and names", "given together", f"{kept!r}, {names!r}"))
    if kept is not None:
        folder(kept.folder / kept.key, "jobs.kept")
    paths: Iterable[Path | None] = repeat(None) if kept is None or names is None else map(kept.path, names)
    jobs: Iterator[Job] = map(Job, count(), repeat(function), arguments, paths)
    first = list(islice(jobs, 2))
    jobs = chain(first, jobs)
    if cluster is None and (workers == 1 or len(first) < 2):
        for job in jobs:
            known = job.found()
            yield known[0] if known else job.run(shared)
        return
    yield from _pooled(_pool(shared, workers, cluster), jobs)


def _pool(shared: tuple[Any, ...], workers: int, cluster: str | None) -> Pool:
    if cluster is not None:
        from .cluster import Cluster

        return Cluster(cluster, shared)
    from .processes import Processes

    return Processes(workers, shared)


def _pooled(pool: Pool, jobs: Iterator[Job]) -> Iterator[Any]:
    """Results in the order of jobs; they are kept as they come in, whatever their order."""
    done = False
    try:
        yield from _Run(pool, jobs).results()
        done = True
    finally:
        pool.close(done=done)


class _Run:
    """Jobs on their way: handed out, finished before their turn, or lost with a worker."""

    def __init__(self, pool: Pool, jobs: Iterator[Job]) -> None:
        self.pool, self.jobs = pool, jobs
        self.out: dict[Any, Job] = {}
        self.ready: dict[int, Any] = {}
        self.strikes: dict[int, int] = {}

    def results(self) -> Iterator[Any]:
        turn = 0
        while True:
            self._fill(AHEAD * self.pool.workers)
            while turn in self.ready:
                yield self.ready.pop(turn)
                turn += 1
            if self.out:
                self._collect()
            elif not self.ready and not self._fill(1):
                return

    def _fill(self, most: int) -> bool:
        """Draw jobs until so many are out or ready; kept results are taken as they are. -> whether there are any."""
        while len(self.out) + len(self.ready) < most:
            job = next(self.jobs, None)
            if job is None:
                break
            known = job.found()
            if known:
                self.ready[job.index] = known[0]
            else:
                self.out[self.pool.submit(job)] = job
        return bool(self.out or self.ready)

    def _collect(self) -> None:
        for handle in list(self.pool.finished(self.out)):
            job = self.out.pop(handle)
            try:
                self.ready[job.index] = self.pool.result(handle, job)
            except LostWorkerError:
                self.strikes[job.index] = self.strikes.get(job.index, 0) + 1
                if self.strikes[job.index] >= STRIKES:
                    raise lethal(job.name, STRIKES) from None
                self.out[self.pool.submit(job)] = job
