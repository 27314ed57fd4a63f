"""Are recordings of the cochlea like the one of N-TIDIGITS at hand? The statistics that its constants were chosen by.

    SPIKESIM_SHARED=DIR python -m benchmarks.cochlea_statistics [--grid]

DIR holds fsdd.npz and dvs_samples/ntidigits_sample.bs1. Writes benchmarks/results/cochlea_statistics.json. All is counted in bins
of 20 ms with at least 5 events:

    rate                events a second
    active              share of channels with at least 3 events
    top_ten             share of the events that the ten most active channels have
    pause_1 .. pause_90 percentiles of the pauses between events of a channel, those up to 50 ms
    cells               different pairs of channel and millisecond, as a share of the events: 1 where each event is alone
    near_1, 2, 4, 8     correlation of 5 ms counts of channels so far apart that have at least 5 events, mean over pairs
    profile_1, 4, 8     correlation over channels of log(1 + count) with that of the channel so far away

The worst deviation is the largest of |log ratio| / 0.3 and |difference of correlations| / 0.1. --grid tries the settings that the
constants were picked from, the smallest worst deviation, and takes minutes.
"""

from __future__ import annotations

import argparse
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np

from spikesim.core.events import EventStream
from spikesim.core.files import write_json
from spikesim.core.seeds import Seeds
from spikesim.datasets.audio import Audio, read_fsdd
from spikesim.datasets.cochlea import Cochlea, listen
from spikesim.datasets.formats import bs1
from spikesim.errors import DatasetError

from .harness import RESULTS

CHANNELS = 64
WORD_US = (350_000, 600_000)
"""Where the word is in the real recording; behind it there is a burst of another cause."""
EVERY = 50
"""Every so many of the spoken digits are heard."""
BIN_US, BUSY, COUNT_US, LONGEST_US = 20_000, 5, 5_000, 50_000
PERCENTILES = (1, 10, 25, 50, 75, 90)
NEAR, PROFILE = (1, 2, 4, 8), (1, 4, 8)
RATIO_UNIT, CORRELATION_UNIT = 0.3, 0.1
GRID: dict[str, tuple[float, ...]] = {
    "bandwidth": (1, 1.5, 2, 3), "top_hz": (750, 1500, 3000, 6000), "half": (0.03, 0.1, 0.3, 1), "tau_us": (1000, 2000, 4000)
}  # fmt: skip
EVENTS = (800, 6000)
"""Mean events per recording outside of which a setting is not looked at further."""


