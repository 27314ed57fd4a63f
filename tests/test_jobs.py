"""Jobs: the same results for any number of workers and deaths of them; finished ones are kept and not computed again."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import spikesim as ss
from spikesim import processes
from spikesim.errors import ArtefactError, JobError
from spikesim.job import one_thread
from spikesim.jobs import AHEAD, Kept, parallel_map

ROOT = Path(__file__).parents[1]
KEY = "0123abcd"


def product(a: int, folder: str = "") -> float:
    """A job whose floating-point result would depend on the thread count."""
    if folder:
        (Path(folder) / f"ran-{a}").touch()
    draw = torch.Generator().manual_seed(a)
    return (
        float((torch.rand(80, 90, generator=draw) @ torch.rand(90, 70, generator=draw)).sum()) + torch.get_num_threads()
    )


def alone(a: int) -> float:
    """The product with one thread, which every job has."""
    with one_thread():
        return product(a)


def deadly(a: int, folder: str, victim: int, times: int) -> float:
    """A product; the process of job `victim` is killed the first so many times, as by `kill -9`."""
    if a == victim:
        deaths = len(list(Path(folder).glob("died-*")))
        if deaths < times:
            (Path(folder) / f"died-{deaths}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return product(a, folder)


def slow(a: int, folder: str) -> float:
    time.sleep(0.15)
    return product(a, folder)


def heavy(a: int, folder: str) -> list[int]:
    """Job 2 cannot write its result: its process may not write files of more than 100 bytes."""
    if a == 2 and not (Path(folder) / "room").exists():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    return list(range(a, a + 400))


def shared_size(weights: list[float], a: int) -> int:
    return len(weights) + a


def worker_of(a: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def through(network: ss.Network, x: torch.Tensor, a: int) -> tuple[int, float]:
    time.sleep(0.3)
    return os.getpid(), float(ss.run(network, x).output.sum())


def ran(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("ran-*")}


def mapped(tmp_path: Path, function: Any, tasks: list[tuple[Any, ...]], **options: Any) -> list[Any]:
    """The map with its results kept below tmp_path."""
    names = [f"job-{task[0]}" for task in tasks]
    return list(parallel_map(function, tasks, kept=Kept(tmp_path / "kept", KEY), names=names, **options))


def test_workers_change_nothing() -> None:
    tasks = [(a,) for a in range(4)]
    assert list(parallel_map(product, tasks, workers=2)) == list(parallel_map(product, tasks, workers=1))
    args: dict[str, Any] = {"shared": ([0.0] * 1000,)}
    assert list(parallel_map(shared_size, tasks, workers=2, **args)) == [1000, 1001, 1002, 1003]


def test_finished_jobs_are_kept(tmp_path: Path) -> None:
    tasks = [(a, str(tmp_path)) for a in range(3)]
    first = mapped(tmp_path, product, tasks)
    for path in tmp_path.glob("ran-*"):
        path.unlink()
    (tmp_path / "kept" / KEY / "job-1.json").unlink()
    assert mapped(tmp_path, product, tasks) == first and ran(tmp_path) == {"ran-1"}


def test_results_of_another_key_are_not_taken(tmp_path: Path) -> None:
    tasks = [(a, str(tmp_path)) for a in range(2)]
    mapped(tmp_path, product, tasks)
    (tmp_path / "ran-0").unlink()
    names = ["job-0", "job-1"]
    list(parallel_map(product, tasks, kept=Kept(tmp_path / "kept", "another1"), names=names))
    assert ran(tmp_path) == {"ran-0", "ran-1"}


def test_a_kept_file_that_is_broken_is_computed_again(tmp_path: Path) -> None:
    tasks = [(a, str(tmp_path)) for a in range(2)]
    first = mapped(tmp_path, product, tasks)
    (tmp_path / "kept" / KEY / "job-1.json").write_text("[1,")
    assert mapped(tmp_path, product, tasks) == first


def test_jobs_are_drawn_as_they_are_needed() -> None:
    """A million jobs are never all there: the iterator is only so far ahead of what was yielded."""
    drawn = []

    def tasks() -> Iterator[tuple[int]]:
        for a in range(1_000_000):
            drawn.append(a)
            yield (a,)

    found = parallel_map(product, tasks(), workers=2)
    for _ in range(5):
        next(found)
    assert len(drawn) <= 5 + 2 * AHEAD + 2
    found.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("times", [1, 2])
def test_jobs_of_a_killed_worker_are_computed_again(tmp_path: Path, times: int) -> None:
    tasks = [(a, str(tmp_path), 2, times) for a in range(6)]
    assert list(parallel_map(deadly, tasks, workers=2)) == [alone(a) for a in range(6)]
    assert len(list(tmp_path.glob("died-*"))) == times


def test_processes_serve_the_next_call_and_may_have_died_since() -> None:
    tasks = [(a,) for a in range(4)]
    list(parallel_map(worker_of, tasks, workers=2))
    there = {worker.process.pid for worker in processes._idle[0][1]}
    assert len(there) == 2 and set(parallel_map(worker_of, tasks, workers=2)) <= there  # no new process
    victim = processes._idle[0][1][0].process
    os.kill(victim.pid, signal.SIGKILL)
    victim.join()
    again = list(parallel_map(worker_of, tasks, workers=2))
    assert len(again) == 4 and victim.pid not in again


def test_a_job_that_kills_every_worker_is_named(tmp_path: Path) -> None:
    tasks = [(a, str(tmp_path), 3, 99) for a in range(6)]
    with pytest.raises(JobError, match=r"^job job-3 must be one that workers survive, got 3 of them killed; .*memory"):
        mapped(tmp_path, deadly, tasks, workers=2)
    kept = {path.stem for path in (tmp_path / "kept" / KEY).glob("*.json")}
    assert {"job-0", "job-1", "job-2"} <= kept and "job-3" not in kept


def test_a_killed_parent_leaves_what_is_finished(tmp_path: Path) -> None:
    """kill -9 in mid-sweep: workers end, the same call goes on, to results identical to those of an undisturbed one."""
    code = (
        "import sys, test_jobs; from pathlib import Path; "
        "test_jobs.mapped(Path(sys.argv[1]), test_jobs.slow, [(a, sys.argv[1]) for a in range(40)], workers=2)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, env=environment)
    kept = tmp_path / "kept" / KEY
    waited_for(lambda: len(list(kept.glob("job-*.json"))) >= 4)
    children = children_of(parent.pid)
    parent.kill()
    parent.wait()
    waited_for(lambda: not any(map(is_alive, children)))
    before = {path.name for path in kept.glob("job-*.json")}
    assert 4 <= len(before) < 40
    for path in tmp_path.glob("ran-*"):
        path.unlink()
    tasks = [(a, str(tmp_path)) for a in range(40)]
    assert mapped(tmp_path, product, tasks) == [alone(a) for a in range(40)]
    assert ran(tmp_path) == {f"ran-{a}" for a in range(40) if f"job-{a}.json" not in before}


def waited_for(happened: Any, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def children_of(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_is_one_sentence_and_the_rest_stays(tmp_path: Path, workers: int) -> None:
    """A writer that the system stops in the middle leaves no half file; with room the same call goes on."""
    code = (
        "import sys, test_jobs; from pathlib import Path; from spikesim.errors import ArtefactError\n"
        "folder, workers = sys.argv[1], int(sys.argv[2])\n"
        "tasks = [(a, folder) for a in range(4)]\n"
        "try: test_jobs.mapped(Path(folder), test_jobs.heavy, tasks, workers=workers)\n"
        "except ArtefactError as error: print(error)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path), str(workers)], cwd=ROOT, env=environment, text=True,
                          capture_output=True)  # fmt: skip
    line = done.stdout.strip()
    assert line.count("\n") == 0 and "job-2.json must be a file that can be written, got File too large" in line, done
    kept = tmp_path / "kept" / KEY
    names = {path.name for path in kept.iterdir()}
    assert names <= {"job-0.json", "job-1.json", "job-3.json"} and names  # another worker may still be at its job
    assert workers == 2 or names == {"job-0.json", "job-1.json"}
    (tmp_path / "room").touch()
    tasks = [(a, str(tmp_path)) for a in range(4)]
    assert mapped(tmp_path, heavy, tasks) == [list(range(a, a + 400)) for a in range(4)]


def test_no_space_left_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(
        ArtefactError, match=r"job-0\.json must be a file that can be written, got No space left on device"
    ):
        mapped(tmp_path, product, [(0, "")])
    assert not list((tmp_path / "kept" / KEY).iterdir())


def test_what_a_job_refuses_is_refused() -> None:
    with pytest.raises(ss.SpikesimError, match=r"Seeds\.root must be"):
        list(parallel_map(ss.Seeds, [(a,) for a in (1, -1, 2)], workers=2))


def test_bad_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ss.SpikesimError, match=r"jobs\.workers must be a whole number at least 1, got 0"):
        list(parallel_map(product, [(1,)], workers=0))
    with pytest.raises(ss.SpikesimError, match=r"jobs\.kept and names must be given together"):
        list(parallel_map(product, [(1,)], kept=Kept(tmp_path, KEY)))
    with pytest.raises(ss.SpikesimError, match=r"Kept\.key must be letters and digits"):
        Kept(tmp_path, "")


def test_kept_results_are_plain_json(tmp_path: Path) -> None:
    mapped(tmp_path, product, [(0, "")])
    assert json.loads((tmp_path / "kept" / KEY / "job-0.json").read_text()) == alone(0)
