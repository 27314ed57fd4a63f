"""The threads of kernels: every item once, errors reach the caller, a fork starts its own threads."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from spikesim.core.pool import Shared


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def slow_count(done: np.ndarray, begin: int, end: int, team: int) -> None:
    for i in range(begin, end):
        time.sleep(0.001)
        done[i] += 1


def counted(items: int = 24) -> np.ndarray:
    done = np.zeros(items, np.int64)
    Shared(slow_count, len)(done)
    return done


@pytest.mark.parametrize("items", [0, 1, 2, 7, 24])
def test_every_item_is_done_once(items: int) -> None:
    assert (counted(items) == 1).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_as_many_threads_as_torch_is_told(threads: int) -> None:
    torch.set_num_threads(threads)
    seen = set()

    def work(done: np.ndarray, begin: int, end: int, team: int) -> None:
        seen.add(threading.get_ident())
        slow_count(done, begin, end, team)

    for _ in range(5):  # a busy machine may wake the second thread too late once
        Shared(work, len)(np.zeros(24, np.int64))
    assert len(seen) == threads


def test_small_work_stays_with_its_thread() -> None:
    seen, done = set(), np.zeros(24, np.int64)

    def work(done: np.ndarray, begin: int, end: int, team: int) -> None:
        seen.add(threading.get_ident())
        done[begin:end] += 1

    call = Shared(work, len)
    call._seconds[5, 5] = 1e-9
    call(done)
    assert (done == 1).all() and seen == {threading.get_ident()}


def test_an_error_in_any_piece_reaches_the_caller_and_the_next_call_works() -> None:
    def fails(done: np.ndarray, begin: int, end: int, team: int) -> None:
        slow_count(done, begin, end, team)
        if end == done.size:
            raise IndexError("item")

    for _ in range(3):
        with pytest.raises(IndexError, match="item"):
            Shared(fails, len)(np.zeros(24, np.int64))
    assert (counted() == 1).all()


def test_two_callers_at_once() -> None:
    results: list[np.ndarray] = []
    callers = [threading.Thread(target=lambda: results.append(counted())) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(results) == 4 and all((done == 1).all() for done in results)


def test_a_kernel_calls_another() -> None:
    def outer(done: np.ndarray, begin: int, end: int, team: int) -> None:
        for i in range(begin, end):
            done[i] = counted(4).sum()

    done = np.zeros(6, np.int64)
    Shared(outer, len)(done)
    assert (done == 4).all()


def _in_child(queue: multiprocessing.Queue[int]) -> None:
    queue.put(int(counted().sum()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_a_forked_process_has_threads_of_its_own() -> None:
    assert (counted() == 1).all()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(queue,))
    child.start()
    assert queue.get(timeout=60) == 24
    child.join(60)
    assert child.exitcode == 0
