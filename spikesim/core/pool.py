"""A compiled loop over items, shared out among threads.

The threads are those of torch's OpenMP library (`team.py`). Where torch has none, and in a forked process, whose
library has lost its threads, they are Python threads that wait inside a queue; compiled loops let go of the GIL. How
the items are shared out follows from measured times: no result may depend on it, so every item must be independent
of the others.
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

import torch
from numba.core.dispatcher import Dispatcher

from .team import TEAM

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
        self._error: BaseException | None = None

    def work(self, take: Callable[[deque[tuple[int, int]]], tuple[int, int]]) -> None:
        """Do pieces until none is left; `take` is `deque.pop` or `deque.popleft`: each thread stays at one end."""
        while True:
            try:
                begin, end = take(self._open)
            except IndexError:
                return
            try:
                self._function(*self._args, begin, end, 0)
            except BaseException as error:  # a helper's error is the caller's
                self._error = error
            with self._lock:
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


class Timed:
    """A compiled kernel that remembers, by the size of a call, the seconds of one of its parts: `parts(*args)` are there."""

    def __init__(self, compiled: Any, parts: Callable[..., int]) -> None:
        update_wrapper(self, compiled, updated=())
        self.compiled, self._parts = compiled, parts
        self._seconds: dict[tuple[int, int], float] = {}

    def __call__(self, *args: Any) -> None:
        raise NotImplementedError

    def _key(self, parts: int, args: tuple[Any, ...]) -> tuple[int, int]:
        return parts.bit_length(), int(getattr(args[-1], "size", 0)).bit_length()

    @property
    def _joins(self) -> bool:
        """Whether there is a team that this kernel can be handed to: not where JIT is off."""
        return bool(TEAM.address) and isinstance(self.compiled, Dispatcher)


class Stepped(Timed):
    """A compiled kernel (*args, team) whose loop over steps shares out its parts, `regions(*args)` of them, anew."""

    def __call__(self, *args: Any) -> None:
        threads = torch.get_num_threads()
        if threads < 2 or not self._joins:
            self.compiled(*args, 0)
            return
        regions = self._parts(*args)
        key, started = self._key(regions, args), time.perf_counter()
        if self._seconds.get(key, ALONE) < ALONE:
            threads = 1
        orders = TEAM.orders(threads, PIECES * threads)
        self.compiled(*args, orders.ctypes.data if threads > 1 else 0)
        self._seconds[key] = (time.perf_counter() - started) * threads / max(1, regions)


class Shared(Timed):
    """A compiled kernel (*args, begin, end, team) as a function of its args, which does all of its `items(*args)` items."""

    def __call__(self, *args: Any) -> None:
        items = self._parts(*args)
        if items < 2 or torch.get_num_threads() < 2:
            self.compiled(*args, 0, items, 0)
            return
        key, begin, started = self._key(items, args), 0, time.perf_counter()
        expected = self._seconds.get(key)
        if expected is None:  # the first piece tells, after it is compiled
            begin = max(1, items // 16)
            self.compiled(*args, 0, begin, 0)
            expected = (time.perf_counter() - started) / begin
        left = items - begin
        work = expected * left
        threads = 1 if work < ALONE else min(left, torch.get_num_threads())
        pieces = min(left, PIECES * threads, max(threads, int(work / PIECE)))
        started = time.perf_counter()
        if threads < 2:
            self.compiled(*args, begin, items, 0)
        elif self._joins:
            orders = TEAM.orders(threads, pieces)
            self.compiled(*args, begin, items, orders.ctypes.data)
        else:
            job = Job(self.compiled, args, begin, items, pieces)
            POOL.offer(job, threads - 1)
            job.work(deque.popleft)
            job.finish()
        if left:
            self._seconds[key] = (time.perf_counter() - started) * threads / left
