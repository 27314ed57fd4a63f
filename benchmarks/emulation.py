"""60,000 images to recordings in a folder of parts, and how fast they come out of it again.

    SPIKESIM_SHARED=FOLDER python -m benchmarks emulation
    SPIKESIM_SHARED=FOLDER EMULATION=DIR python -m benchmarks emulation       # the recordings stay in DIR, which must be new

FOLDER holds mnist.npz, whose training images are emulated with seed 0, as `spikesim data emulate mnist --limit 60000 --cache`
does. Timed is everything from loaded images to the last file, kernels compiled before. Then, warm from the page cache:

    check     the folder opened and every part held against its checksums, as a second call does
    decode    words to columns, without reading files                         one core, median of rounds over one part
    lists     files to event lists of 50 bins, of the middle 16 by 16 pixels, ON only, part by part
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from spikesim.core.seeds import Seeds
from spikesim.datasets import EventCamera, Images, Shards, emulate, emulate_to, load_images
from spikesim.datasets._packed import room, unpacked
from spikesim.datasets.shards import read_part
from spikesim.datasets.view import View

SAMPLES, THREADS, AIM_S, AIM_BYTES = 60_000, 2, 180.0, 5.0
STEPS, CROP, POLARITY = 50, (9, 9, 25, 25), 1
Row = dict[str, Any]


def measure() -> list[Row]:
    """Rows emulate, check, decode (all pixels, and the view), lists."""
    images = load_images(str(Path(os.environ["SPIKESIM_SHARED"]) / "mnist.npz")).first(SAMPLES)
    kept = os.environ.get("EMULATION")
    if kept:
        return measured(images, Path(kept))
    with tempfile.TemporaryDirectory() as folder:
        return measured(images, Path(folder))


def measured(images: Images, folder: Path, rounds: int = 9) -> list[Row]:
    """The rows of these images, written to a folder in which nothing is yet."""
    assert not folder.exists() or not any(folder.iterdir()), f"{folder} must be new"
    emulate(images.first(2), EventCamera(), Seeds(0))
    seconds, made = _timed(lambda: emulate_to(folder, images, EventCamera(), Seeds(0), threads=THREADS))
    size = sum(path.stat().st_size for path in folder.iterdir())
    rows = [{
        "name": "emulate", "threads": THREADS, "seconds": seconds, "aim_s": AIM_S, "events": made.events, "bytes": size,
        "bytes_per_event": size / made.events, "aim_bytes_per_event": AIM_BYTES,
    }]  # fmt: skip
    rows.append({"name": "check", "seconds": _timed(lambda: emulate_to(folder, images, EventCamera(), Seeds(0)))[0]})
    rows += [decoded(made, View(made.sensor, *view), rounds) for view in ((None, None), (CROP, POLARITY))]
    rows.append(lists(made))
    return [row | {"samples": len(images), "load": os.getloadavg()[0]} for row in rows]


def decoded(made: Shards, view: View, rounds: int) -> Row:
    """Events per second of the kernel, from words in memory, on the first part."""
    part = next(made.parts())
    layout = made.index.layout
    words, out = layout.words(read_part(made.folder, made.index, 0, ("events",))["events"]), room(part.events)
    taken = [_timed(lambda: unpacked(words, part.begins, part.ends, layout, view, out))[0] for _ in range(rounds + 1)]
    seconds = statistics.median(taken[1:])
    name = "decode" if view.crop is None else "decode, view"
    return {"name": name, "seconds": seconds, "events": part.events, "events_per_second": part.events / seconds}


def lists(made: Shards) -> Row:
    """Seconds from files to event lists of all recordings, part by part, with one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        next(made.parts()).sparse_raster(STEPS, crop=CROP, polarity=POLARITY)
        seconds, entries = _timed(
            lambda: sum(p.sparse_raster(STEPS, crop=CROP, polarity=POLARITY).idx.size for p in made.parts())
        )
    finally:
        torch.set_num_threads(before)
    return {
        "name": "lists", "threads": 1, "seconds": seconds, "entries": entries, "events_per_second": made.events / seconds
    }  # fmt: skip


def _timed(run: Any) -> tuple[float, Any]:
    started = time.perf_counter()
    found = run()
    return time.perf_counter() - started, found
