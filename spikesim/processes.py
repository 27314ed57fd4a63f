"""Jobs on processes of this machine: joblib's loky processes, one inner thread each, replaced when they are killed.

Each has a pipe of its own and one job at a time: where a process dies, only its job is lost and it is known which one. loky's
executor breaks all processes when one is killed, and its manager may die of that. A process ends when its pipe does, so
none outlives a killed parent for longer than its job. Jobs are handed out while the caller waits for a result.
"""

from __future__ import annotations

import atexit
import signal
import traceback
from collections import deque
from collections.abc import Iterable
from multiprocessing.connection import Connection, wait
from typing import Any

import cloudpickle
from joblib.externals.loky.backend import get_context

from .errors import JobError, SpikesimError, must
from .job import Job, LostWorkerError

IDLE_S = 60
"""Seconds that processes wait for the next call before they end; starting one takes seconds."""
BOOTS = 3
"""Processes that may die in a row before they take a job."""
ONE_THREAD = {
    name: "1" for name in (
        "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS",
    )
}  # fmt: skip
"""Environment of a process: no library starts threads that `one_thread` would then have to stop."""


def serve(connection: Connection) -> None:
    """The life of a process: say that it is there, take what is shared, then jobs, until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to handle
    try:
        connection.send_bytes(b"")
        shared = cloudpickle.loads(connection.recv_bytes())
        while connection.poll(IDLE_S):
            connection.send_bytes(_done(cloudpickle.loads(connection.recv_bytes()), shared))
    except (EOFError, OSError):
        return


def _done(job: Job, shared: tuple[Any, ...]) -> bytes:
    """(whether it went well, value or error) of a job."""
    try:
        return cloudpickle.dumps((True, job.run(shared)))
    except Exception as error:
        if not isinstance(error, SpikesimError):
            error.add_note(traceback.format_exc())
        try:
            return cloudpickle.dumps((False, error))
        except Exception:
            return cloudpickle.dumps((False, RuntimeError(traceback.format_exc())))


class Worker:
    """A process as its parent sees it: ready once it has said so; `job` is what it is at."""

    def __init__(self) -> None:
        context = get_context("loky")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs,), env=ONE_THREAD)
        self.process.start()
        theirs.close()
        self.ready = False
        self.job: Job | None = None

    def end(self) -> None:
        """Let go of it: an idle one ends by itself, one at work is killed."""
        self.connection.close()
        if self.job is not None or not self.ready:
            self.process.terminate()
        self.process.join()


class Processes:
    """A `job.Pool` of local processes. They keep results themselves, so that these outlive a killed parent."""

    def __init__(self, workers: int, shared: tuple[Any, ...]) -> None:
        self.workers, self._payload = workers, cloudpickle.dumps(shared)
        self._waiting: deque[Job] = deque()
        self._results: dict[int, Any] = {}
        self._deaths = 0
        self._team = _taken(workers, self._payload)

    def submit(self, job: Job) -> int:
        self._waiting.append(job)
        self._hand_out()
        return job.index

    def finished(self, handles: Iterable[int]) -> Iterable[int]:
        wanted = list(handles)
        while not (done := [handle for handle in wanted if handle in self._results]):
            self._hand_out()
            told = wait([worker.connection for worker in self._team])
            for worker in [w for w in self._team if w.connection in told]:
                self._listen(worker)
        return done

    def result(self, handle: int, job: Job) -> Any:
        good, value = self._results.pop(handle)
        if not good:
            raise value
        return value

    def close(self, *, done: bool) -> None:
        """Processes stay for the next call with the same shared arguments, unless work was broken off."""
        if done:
            _let_go()
            _idle.append((self._payload, self._team))
        else:
            for worker in self._team:
                worker.end()

    def _hand_out(self) -> None:
        """Jobs that wait to processes that are free; new ones for those that ended."""
        if self._waiting:
            self._team += [Worker() for _ in range(self.workers - len(self._team))]
        for worker in self._team:
            if self._waiting and worker.ready and worker.job is None:
                worker.job = self._waiting.popleft()
                try:
                    worker.connection.send_bytes(cloudpickle.dumps(worker.job))
                except OSError:  # it died, or was idle for too long: what it says next is the end of its pipe
                    continue

    def _listen(self, worker: Worker) -> None:
        try:
            message = worker.connection.recv_bytes()
            if not worker.ready:
                worker.connection.send_bytes(self._payload)
                worker.ready, self._deaths = True, 0
                return
        except (EOFError, OSError):
            self._ended(worker)
            return
        if worker.job is not None:
            self._results[worker.job.index] = cloudpickle.loads(message)
            worker.job = None

    def _ended(self, worker: Worker) -> None:
        """A process died, or had nothing to do for too long; its job, if it had one, is lost."""
        self._team.remove(worker)
        self._deaths += not worker.ready
        if self._deaths >= BOOTS:
            raise JobError(must("jobs.workers", "processes that start", f"{BOOTS} that died at once", "use 1 worker"))
        if worker.job is not None:
            self._results[worker.job.index] = (False, LostWorkerError())
        worker.end()


_idle: list[tuple[bytes, list[Worker]]] = []
"""The processes of the last call that ended well, and what they share."""


def _taken(workers: int, payload: bytes) -> list[Worker]:
    """Processes that already have what is shared, where there are as many; new ones otherwise."""
    if _idle and _idle[0][0] == payload and len(_idle[0][1]) == workers:
        return _idle.pop()[1]
    _let_go()
    return [Worker() for _ in range(workers)]


@atexit.register
def _let_go() -> None:
    while _idle:
        for worker in _idle.pop()[1]:
            worker.end()
