"""Jobs on processes of this machine: joblib's loky, one inner thread each, started anew when one of them is killed."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

import cloudpickle
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import BrokenProcessPool, ShutdownExecutorError

from .job import Job, LostWorkerError

IDLE_S = 60
"""Seconds that workers wait for the next call before they end; starting one takes seconds."""
ONE_THREAD = {
    name: "1" for name in (
        "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS",
    )
}  # fmt: skip
"""Environment of a worker: no library starts threads that `one_thread` would then have to stop."""

_held: list[Any] = []
"""In a worker: what all jobs share, as bytes until the first job asks."""


def hold(payload: bytes) -> None:
    """First call in a new worker."""
    _held[:] = [payload]


def run_held(job: Job) -> Any:
    """One job, in a worker."""
    if isinstance(_held[0], bytes):
        _held[0] = cloudpickle.loads(_held[0])
    return job.run(_held[0])


class Processes:
    """A `job.Pool` of local processes. Workers themselves keep results, so that these outlive a killed parent."""

    def __init__(self, workers: int, shared: tuple[Any, ...]) -> None:
        self.workers, self._payload = workers, cloudpickle.dumps(shared)

    def submit(self, job: Job) -> Future[Any]:
        while True:
            try:
                return self._executor().submit(run_held, job)
            except (BrokenProcessPool, ShutdownExecutorError):  # a worker died between two jobs
                self._executor().shutdown(wait=True, kill_workers=True)

    def finished(self, handles: Iterable[Future[Any]]) -> Iterable[Future[Any]]:
        waiting = list(handles)
        done = wait(waiting, return_when=FIRST_COMPLETED).done
        return [handle for handle in waiting if handle in done]

    def result(self, handle: Future[Any], job: Job) -> Any:
        try:
            return handle.result()
        except (BrokenProcessPool, ShutdownExecutorError):
            raise LostWorkerError from None

    def close(self, *, done: bool) -> None:
        """Workers stay for the next call, unless work was broken off."""
        if not done:
            self._executor().shutdown(wait=False, kill_workers=True)

    def _executor(self) -> Any:
        return get_reusable_executor(
            self.workers, timeout=IDLE_S, initializer=hold, initargs=(self._payload,), env=ONE_THREAD
        )
