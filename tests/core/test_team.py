"""The team of OpenMP threads: every item once, errors reach the caller, a fork leaves it."""

from __future__ import annotations

import multiprocessing
import os

import numba
import numpy as np
import pytest
import torch

from spikesim.core.kernel import shared_out
from spikesim.core.pool import Shared
from spikesim.core.team import TEAM, Team

pytestmark = pytest.mark.skipif(not TEAM.address, reason="torch has no OpenMP library here, or JIT is off")


@numba.njit(nogil=True, error_model="numpy")
def counting(x, numbers, done, begin, end, team):  # type: ignore[no-untyped-def]
    if shared_out(begin, end, team):
        return
    for i in range(begin, end):
        if x[i] < 0:
            raise ValueError("negative")
        done[i] += x[i] * numbers[0] + numbers[1]


NUMBERS = (2.0, np.float32(1))


@pytest.mark.parametrize("items", [1, 2, 7, 1000])
@pytest.mark.parametrize("threads", [1, 2, 3, 200])
@pytest.mark.parametrize("pieces", [1, 2, 7, 40])
def test_every_item_is_done_once(items: int, threads: int, pieces: int) -> None:
    x, done = np.arange(items, dtype=float), np.zeros(items)
    orders = TEAM.orders(threads, pieces)
    counting(x, NUMBERS, done, 0, items, orders.ctypes.data)
    assert (done == 2 * x + 1).all()


def test_an_error_in_any_thread_reaches_the_caller_and_the_next_call_works() -> None:
    x, done = np.arange(1000.0), np.zeros(1000)
    for at in (0, 999):
        x[at] = -1
        with pytest.raises(ValueError, match="negative"):
            counting(x, NUMBERS, done, 0, 1000, TEAM.orders(2, 8).ctypes.data)
        x[at] = at
    test_every_item_is_done_once(1000, 2, 8)


def test_a_kernel_of_much_work_is_handed_to_the_team(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    plain = Team.orders
    monkeypatch.setattr(Team, "orders", lambda *a: asked.append(a[1]) or plain(*a))
    x, done = np.arange(1e6), np.zeros(10**6)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            Shared(counting, lambda x, *_: len(x))(x, NUMBERS, done)
    finally:
        torch.set_num_threads(before)
    assert asked == [2] and (done == 2 * (2 * x + 1)).all()


def _in_child(queue: multiprocessing.Queue[tuple[int, float]]) -> None:
    x, done = np.ones(10**6), np.zeros(10**6)
    Shared(counting, lambda x, *_: len(x))(x, NUMBERS, done)
    queue.put((TEAM.address, float(done.sum())))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_a_forked_process_goes_on_without_the_team() -> None:
    test_every_item_is_done_once(1000, 2, 8)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(queue,))
    child.start()
    assert queue.get(timeout=60) == (0, 3e6)
    child.join(60)
    assert child.exitcode == 0
