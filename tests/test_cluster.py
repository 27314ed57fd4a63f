"""Jobs on a Dask cluster of processes here: the same results, kept on this side; what goes wrong is one sentence."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")

import test_jobs as jobs
import torch

import spikesim as ss
from spikesim.errors import JobError
from spikesim.jobs import Kept, parallel_map

ROOT = Path(__file__).parents[1]


def started(*arguments: str, cwd: Path) -> subprocess.Popen[bytes]:
    """A Dask process that finds this checkout and these tests."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    command = [sys.executable, "-m", "dask", *arguments, "--no-dashboard"]
    return subprocess.Popen(command, cwd=cwd, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Running:
    """A scheduler and its workers as processes, ended in any case."""

    def __init__(self, folder: Path, threads: int = 1, workers: int = 2) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        self.scheduler = started("scheduler", "--host", "127.0.0.1", "--port", str(port), cwd=folder)
        options = ("--nthreads", str(threads), "--nworkers", str(workers), "--local-directory", str(folder))
        self.workers = started("worker", self.address, *options, cwd=folder)
        jobs.waited_for(self._listens)

    def _listens(self) -> bool:
        host, port = self.address.removeprefix("tcp://").split(":")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            return False
        return True

    def end(self) -> None:
        below = jobs.children_of(self.workers.pid)
        for process in (self.workers, self.scheduler):
            process.kill()
            process.wait()
        for pid in below:
            if jobs.is_alive(pid):
                os.kill(pid, 9)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    running = Running(tmp_path_factory.mktemp("dask"))
    yield running.address
    running.end()


def page_faults(count: int) -> int:
    """Pages that the system had to clear for so many tensors of 1024 pages, one after the other."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        torch.ones(1 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_a_worker_keeps_freed_memory_during_a_job(cluster: str) -> None:
    """Dask's workers give it back at every free, and clear 1024 pages for each tensor; ours clear them once or twice."""
    for faults in parallel_map(page_faults, [(50,), (50,)], cluster=cluster):
        assert faults < 10 * 1024


def test_a_cluster_changes_nothing(cluster: str, tmp_path: Path) -> None:
    """Also not by a worker that is killed: its job runs elsewhere."""
    tasks = [(a, str(tmp_path), 2, 1) for a in range(6)]
    names = [f"job-{a}" for a in range(6)]
    kept = Kept(tmp_path / "kept", jobs.KEY)
    found = list(parallel_map(jobs.deadly, tasks, cluster=cluster, kept=kept, names=names))
    assert found == [jobs.alone(a) for a in range(6)] and (tmp_path / "died-0").exists()
    for path in tmp_path.glob("ran-*"):
        path.unlink()
    assert list(parallel_map(jobs.deadly, tasks, cluster=cluster, kept=kept, names=names)) == found
    assert not jobs.ran(tmp_path)


def test_shared_arguments_reach_a_cluster_once(cluster: str) -> None:
    weights = [0.0] * 1000
    assert list(parallel_map(jobs.shared_size, [(a,) for a in range(3)], shared=(weights,), cluster=cluster)) == [
        1000, 1001, 1002,
    ]  # fmt: skip


def test_a_network_reaches_every_worker(cluster: str) -> None:
    """Both workers take part, so that one has it from the other."""
    network = ss.Network.chain(torch.nn.Linear(4, 3), ss.IF(0.5)).requires_grad_(False)
    tasks = [(a,) for a in range(12)]
    found = list(parallel_map(jobs.through, tasks, shared=(network, torch.ones(2, 5, 4)), cluster=cluster))
    assert len({pid for pid, _ in found}) == 2 and len({value for _, value in found}) == 1
    assert found[0][1] == jobs.through(network, torch.ones(2, 5, 4), 0)[1]


def test_a_job_that_kills_every_worker_of_a_cluster_is_named(cluster: str, tmp_path: Path) -> None:
    """Or one that waited beside it: Dask counts a worker's death for all jobs it had."""
    rule = r"^job number [012] must be one that workers survive, .*, or a job that waited on the same workers$"
    with pytest.raises(JobError, match=rule):
        list(parallel_map(jobs.deadly, [(a, str(tmp_path), 1, 99) for a in range(3)], cluster=cluster))


def test_a_scheduler_that_goes_away_is_one_sentence_and_finished_work_stays(tmp_path: Path) -> None:
    running = Running(tmp_path)
    names, tasks = [f"job-{a}" for a in range(60)], [(a, str(tmp_path)) for a in range(60)]
    kept = Kept(tmp_path / "kept", jobs.KEY)
    seen: list[Any] = []

    def go_on() -> None:
        for value in parallel_map(jobs.slow, tasks, cluster=running.address, kept=kept, names=names):
            seen.append(value)
            if len(seen) == 3:
                running.scheduler.kill()

    try:
        with pytest.raises(
            JobError, match=r"^--cluster must be there until all jobs are done, .*; finished work is kept"
        ):
            go_on()
    finally:
        running.end()
    finished = {path.stem for path in (tmp_path / "kept" / jobs.KEY).glob("*.json")}
    assert 3 <= len(finished) < 60
    for path in tmp_path.glob("ran-*"):
        path.unlink()
    assert list(parallel_map(jobs.product, tasks, kept=kept, names=names)) == [jobs.alone(a) for a in range(60)]
    assert jobs.ran(tmp_path) == {f"ran-{a}" for a in range(60) if f"job-{a}" not in finished}


def test_no_scheduler_is_one_sentence() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        for wrong in (address, "nowhere", "tcp://127.0.0.1:x"):
            with pytest.raises(JobError, match=r"^--cluster must be the address of a running Dask scheduler, got"):
                list(parallel_map(jobs.product, [(1,)], cluster=wrong))


def test_workers_of_several_threads_are_refused(tmp_path: Path) -> None:
    running = Running(tmp_path, threads=2, workers=1)
    try:
        with pytest.raises(JobError, match=r"^--cluster must be of workers with one thread each, got 2 threads at"):
            list(parallel_map(jobs.product, [(1,)], cluster=running.address))
    finally:
        running.end()
