"""Warped copies of recordings of channels: other vocal tracts and other tempi, made of the events themselves.

    channel   c' = floor(c + s + u)         s uniform in -channels .. channels, once a copy; u uniform in 0 .. 1, an event
    time      t' = t0 + D w((t - t0) / D),  w(a) = a + b a (1 - a),  b uniform in -tempo .. tempo, once a copy
              t0 the first event, D from there to the last

Channels are log-spaced in frequency, so a vocal tract shorter by some factor, which raises all resonances by it, is a shift
s = ln(factor) / ln(step of a channel): in `Cochlea` 1.7 channels are 10 %. Events between channels fall to either, in the mean
at c + s; those that leave the sensor are dropped. A tempo that is constant would be lost on `Frames`, whose bins are parts of the
recording's own duration: here the tempo runs from 1 + b at the beginning to 1 - b at the end, over the same duration.

s, b and u are Philox words of counter (event or 0, copy, sample id): a copy does not depend on what else is warped.

Sources: N. Jaitly, G. E. Hinton, "Vocal tract length perturbation (VTLP) improves speech recognition", ICML workshop on deep
learning for audio, speech and language, 2013 (factors 0.9 to 1.1); T. Ko, V. Peddinti, D. Povey, S. Khudanpur, "Audio
augmentation for speech recognition", Interspeech 2015 (tempi 0.9 to 1.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikesim.core import philox
from spikesim.core.events import Columns
from spikesim.core.params import check
from spikesim.core.seeds import Seeds
from spikesim.errors import ParameterError, must

from .base import EventDataset


@dataclass(frozen=True)
class Warp:
    """copies of each recording; channels, the largest shift; tempo, its largest change as a share (below 1)."""

    copies: int = 1
    channels: float = 0.0
    tempo: float = 0.0

    def __post_init__(self) -> None:
        check(self, "copies", at_least=1, integer=True)
        check(self, "channels", at_least=0)
        check(self, "tempo", at_least=0, below=1)
        if not self.channels and not self.tempo:
            raise ParameterError(must("Warp.channels, tempo", "above 0, one of them at least", "0 and 0"))


def warped(data: EventDataset, warp: Warp, seeds: Seeds) -> EventDataset:
    """The recordings, then the first copy of each, then the second, and so on; a copy without any event left is left out.

    A copy has the label, group, split and sample id of its recording, so that what leaves the recording out by these leaves
    its copies out, too. The same seeds, id and recording give the same copies. Raises ParameterError for recordings that are not
    of channels, sensor (1, channels).
    """
    if data.sensor[0] != 1:
        rule = f"of channels, sensor (1, channels), for {data.name}"
        raise ParameterError(must("warped.data", rule, f"sensor {data.sensor}", "leave the warp out"))
    key = seeds.child("warp").key
    made = [(data.columns, np.diff(data.offsets), np.arange(len(data)))]
    made += [_copied(data, warp, copy, key) for copy in range(warp.copies)]
    rows = np.concatenate([who for _, _, who in made])
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([counts for _, counts, _ in made]))])
    columns = Columns(*(np.concatenate(parts) for parts in zip(*(c for c, _, _ in made))))
    split, groups = (None if of is None else of[rows] for of in (data.split, data.groups))
    return EventDataset.trusted(
        columns, offsets, data.labels[rows], data.sensor, sample_ids=data.sample_ids[rows], name=data.name,
        split=split, groups=groups, polarity=data.polarity,
    )  # fmt: skip


def _copied(data: EventDataset, warp: Warp, copy: int, key: int) -> tuple[Columns, np.ndarray, np.ndarray]:
    """Events of one copy of every recording, how many each has, and the rows of those that have any."""
    counts = np.diff(data.offsets)
    of = np.repeat(np.arange(len(data)), counts)
    ids = data.sample_ids.astype(np.uint64)
    low, high = ids & philox.MASK, ids >> philox.SHIFT
    once = philox.words(0, 2 * copy, low, high, key)
    shift, bend = (
        most * (2 * philox.uniform_of(word) - 1) for most, word in zip((warp.channels, warp.tempo), once)
    )  # fmt: skip
    event = np.arange(len(of)) - data.offsets[of]
    between = philox.uniform_of(philox.words(event, 2 * copy + 1, low[of], high[of], key)[0])
    # Without a shift nothing lies between channels.
    x = np.floor(data.x + shift[of] + between).astype(np.int64) if warp.channels else data.x.astype(np.int64)
    kept = (x >= 0) & (x < data.sensor[1])
    left = np.bincount(of[kept], minlength=len(data))
    t = _bent(data, of, counts, bend)[kept]
    return Columns(t, x[kept].astype(np.int16), data.y[kept], data.p[kept]), left[left > 0], np.flatnonzero(left)


def _bent(data: EventDataset, of: np.ndarray, counts: np.ndarray, bend: np.ndarray) -> np.ndarray:
    """t', int64 µs; in order, as w rises."""
    some = counts > 0
    first, last = np.zeros(len(data), np.int64), np.zeros(len(data), np.int64)
    first[some], last[some] = data.t[data.offsets[:-1][some]], data.t[data.offsets[1:][some] - 1]
    duration = np.maximum(last - first, 1)[of]
    part = (data.t - first[of]) / duration
    bent: np.ndarray = first[of] + np.rint(duration * (part + bend[of] * part * (1 - part))).astype(np.int64)
    return bent
