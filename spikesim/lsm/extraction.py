"""Features of recordings: what a reservoir's spikes, or the events themselves, come to in a few numbers.

    counts       f_wn = sum of s_tn over window w of T/W steps, w = 0 .. W-1       (W = 1: the published feature)
    membrane     m_Tn, after the last step, beside the counts

Recordings become rasters of `Frames`: T bins over the recording's own duration, a box of pixels, one polarity or both. A sensor
that has one polarity alone (a cochlea's channels, counts, rate coding) has no inputs of the other.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.params import check
from ..core.raster import SparseRaster
from ..core.seeds import Seeds
from ..datasets.base import EventDataset
from ..datasets.shards import Shards
from ..engine import run
from ..errors import ParameterError, must
from .reservoir import NEURONS

BATCH = 256
"""Recordings at a time; results do not depend on it."""
QUIET, LOUD = 1e-4, 0.5
"""Share of neurons and steps with a spike below and above which a reservoir is of no use."""


class UselessReservoir(UserWarning):
    """A reservoir hardly ever fires, or nearly always."""


@dataclass(frozen=True)
class Frames:
    """How recordings are shown: `steps` bins, a centred box of `side` pixels (0: all), one `polarity` (None: all that the
    sensor has)

    largest   counts are cut off there; 1: binary events; 0: as they are
    """

    steps: int = 50
    side: int = 0
    polarity: int | None = None
    largest: int = 0

    def __post_init__(self) -> None:
        check(self, "steps", at_least=1, integer=True)
        for name in ("side", "largest"):
            check(self, name, at_least=0, integer=True)
        if self.polarity not in (0, 1, None):
            raise ParameterError(must("Frames.polarity", "0, 1 or None", self.polarity))

    def box(self, sensor: tuple[int, int]) -> tuple[int, int, int, int] | None:
        """(left, top, right, bottom) of the pixels that are shown; None: all."""
        if not self.side:
            return None
        if self.side > min(sensor):
            raise ParameterError(must("Frames.side", f"at most {min(sensor)}, the sensor's", self.side))
        top, left = ((n - self.side) // 2 for n in sensor)
        return left, top, left + self.side, top + self.side

    def shown(self, data: Any) -> int | None:
        """The one polarity of recordings that is shown; None: both. ParameterError for one that their sensor does not have."""
        if data.polarity is not None and self.polarity not in (None, data.polarity):
            rule = f"{data.polarity} or left out for {data.name}, which has no other"
            raise ParameterError(must("Frames.polarity", rule, self.polarity))
        found: int | None = data.polarity if self.polarity is None else self.polarity
        return found

    def inputs(self, data: Any) -> int:
        """Inputs of one step of these recordings."""
        pixels = self.side**2 if self.side else data.sensor[0] * data.sensor[1]
        return int(pixels) * (2 if self.shown(data) is None else 1)

    def raster(self, data: Any, rows: np.ndarray | None = None) -> SparseRaster:
        """Recordings as event lists; `rows` of an event data set, or all."""
        chosen = {} if rows is None else {"indices": rows}
        found: SparseRaster = data.sparse_raster(
            self.steps, **chosen, crop=self.box(data.sensor), polarity=self.shown(data)
        )
        return found

    def batches(self, data: Any) -> Iterator[tuple[SparseRaster, np.ndarray]]:
        """(raster of flat inputs, sample ids), all in order: of an event data set, of recordings in parts, one part after the
        other, or of what makes its own (`Counts`, `RateCoded`)."""
        if isinstance(data, Shards):
            for part in data.parts():
                yield self.flat(self.raster(part)), np.asarray(part.sample_ids)
        elif isinstance(data, EventDataset):
            rows = np.arange(len(data))
            for start in range(0, len(data), BATCH):
                here = rows[start : start + BATCH]
                yield self.flat(self.raster(data, here)), np.asarray(data.sample_ids)[here]
        else:
            yield from data.batches(self)

    def flat(self, raster: SparseRaster) -> SparseRaster:
        """The same with one axis of inputs, and counts cut off."""
        val = raster.val if not self.largest or raster.val is None else np.minimum(raster.val, np.float32(self.largest))
        val = None if self.largest == 1 else val
        return SparseRaster.trusted(raster.ptr, raster.idx, val, raster.steps, (int(np.prod(raster.shape)),))


@dataclass(frozen=True, eq=False)
class Features:
    """values (N, F) float32; rate, the share of neurons and steps with a spike."""

    values: np.ndarray
    rate: float


def features(
    network: Any, data: Any, frames: Frames, *, windows: int = 1, membrane: bool = False, seeds: Seeds | None = None,
    ledger: Any = None,
) -> Features:  # fmt: skip
    """What a reservoir makes of recordings.

    network    `Reservoir.network(...)`, a chip, or any network of (T, B, inputs) -> spikes (T, B, n)
    data       an event data set, recordings in parts (`Shards`), or anything whose `batches(frames)` yields (raster, sample ids)
    windows    parts of time that spikes are counted in         membrane   the last membranes beside the counts
    seeds      of the chip's reads                              ledger     counts what happened
    -> (N, windows n (+ n)). Warns where hardly a neuron fires, or nearly all always do.
    """
    found, fired, places = [], 0.0, 0
    with torch.inference_mode():
        for raster, ids in frames.batches(data):
            ran = run(network, raster, seeds=seeds, ledger=ledger, sample_ids=ids)
            counts = ran.counts(windows)
            fired, places = fired + float(counts.sum()), places + counts[:, 0].numel() * raster.steps
            parts = [counts.flatten(1)]
            if membrane:
                state: Any = ran.state
                parts.append(state.nodes[NEURONS].v)
            found.append(torch.cat(parts, 1).numpy())
    rate = fired / places
    _warn(rate)
    return Features(np.concatenate(found), rate)


def event_counts(
    data: Any, frames: Frames, *, windows: int = 1, size: int = 0, seeds: Seeds | None = None
) -> np.ndarray:
    """(N, windows inputs) float32: events counted per input and window, without any reservoir.

    size   brings them to so many features by a fixed random projection (normal, of `seeds`, else of seed 0); 0: as they are
    """
    found = []
    for raster, _ in frames.batches(data):
        found.append(windowed(raster, windows))
    values = torch.cat(found).flatten(1)
    if size and size != values.shape[1]:
        projection = torch.randn(values.shape[1], size, generator=(seeds or Seeds(0)).torch()) / values.shape[1] ** 0.5
        values = values @ projection
    return values.numpy()


def windowed(raster: SparseRaster, windows: int) -> Tensor:
    """(B, windows, inputs): the events of a raster summed over parts of time, as `Run.counts` cuts them."""
    steps, batch, inputs = raster.steps, raster.batch, int(np.prod(raster.shape))
    step = np.repeat(np.arange(batch * steps), np.diff(raster.ptr))
    ends = np.array([w * steps // windows for w in range(1, windows + 1)])
    window = np.searchsorted(ends, step % steps, side="right")
    place = ((step // steps) * windows + window) * inputs + raster.idx
    total = np.bincount(place, weights=raster.val, minlength=batch * windows * inputs)
    return torch.from_numpy(total.astype(np.float32)).view(batch, windows, inputs)


def _warn(rate: float) -> None:
    if QUIET <= rate <= LOUD:
        return
    never = rate < QUIET
    what, turn = ("hardly fires", "raise") if never else ("nearly always fires", "lower")
    warnings.warn(
        f"reservoir {what}: {100 * rate:.3g} % of neurons and steps; {turn} Reservoir.input_std or loop_std, or "
        f"{'lower' if never else 'raise'} threshold",
        UselessReservoir,
        stacklevel=3,
    )
