"""One job: a call that runs with one inner thread, and the file that its result may stay in. `jobs.py` runs many."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from threadpoolctl import threadpool_limits

from .core.files import read_json, write_json
from .errors import ArtefactError, JobError, ParameterError, must


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch, our kernels and BLAS of this process at one thread, for the length of the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class Kept:
    """Where finished results stay: `folder/key/NAME.json`.

    key   what the results depend on beside a job's name, as `spikesim.fingerprint.fingerprint` gives it: results of
          another model, data set, macro, seed or number of steps have another key and are never taken for these.
    """

    folder: Path
    key: str

    def __post_init__(self) -> None:
        if not self.key.isalnum():
            raise ParameterError(must("Kept.key", "letters and digits", self.key, "use fingerprint(...)"))

    def path(self, name: str) -> Path:
        """The file of one result."""
        return self.folder / self.key / f"{name}.json"


@dataclass(frozen=True)
class Job:
    """One call, and the file that its result is kept in (None: nowhere)."""

    index: int
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    path: Path | None = None

    def run(self, shared: tuple[Any, ...]) -> Any:
        """The result, as JSON would give it back where it is kept; computed with one thread, and written."""
        with one_thread():
            value = self.function(*shared, *self.arguments)
        return self.keep(value)

    def keep(self, value: Any) -> Any:
        """Write the result, if it is to be kept. ArtefactError where that fails, the disk being full for instance."""
        if self.path is None:
            return value
        write_json(self.path, value)
        return json.loads(json.dumps(value))

    def found(self) -> list[Any]:
        """[the kept result], or [] where there is none that can be read."""
        try:
            return [read_json(self.path)] if self.path is not None and self.path.exists() else []
        except ArtefactError:
            return []

    @property
    def name(self) -> str:
        """What errors call it."""
        return f"number {self.index}" if self.path is None else self.path.stem


class LostWorkerError(Exception):
    """Internal: the process that had a job died; it may be run again."""


def lethal(name: str, deaths: int, *, alone: bool = True) -> JobError:
    """What is raised for a job on which workers die; not `alone`: others waited on the same workers, and it may be one of them."""
    remedy = "give it more memory, or find out what kills it" + (
        "" if alone else ", or a job that waited on the same workers"
    )
    return JobError(must(f"job {name}", "one that workers survive", f"{deaths} of them killed", remedy))


class Pool(Protocol):
    """What runs jobs: processes (`processes.py`) or a cluster (`cluster.py`)."""

    workers: int

    def submit(self, job: Job) -> Any:
        """Hand a job out. -> a handle."""

    def finished(self, handles: Iterable[Any]) -> Iterable[Any]:
        """Block until at least one of the handles is finished; -> those that are."""

    def result(self, handle: Any, job: Job) -> Any:
        """What a finished job returned or raised; LostWorkerError where its worker died."""

    def close(self, *, done: bool) -> None:
        """Let workers go; `done` False: in the middle of work, which is dropped."""
