"""Running a data set through a network in fixed batches: answers, accuracy, activity.

Every batch has the same size; the last is padded with copies of its last sample under negative sample ids, so that
products are summed in the same way whatever the data set's length, and padding is neither counted nor returned.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from .core.ledger import Ledger
from .core.params import number
from .core.seeds import Seeds
from .datasets.base import ArrayDataset, EventDataset
from .engine import run
from .execution import Engine

BATCH = 66
"""Samples per evaluation batch: three batches for the 198 recordings of a fold."""


Data = EventDataset | ArrayDataset


@dataclass(frozen=True)
class Evaluation:
    """What a data set gave: scores (N, classes), labels (N,)."""

    scores: np.ndarray
    labels: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """(N,) bool: was the largest score at the label."""
        return self.scores.argmax(1) == self.labels

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0..1."""
        return float(self.right.mean())


def batches(data: Data, batch: int = BATCH) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(rows (batch,), sample ids (batch,)) that cover `data`; padding repeats the last row under negative ids."""
    ids = np.asarray(data.sample_ids)
    for start in range(0, len(data), batch):
        rows = np.arange(start, start + batch)
        padding = rows >= len(data)
        rows = np.minimum(rows, len(data) - 1)
        yield rows, np.where(padding, -1 - np.arange(batch), ids[rows])


def evaluate(
    network: Any, data: Data, *, steps: int, seeds: Seeds | None = None, ledger: Ledger | None = None,
    engine: Engine | None = None, batch: int = BATCH,
) -> Evaluation:  # fmt: skip
    """Run a spiking network over labelled data: recordings as rasters of `steps` bins, arrays shown at every step."""
    number("steps", steps, at_least=1, integer=True, remedy="the number of time steps to simulate")
    scores = []
    with torch.inference_mode():
        for rows, ids in batches(data, batch):
            x, shown = (data.raster(steps, rows), None) if isinstance(data, EventDataset) else (data.x[rows], steps)
            answer = run(
                network, x, steps=shown, seeds=seeds, ledger=ledger, engine=engine, sample_ids=ids
            ).readout  # fmt: skip
            scores.append(answer[torch.from_numpy(ids >= 0)])
    return Evaluation(torch.cat(scores).numpy(), np.asarray(data.labels))


def evaluate_ann(model: nn.Module, data: Data, *, batch: int = BATCH) -> Evaluation:
    """Run an ANN over labelled data; it sees a recording's frame of event counts."""
    scores, frames = [], data.frames()
    with torch.inference_mode():
        for rows, ids in batches(data, batch):
            scores.append(model(frames[rows])[torch.from_numpy(ids >= 0)])
    return Evaluation(torch.cat(scores).numpy(), np.asarray(data.labels))


def paired_gap(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Difference of two accuracies on the same samples, and its standard error.

    first, second   (N,) bool, right or not -> mean(second - first), sd / sqrt(N); as fractions
    """
    difference = second.astype(np.float64) - first.astype(np.float64)
    error = float(difference.std(ddof=1) / math.sqrt(len(difference))) if len(difference) > 1 else 0.0
    return float(difference.mean()), error
