"""Jobs: the same results for any number of workers, and finished ones are not computed again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import spikesim as ss
from spikesim.jobs import parallel_map


def product(a: int, folder: str = "") -> float:
    """A job whose floating-point result would depend on the thread count."""
    if folder:
        (Path(folder) / f"ran-{a}").touch()
    draw = torch.Generator().manual_seed(a)
    return (
        float((torch.rand(80, 90, generator=draw) @ torch.rand(90, 70, generator=draw)).sum()) + torch.get_num_threads()
    )


def test_workers_change_nothing() -> None:
    tasks = [(a,) for a in range(4)]
    assert list(parallel_map(product, tasks, workers=2)) == list(parallel_map(product, tasks, workers=1))


def test_finished_jobs_are_kept(tmp_path: Path) -> None:
    names = [f"job-{a}" for a in range(3)]
    tasks = [(a, str(tmp_path)) for a in range(3)]
    first = list(parallel_map(product, tasks, keep=tmp_path / "kept", names=names))
    for path in tmp_path.glob("ran-*"):
        path.unlink()
    (tmp_path / "kept" / "job-1.json").unlink()
    assert list(parallel_map(product, tasks, keep=tmp_path / "kept", names=names)) == first
    assert [p.name for p in tmp_path.glob("ran-*")] == ["ran-1"]


def test_no_workers_is_refused() -> None:
    with pytest.raises(ss.SpikesimError, match=r"jobs\.workers must be a whole number at least 1, got 0"):
        list(parallel_map(product, [(1,)], workers=0))
