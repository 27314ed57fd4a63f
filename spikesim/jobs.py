"""Many independent jobs: a lazy, resumable parallel map over this machine's processes or a Dask cluster.

Each job runs alone in a process with one inner thread, so results do not depend on how many run at once, nor on workers
that die: what a lost worker had not finished is computed again. With a `Kept` folder each finished result is a JSON file,
and a second call computes only what is missing. Jobs are drawn from their iterator as they are needed, and what all of
them share is sent to a worker once: memory does not grow with their number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, count, islice, repeat
from pathlib import Path
from typing import Any, Protocol

from threadpoolctl import threadpool_limits

from .core.files import folder, read_json, write_json
from .core.params import number
from .errors import ArtefactError, JobError, ParameterError, must

AHEAD = 4
"""Jobs per worker that are handed out or finished before the first of them is: bounds memory, keeps workers busy."""
STRIKES = 3
"""Workers that may die on a job before it is given up; the last of them has run it alone."""


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


@dataclass(frozen=True)
class Kept:
    """Where finished results stay: `folder/key/NAME.json`.

    key   what the results depend on beside a job's name, as `spikesim.fingerprint.fingerprint` gives it: results of
          another model, data set, macro, seed or number of steps have another key and are never taken for these.
    """

    folder: Path
    key: str

    def __post_init__(self) -> None:
        if not self.key.isalnum():
            raise ParameterError(must("Kept.key", "letters and digits", self.key, "use fingerprint(...)"))

    def path(self, name: str) -> Path:
        """The file of one result."""
        return self.folder / self.key / f"{name}.json"


@dataclass(frozen=True)
class Job:
    """One call, and the file that its result is kept in (None: nowhere)."""

    index: int
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    path: Path | None = None

    def run(self, shared: tuple[Any, ...]) -> Any:
        """The result, as JSON would give it back where it is kept; computed with one thread, and written."""
        with one_thread():
            value = self.function(*shared, *self.arguments)
        return self.keep(value)

    def keep(self, value: Any) -> Any:
        """Write the result, if it is to be kept. ArtefactError where that fails, the disk being full for instance."""
        if self.path is None:
            return value
        write_json(self.path, value)
        return json.loads(json.dumps(value))

    def found(self) -> list[Any]:
        """[the kept result], or [] where there is none that can be read."""
        try:
            return [read_json(self.path)] if self.path is not None and self.path.exists() else []
        except ArtefactError:
            return []

    @property
    def name(self) -> str:
        """What errors call it."""
        return f"number {self.index}" if self.path is None else self.path.stem


class LostWorkerError(Exception):
    """Internal: the process that had a job died; it may be run again."""


class Pool(Protocol):
    """What runs jobs: processes (`processes.py`) or a cluster (`cluster.py`)."""

    workers: int

    def submit(self, job: Job) -> Any:
        """Hand a job out. -> a handle."""

    def finished(self, handles: Iterable[Any]) -> Iterable[Any]:
        """Block until at least one of the handles is finished; -> those that are."""

    def result(self, handle: Any, job: Job) -> Any:
        """What a finished job returned or raised; LostWorkerError where its worker died."""

    def close(self, *, done: bool) -> None:
        """Let workers go; `done` False: in the middle of work, which is dropped."""


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
    jobs = map(Job, count(), repeat(function), arguments, paths)
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
        lost = []
        for handle in list(self.pool.finished(self.out)):
            job = self.out.pop(handle)
            try:
                self.ready[job.index] = self.pool.result(handle, job)
            except LostWorkerError:
                lost.append(job)
        if lost:
            self._again(lost)

    def _again(self, lost: list[Job]) -> None:
        """Hand lost jobs out again. When a process dies the whole pool breaks: all that is out is lost with it, and the
        oldest of it was running. A job that has been there twice is run alone, so that blame falls on the right one."""
        for handle, job in self.out.items():
            try:
                self.ready[job.index] = self.pool.result(handle, job)
            except LostWorkerError:
                lost.append(job)
        self.out.clear()
        lost.sort(key=lambda job: job.index)
        for job in lost[: self.pool.workers]:
            self.strikes[job.index] = self.strikes.get(job.index, 0) + 1
        for job in lost:
            if self.strikes.get(job.index, 0) >= STRIKES - 1:
                self.ready[job.index] = self._alone(job)
            else:
                self.out[self.pool.submit(job)] = job

    def _alone(self, job: Job) -> Any:
        handle = self.pool.submit(job)
        try:
            list(self.pool.finished([handle]))
            return self.pool.result(handle, job)
        except LostWorkerError:
            rule, got = "one that workers survive", f"{STRIKES} of them killed"
            raise JobError(must(f"job {job.name}", rule, got, "give it more memory, or find out what kills it")) from None
