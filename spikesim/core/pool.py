"""Work shared out among threads of our own: a compiled loop over items, called from several threads at once.

numba's parallel loops do the same, but each compiles a second and more longer, they stall for milliseconds where
another process takes a core, and after a fork they end the process. The threads here are Python threads that wait
inside a queue; the compiled loops let go of the GIL. How the items are shared out follows from measured times: no
result may depend on it, so every item must be independent of the others.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import update_wrapper
from itertools import pairwise
from queue import SimpleQueue
from typing import Any

import numba

ALONE = 40e-6
"""Seconds of work below which one thread does it: waking another takes 10 to 50 microseconds."""
PIECE = 20e-6
"""Seconds of work that a thread should at least take at a time: a call of a kernel costs 1 to 3 microseconds."""
PIECES = 4
"""Pieces of a call for each thread, so that one that is held up leaves the rest to the others."""


class Job:
    """One call: pieces [begin, end) of its items that are not taken yet, and how many are not done."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], begin: int, end: int, pieces: int) -> None:
        size = end - begin
        edges = [begin + size * i // pieces for i in range(pieces + 1)]
        self._function, self._args = function, args
        self._open, self._left = deque(pairwise(edges)), pieces
        self._lock, self._done = threading.Lock(), threading.Lock()
        self._done.acquire()
        self.busy = 0.0  # seconds, of all threads together
        self._error: BaseException | None = None

    def work(self, take: Callable[[deque[tuple[int, int]]], tuple[int, int]]) -> None:
        """Do pieces until none is left; `take` is `deque.pop` or `deque.popleft`: each thread stays at one end."""
        while True:
            try:
                begin, end = take(self._open)
            except IndexError:
                return
            started = time.perf_counter()
            try:
                self._function(*self._args, begin, end)
            except BaseException as error:  # a helper's error is the caller's
                self._error = error
            with self._lock:
                self.busy += time.perf_counter() - started
                self._left -= 1
                if not self._left:
                    self._done.release()

    def finish(self) -> None:
        """Wait for what other threads have taken."""
        self._done.acquire()
        if self._error is not None:
            raise self._error


class Pool:
    """Threads that wait for jobs; started when first needed, and anew after a fork, which keeps only its own thread."""

    def __init__(self) -> None:
        self._forget()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._helpers, self._lock = 0, threading.Lock()

    def offer(self, job: Job, helpers: int) -> None:
        """Wake so many threads for the job; one that comes too late finds nothing to do."""
        if self._helpers < helpers:
            with self._lock:
                while self._helpers < helpers:
                    threading.Thread(target=self._serve, args=(self._jobs,), daemon=True).start()
                    self._helpers += 1
        for _ in range(helpers):
            self._jobs.put(job)

    @staticmethod
    def _serve(jobs: SimpleQueue[Job]) -> None:
        while True:
            jobs.get().work(deque.pop)


POOL = Pool()


class Shared:
    """A compiled kernel (*args, begin, end) as a function of its args, which does all of its `items(*args)` items."""

    def __init__(self, compiled: Any, items: Callable[..., int]) -> None:
        update_wrapper(self, compiled, updated=())
        self.compiled, self._items = compiled, items
        self._seconds: dict[tuple[int, int], float] = {}  # for one item, by the size of the call

    def __call__(self, *args: Any) -> None:
        items = self._items(*args)
        if items < 2:
            self.compiled(*args, 0, items)
            return
        key = items.bit_length(), int(getattr(args[-1], "size", 0)).bit_length()
        begin, started = 0, time.perf_counter()
        expected = self._seconds.get(key)
        if expected is None:  # the first piece tells, after it is compiled
            begin = max(1, items // 16)
            self.compiled(*args, 0, begin)
            expected = (time.perf_counter() - started) / begin
        work = expected * (items - begin)
        threads = 1 if work < ALONE else min(items - begin, numba.get_num_threads())
        if threads < 2:
            self.compiled(*args, begin, items)
            self._seconds[key] = (time.perf_counter() - started) / items
            return
        job = Job(
            self.compiled, args, begin, items, min(items - begin, PIECES * threads, max(threads, int(work / PIECE)))
        )
        POOL.offer(job, threads - 1)
        job.work(deque.popleft)
        job.finish()
        self._seconds[key] = job.busy / (items - begin)
