"""What a second worker brings, over joblib's processes and over a local Dask cluster, and memory against the number of chips.

    python -m benchmarks jobs_scaling

Efficiency is t(1 worker) / (2 t(2 workers)) for the same chips, workers started before the clock is; rounds take turns. The
one worker is this process. "two bare processes" have half of the chips each, nothing handed out or collected: what cores that
share caches and memory allow. Chips are of taox40-projected, with the demo's network (random weights: the same work) at T = 8.
Memory: peaks of the parent and of its largest child, in a fresh process for every number of chips, a small network.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

import spikesim as ss
from spikesim import hardware
from spikesim.cli.demo_study import CHIP_STEPS, small_cnn
from spikesim.datasets import ArrayDataset, load
from spikesim.hardware.study import OverChips, one_chip
from spikesim.jobs import Kept, one_thread, parallel_map

MACRO, CHIPS, SAMPLES, ROUNDS = "taox40-projected", 32, 66, 2
MEMORY_CHIPS = (10, 100, 1000)
BARE = "two bare processes"
ROOT = Path(__file__).parents[1]


def measure(chips: int = CHIPS, samples: int = SAMPLES, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Rows {name, workers, seconds, efficiency, rounds} and {name, chips, parent_mib, worker_mib}."""
    shared = demo_network(samples)
    with cluster() as address:
        ways: dict[str, dict[str, Any]] = {
            "1 worker": {"workers": 1},
            "joblib": {"workers": 2},
            "dask": {"cluster": address},
        }
        for way in ways.values():  # start workers, compile and load kernels
            timed(shared, 2, way)
        with bare_processes(chips, samples) as bare:
            taken = [
                {name: timed(shared, chips, way) for name, way in ways.items()} | {BARE: bare()} for _ in range(rounds)
            ]
    rows = [
        {
            "name": name, "workers": 2, "chips": chips, "samples": samples, "load": os.getloadavg()[0],
            "seconds_1": statistics.median(t["1 worker"] for t in taken), "seconds_2": statistics.median(t[name] for t in taken),
            "efficiency": statistics.median(t["1 worker"] / (2 * t[name]) for t in taken), "rounds": rounds,
        } for name in (BARE, "joblib", "dask")
    ]  # fmt: skip
    return rows + [memory(n) for n in MEMORY_CHIPS]


def demo_network(samples: int) -> tuple[ss.Network, Any]:
    """The demo's network, untrained, and so many embedded recordings."""
    data = load("digits")
    torch.manual_seed(0)
    network, _ = ss.convert(small_cnn().eval(), calibration=data.part("train").subset(range(200)), steps=32)
    return network, data.part("test").subset(range(samples))


def timed(shared: tuple[Any, ...], chips: int, way: dict[str, Any]) -> float:
    """Seconds for so many chips; chip 0, which also runs the ideal network, is left out."""
    macro, seeds = hardware.load_macro(MACRO), ss.Seeds(0)
    jobs = ((macro, k, CHIP_STEPS, seeds) for k in range(1, chips + 1))
    started = time.perf_counter()
    assert sum(1 for _ in parallel_map(one_chip, jobs, shared=shared, **way)) == chips
    return time.perf_counter() - started


@contextmanager
def bare_processes(chips: int, samples: int) -> Iterator[Callable[[], float]]:
    """-> seconds for so many chips on two processes that do a half each whenever they are told to; ready beforehand."""
    halves = [(1, chips // 2), (1 + chips // 2, chips - chips // 2)]
    code = "from benchmarks.jobs_scaling import half; half({}, {}, {})"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code.format(*mine, samples)], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for mine in halves
    ]  # fmt: skip

    def told() -> None:
        assert [process.stdout.readline() for process in running] == ["\n"] * 2  # type: ignore[union-attr]

    def both() -> float:
        started = time.perf_counter()
        for process in running:
            print(file=process.stdin, flush=True)
        told()
        return time.perf_counter() - started

    try:
        told()
        yield both
    finally:
        for process in running:
            process.communicate()


def half(first: int, chips: int, samples: int) -> None:
    """Run these chips for every line of the input, and answer with a line; one beforehand."""
    shared, macro, seeds = demo_network(samples), hardware.load_macro(MACRO), ss.Seeds(0)
    with one_thread():
        one_chip(*shared, macro, first, CHIP_STEPS, seeds)
        print(flush=True)
        for _ in sys.stdin:
            for k in range(first, first + chips):
                one_chip(*shared, macro, k, CHIP_STEPS, seeds)
            print(flush=True)


@contextmanager
def cluster() -> Iterator[str]:
    """A Dask scheduler and two workers of one thread, as processes of this machine; -> the scheduler's address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, quiet = f"tcp://127.0.0.1:{port}", {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    dask = [sys.executable, "-m", "dask"]
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"cwd": folder, "env": environment, **quiet}
        scheduler = subprocess.Popen(
            [*dask, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"], **options
        )
        workers = subprocess.Popen(
            [*dask, "worker", address, "--nthreads", "1", "--nworkers", "2", "--no-dashboard"], **options
        )
        try:
            wait_for_workers(address)
            yield address
        finally:
            for process in (workers, scheduler):
                process.terminate()
                process.wait()


def wait_for_workers(address: str) -> None:
    """Both workers there."""
    from distributed import Client

    end = time.monotonic() + 60
    while True:
        try:
            with Client(address, timeout=5, set_as_default=False) as client:
                client.wait_for_workers(2, timeout=60)
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def memory(chips: int) -> dict[str, Any]:
    """Peaks of a fresh process and of its largest worker over so many chips."""
    command = [sys.executable, "-c", f"from benchmarks.jobs_scaling import peaks; peaks({chips})"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return {"name": "memory", "chips": chips, **json.loads(done.stdout)}


def peaks(chips: int) -> None:
    """Run so many small chips over two workers, kept, and print the peaks."""
    torch.manual_seed(0)
    ann = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    x = torch.rand(66, 64)
    data = ArrayDataset(x, ann(x).argmax(1).numpy())
    network, _ = ss.convert(ann, calibration=data, steps=4)
    macro, seeds, together = hardware.load_macro(MACRO), ss.Seeds(0), OverChips()
    with tempfile.TemporaryDirectory() as folder:
        for found in parallel_map(
            one_chip, ((macro, k, 4, seeds) for k in range(chips)), shared=(network, data), workers=2,
            kept=Kept(Path(folder), "memory"), names=(f"chip-{k}" for k in range(chips)),
        ):  # fmt: skip
            together.add(found["report"])
    from spikesim.processes import _let_go

    _let_go()  # a child's peak is known once it has ended
    parent, worker = (
        resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(json.dumps({"parent_mib": parent, "worker_mib": worker}))


def table(rows: list[dict[str, Any]]) -> str:
    """The results as the tables of docs/sweeps.md."""
    lines = ["| 2 workers | 1 worker | 2 workers | efficiency |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {r['name']}, {r['chips']} chips | {r['seconds_1']:.1f} s | {r['seconds_2']:.1f} s | {r['efficiency']:.2f} |"
        for r in rows if "efficiency" in r
    ]  # fmt: skip
    lines += ["", "| chips | parent's peak | largest worker's peak |", "| --- | --- | --- |"]
    lines += [f"| {r['chips']} | {r['parent_mib']} MiB | {r['worker_mib']} MiB |" for r in rows if "parent_mib" in r]
    return "\n".join(lines)


if __name__ == "__main__":
    from benchmarks.harness import RESULTS

    print(table([json.loads(line) for line in (RESULTS / "jobs_scaling.jsonl").read_text().splitlines()]))
