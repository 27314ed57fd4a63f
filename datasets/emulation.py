"""Tens of thousands of images to recordings in a folder of parts, on several threads; what is finished stays.

The recordings are those of `emulate`, for any number of threads and after any interruption: draws are named by image.
"""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from spikesim.core import philox
from spikesim.core.files import folder as made_folder
from spikesim.core.params import number
from spikesim.core.seeds import Seeds
from spikesim.errors import ArtefactError, must

from . import _pixels, emulator, saccades
from ._packed import Layout
from .emulator import EventCamera, Recorder, taken_apart
from .images import Images
from .shards import PART_SAMPLES, Index, Shards, begun, digest, given, names_of, write_part

SAMPLE = 64
"""Recordings that the size is estimated from."""
SLICE = 50
"""Images that a thread takes at a time."""


@dataclass(frozen=True)
class Size:
    """What is about to be written: parts left of all, and their expected events and bytes."""

    left: int
    parts: int
    events: int
    bytes: int


def emulate_to(
    folder: Path, images: Images, camera: EventCamera, seeds: Seeds, *, threads: int = 1,
    announce: Callable[[Size], None] = lambda size: None, progress: Callable[[], None] = lambda: None,
    part_samples: int = PART_SAMPLES,
) -> Shards:  # fmt: skip
    """One recording per image, as `emulate` makes them, written to a folder of parts (`shards.py`).

    threads    that emulate at the same time; the files do not depend on it
    announce   is given the expected size before the first part is written, from recordings of 64 images spread over all
    progress   is called after each part, also for those that were there already

    A second call goes on where the first ended. Raises DatasetError for images larger than the sensor, ArtefactError,
    before any work, where the folder holds recordings of other images, settings or seeds, or the disk has no room, and
    where it is full in the middle: finished parts are kept.
    """
    number("emulate_to.threads", threads, at_least=1, integer=True)
    number("emulate_to.part_samples", part_samples, at_least=1, integer=True)
    recorder, folder = Recorder(camera, seeds, images.pixels.shape[1:]), made_folder(Path(folder))  # type: ignore[arg-type]
    layout = Layout.of(camera.sensor, camera.duration_us - 1)
    index = Index(
        images.name, camera.sensor, len(images), part_samples, layout, made_from(images, camera, seeds), names_of(images.groups)
    )  # fmt: skip
    missing = begun(folder, index)
    if missing:
        size = _expected(recorder, images, index, missing)
        announce(size)
        free = shutil.disk_usage(folder).free
        if size.bytes > free:
            got = f"{free / 1e6:.1f} MB free"
            raise ArtefactError(must(str(folder), f"on a disk with {size.bytes / 1e6:.1f} MB free", got, "make room"))
    with _emulating(recorder, images, layout, threads) as emulated:
        for part in range(index.parts):
            if part in missing:
                some = images.subset(index.span(part))
                words, counts = emulated(index.span(part))
                rows = {"counts": counts, "labels": some.labels, "sample_ids": some.ids, "split": some.split}
                rows["group"] = index.codes(some.groups)
                write_part(folder, index, part, words, rows)
            progress()
    return Shards.open(folder)


def made_from(images: Images, camera: EventCamera, seeds: Seeds) -> str:
    """What recordings depend on, as 16 hex digits: images with ids, labels and groups, camera, seeds, the emulator's source."""
    source = "".join(inspect.getsource(module) for module in (emulator, _pixels, saccades, philox))
    return digest(
        images.pixels, images.labels, images.ids, images.split, camera, seeds.key, source, *given(images.groups)
    )


def _expected(recorder: Recorder, images: Images, index: Index, missing: list[int]) -> Size:
    rows = np.unique(np.linspace(0, len(images) - 1, min(SAMPLE, len(images))).astype(np.int64))
    mean = np.mean([len(keys) for keys in recorder.keys(images.pixels[rows], images.ids[rows])])
    samples = sum(index.span(part).stop - index.span(part).start for part in missing)
    per_recording = mean * index.layout.event_bytes + 32
    return Size(len(missing), index.parts, round(samples * mean), round(samples * per_recording))


@contextmanager
def _emulating(
    recorder: Recorder, images: Images, layout: Layout, threads: int
) -> Iterator[Callable[[slice], tuple[np.ndarray, np.ndarray]]]:
    """A function of a span of images: their words end to end, and events of each."""

    def of_slice(first: int, last: int) -> tuple[np.ndarray, list[int]]:
        keys = recorder.keys(images.pixels[first:last], images.ids[first:last])
        return layout.packed(*taken_apart(np.concatenate(keys))), [len(k) for k in keys]

    def of_span(span: slice) -> tuple[np.ndarray, np.ndarray]:
        edges = [*range(span.start, span.stop, SLICE), span.stop]
        made = list(pool.map(lambda pair: of_slice(*pair), pairwise(edges)))
        return np.concatenate([words for words, _ in made]), np.concatenate([counts for _, counts in made])

    pool = ThreadPoolExecutor(threads)
    try:
        yield of_span
    finally:
        pool.shutdown(cancel_futures=True)