def statistics(stream: EventStream) -> dict[str, float]:
    """The statistics of one recording of 64 channels; a correlation of nothing is nan."""
    channel, t = stream.x.astype(np.int64), stream.t
    bins = np.bincount(t // BIN_US)
    busy = bins >= BUSY
    kept = busy[t // BIN_US]
    channel, t = channel[kept], t[kept]
    counts = np.bincount(channel, minlength=CHANNELS)
    pauses = np.concatenate([np.diff(t[channel == c]) for c in range(CHANNELS)])
    pauses = pauses[pauses < LONGEST_US]
    at = np.percentile(pauses, PERCENTILES) / 1000 if len(pauses) else np.full(len(PERCENTILES), np.nan)
    return {
        "rate": float(bins[busy].sum() / (max(1, busy.sum()) * BIN_US / 1e6)),
        "active": float((counts >= 3).mean()),
        "top_ten": float(np.sort(counts)[-10:].sum() / max(1, len(t))),
        **{f"pause_{q}": float(pause) for q, pause in zip(PERCENTILES, at)},
        "cells": len(np.unique((t // 1000) * CHANNELS + channel)) / max(1, len(t)),
        **_likeness(channel, t, counts),
    }


def _likeness(channel: np.ndarray, t: np.ndarray, counts: np.ndarray) -> dict[str, float]:
    """How alike channels are, in time and in how often they fire."""
    step = (t - t.min(initial=0 if not len(t) else t[0])) // COUNT_US
    table = np.zeros((CHANNELS, int(step.max(initial=0)) + 1))
    np.add.at(table, (channel, step), 1)
    active, profile = set(np.flatnonzero(counts >= 5).tolist()), np.log1p(counts)
    near = {
        f"near_{lag}": _mean([_correlation(table[c], table[c + lag]) for c in active if c + lag in active])
        for lag in NEAR
    }
    return near | {f"profile_{lag}": _correlation(profile[:-lag], profile[lag:]) for lag in PROFILE}


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    constant = a.std() == 0 or b.std() == 0
    return float("nan") if constant else float(np.corrcoef(a, b)[0, 1])


def _mean(values: list[float]) -> float:
    there = [value for value in values if np.isfinite(value)]
    return float(np.mean(there)) if there else float("nan")


def typical(streams: list[EventStream]) -> dict[str, float]:
    """Of many recordings: the median of each statistic, of correlations the mean of those there are."""
    each = [statistics(stream) for stream in streams]
    return {
        name: _mean([row[name] for row in each])
        if is_correlation(name)
        else float(np.median([row[name] for row in each]))
        for name in each[0]
    }


def is_correlation(name: str) -> bool:
    """Is the statistic compared by difference."""
    return name.startswith(("near", "profile"))


def deviations(found: dict[str, float], real: dict[str, float]) -> dict[str, float]:
    """Each statistic's distance, in units of what is called one."""
    return {
        name: abs(found[name] - value) / CORRELATION_UNIT
        if is_correlation(name)
        else abs(float(np.log(found[name] / value))) / RATIO_UNIT
        for name, value in real.items()
    }


def the_word(stream: EventStream) -> EventStream:
    """The part of the real recording in which there is a word."""
    inside = (stream.t > WORD_US[0]) & (stream.t < WORD_US[1])
    return EventStream(*(column[inside] for column in stream.columns), stream.sensor)


def some_digits(path: Path) -> Audio:
    """Every 50th of the spoken digits."""
    every = read_fsdd(path)
    rows = np.arange(0, len(every), EVERY)
    parts = [every[i] for i in rows]
    offsets = np.cumsum([0, *map(len, parts)])
    return Audio(np.concatenate(parts), offsets, every.labels[rows], every.rate, every.ids[rows], name=every.name)


def heard(audio: Audio, cochlea: Cochlea) -> list[EventStream]:
    """The recordings; none where one would be silent, or where there are too many or too few events."""
    try:
        data = listen(audio, cochlea, Seeds(0))
    except DatasetError:
        return []
    if not EVENTS[0] < len(data.t) / len(data) < EVENTS[1]:
        return []
    return [data[i][0] for i in range(len(data))]


def searched(audio: Audio, real: dict[str, float]) -> list[dict[str, Any]]:
    """The settings of the grid with their worst deviation, best first; those without recordings are left out."""
    rows = []
    for values in itertools.product(*GRID.values()):
        setting = dict(zip(GRID, values))
        streams = heard(audio, Cochlea(**setting))  # type: ignore[arg-type]
        if streams:
            worst = max(deviations(typical(streams), real).values())
            rows.append(setting | {"worst": worst})
    return sorted(rows, key=lambda row: np.nan_to_num(row["worst"], nan=np.inf))


def main() -> None:
    """Measure, write JSON, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("SPIKESIM_SHARED", "."), help="folder of the data")
    parser.add_argument("--grid", action="store_true", help="search the grid too")
    chosen = parser.parse_args()
    recording = bs1.read(Path(chosen.data) / "dvs_samples" / "ntidigits_sample.bs1")
    word, audio = the_word(recording), some_digits(Path(chosen.data) / "fsdd.npz")
    real, ours = statistics(word), typical(heard(audio, Cochlea()))
    off = deviations(ours, real)
    found: dict[str, Any] = {
        "real": {"events": len(word), "channels": len(np.unique(word.x)), "grid_us": int(np.gcd.reduce(recording.t))},
        "recordings": len(audio),
        "statistics": {name: {"real": real[name], "cochlea": ours[name], "deviation": off[name]} for name in real},
        "worst": max(off.values()),
    }
    if chosen.grid:
        rows = searched(audio, real)
        found["grid"] = {
            "settings": int(np.prod([len(v) for v in GRID.values()])),
            "compared": len(rows),
            "best": rows[:8],
        }
    write_json(RESULTS / "cochlea_statistics.json", found)
    for name, row in found["statistics"].items():
        print(f"{name:<10} {row['real']:9.3f} {row['cochlea']:9.3f}   deviation {row['deviation']:.2f}")
    print(f"worst {found['worst']:.2f}", *found.get("grid", {}).get("best", []), sep="\n")


if __name__ == "__main__":
    main()
