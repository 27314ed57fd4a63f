"""tonic data sets as ours: anything whose items are (structured events, label), like `tonic.datasets.NMNIST`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.events import EventStream
from ..errors import DatasetError, must

if TYPE_CHECKING:
    from ..datasets import EventDataset


def from_tonic(dataset: Any, *, limit: int | None = None, name: str = "") -> EventDataset:
    """The recordings of a tonic-style data set.

    dataset   sized, items (events, label) with events a structured array of x, y, t (microseconds), p; it says its
              sensor as `sensor_size` (W, H, P), as tonic does
    limit     recordings to take from the start
    """
    from ..datasets import EventDataset

    size = getattr(dataset, "sensor_size", None)
    if size is None or len(size) < 2:
        raise DatasetError(must("dataset.sensor_size", "(W, H, P)", size, "tonic data sets carry it"))
    count = len(dataset) if limit is None else min(limit, len(dataset))
    items: Iterable[Any] = (dataset[i] for i in range(count))
    streams, labels = zip(*((EventStream.from_structured(e, (size[1], size[0])), int(label)) for e, label in items))
    return EventDataset.joined(list(streams), np.array(labels), name=name or type(dataset).__name__)
