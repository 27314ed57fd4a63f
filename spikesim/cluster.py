"""Jobs on a Dask cluster: `--cluster ADDRESS` of its scheduler. Needs the extra `dask`; loaded on use only.

Workers have one thread each, as everywhere, and need this library in their environment, but no folder in common with us:
results are kept on this side, each as soon as it comes in. Dask itself runs what a lost worker had again, elsewhere.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import socket
import sys
import uuid
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import cloudpickle

from .errors import JobError, must
from .job import Job, lethal

PATIENCE_S = 10
"""Seconds to wait for a scheduler, and then for its first worker."""
DEATHS = 3
"""Workers that Dask's schedulers allow to die on a job before the last (their setting `allowed-failures`)."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names of settings in glibc's malloc.h."""
START = "start `dask scheduler`, and `dask worker ADDRESS --nthreads 1` for each core"
AGAIN = "finished work is kept: run the same command again"


class Shared:
    """What all jobs share, as bytes on the way between workers and made once on each. Dask's own way with what it finds
    inside (torch networks among it) may fail, and is then tried for ever."""

    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        self._value: list[tuple[Any, ...]] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return Shared, (self._packed,)

    def value(self) -> tuple[Any, ...]:
        """The arguments."""
        if not self._value:
            self._value = [cloudpickle.loads(self._packed)]
        return self._value[0]


def run_shared(job: Job, shared: Shared) -> bytes:
    """One job, on a worker, its result as bytes; a worker that came later is held to one thread too."""
    from distributed import get_worker

    worker: Any = get_worker()
    _check_threads({worker.address: worker.state.nthreads})
    with _heap_kept():
        return cloudpickle.dumps(job.run(shared.value()))


@contextmanager
def _heap_kept() -> Iterator[None]:
    """Freed memory stays the process's for the length of a job, and goes back to the system at its end.

    Dask starts workers with MALLOC_TRIM_THRESHOLD_ = 65536: every freed tensor goes back at once, its pages are cleared again
    for the next one, and a chip takes some 40 % longer. Where the C library has no such setting (not glibc), nothing is done.
    """
    given = os.environ.get("MALLOC_TRIM_THRESHOLD_", "")
    libc = ctypes.CDLL(None) if sys.platform == "linux" and given.isdigit() else None
    if libc is None or not hasattr(libc, "mallopt"):
        yield
        return
    libc.mallopt(M_TRIM_THRESHOLD, 1 << 30)
    libc.mallopt(M_MMAP_THRESHOLD, 32 << 20)  # the most that glibc takes
    try:
        yield
    finally:
        libc.mallopt(M_TRIM_THRESHOLD, int(given))
        libc.mallopt(M_MMAP_THRESHOLD, 128 << 10)  # its value at the start
        libc.malloc_trim(0)


def _check_threads(threads: dict[str, int]) -> None:
    for address, count in threads.items():
        if count != 1:
            rule, remedy = "of workers with one thread each", "start them with --nthreads 1 --nworkers N"
            raise JobError(must("--cluster", rule, f"{count} threads at {address}", remedy))


def _knock(address: str) -> None:
    """OSError or ValueError where nobody listens at a plain address: a client that cannot start is noisy when it ends."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    if "://" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE_S).close()


class Cluster:
    """A `job.Pool` of a cluster's workers. JobError where it cannot be used, or goes away."""

    def __init__(self, address: str, shared: tuple[Any, ...]) -> None:
        try:
            from distributed import Client
        except ImportError:
            rule, remedy = "used with Dask installed", 'pip install "spikesim[dask]"'
            raise JobError(must("--cluster", rule, "no module distributed", remedy)) from None
        # What Dask would tell of a lost connection, in tracebacks, is one sentence of ours.
        for name in ("distributed.client", "distributed.comm", "tornado.application"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        self.address, self._token = address, uuid.uuid4().hex
        try:
            _knock(address)
            self._client = Client(address, timeout=PATIENCE_S, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            rule = "the address of a running Dask scheduler"
            raise JobError(must("--cluster", rule, f"{address} ({reason[:60]})", START)) from None
        try:
            self.workers = self._counted()
            self._shared = self._sent(cloudpickle.dumps(shared))
        except BaseException:
            self._client.close(timeout=1)
            raise

    def _counted(self) -> int:
        try:
            self._client.wait_for_workers(1, timeout=PATIENCE_S)
        except TimeoutError:
            raise JobError(must("--cluster", "one with workers", f"none at {self.address}", START)) from None
        known = self._client.scheduler_info(n_workers=-1)["workers"]
        _check_threads({address: about["nthreads"] for address, about in known.items()})
        return len(known)

    def _sent(self, payload: bytes) -> Any:
        """What all share, as a task of its own: the scheduler has the bytes and can make it again anywhere."""
        key = f"shared-{hashlib.blake2b(payload, digest_size=8).hexdigest()}-{self._token}"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")
            return self._client.submit(Shared, payload, key=key)

    def submit(self, job: Job) -> Any:
        bare = Job(job.index, job.function, job.arguments)
        return self._client.submit(run_shared, bare, self._shared, key=f"job-{job.index}-{self._token}")

    def finished(self, handles: Iterable[Any]) -> Iterable[Any]:
        from concurrent.futures import CancelledError

        from distributed import wait

        waiting = list(handles)
        try:
            while True:
                try:
                    with self._client.as_current():
                        wait(waiting, timeout=PATIENCE_S, return_when="FIRST_COMPLETED")
                except TimeoutError:
                    self._check()
                else:
                    return [handle for handle in waiting if handle.done()]
        except CancelledError:
            raise self._gone() from None

    def result(self, handle: Any, job: Job) -> Any:
        from concurrent.futures import CancelledError

        from distributed import KilledWorker
        from distributed.comm import CommClosedError

        try:
            value = handle.result(timeout=6 * PATIENCE_S)
        except KilledWorker:
            raise lethal(job.name, 1 + DEATHS, alone=False) from None
        except (CancelledError, TimeoutError, CommClosedError):
            raise self._gone() from None
        handle.release()
        return job.keep(cloudpickle.loads(value))

    def close(self, *, done: bool) -> None:
        self._client.close(timeout=PATIENCE_S if done else 1)

    def _check(self) -> None:
        if self._client.status != "running":
            raise self._gone()

    def _gone(self) -> JobError:
        return JobError(must("--cluster", "there until all jobs are done", f"no scheduler at {self.address}", AGAIN))
