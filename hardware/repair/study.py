"""What ways to repair give, in points of accuracy, on the same chips and samples with and without them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from spikesim.core.params import number
from spikesim.core.seeds import Seeds
from spikesim.datasets.base import ArrayDataset, EventDataset
from spikesim.evaluation import evaluate
from spikesim.network import Network

from ..chips import Chip
from ..deployment import deploy
from ..macro import Macro
from .base import Way, repaired


@dataclass(frozen=True)
class Gain:
    """One set of ways. Accuracies are means over chips, 0..1.

    points           100 x mean over chips and samples of (right after - right before)
    standard_error   of it over both: sqrt(over_chips^2 + over_samples^2), an upper bound, since what differs by chip and
                     sample is in both
    over_chips, over_samples   of the means of chips, of the means of samples
    """

    name: str
    chips: int
    samples: int
    before: float
    after: float
    points: float
    over_chips: float
    over_samples: float

    @property
    def standard_error(self) -> float:
        """Points."""
        return math.hypot(self.over_chips, self.over_samples)

    def __str__(self) -> str:
        found = f"{100 * self.before:.2f} % -> {100 * self.after:.2f} %, {self.points:+.2f} ± {self.standard_error:.2f} points"
        return f"{self.name}: {found} ({self.chips} chips, {self.samples} samples)"


def gains(
    network: Network, macro: Macro, data: EventDataset | ArrayDataset, ways: Mapping[str, Sequence[Way]], *, chips: int,
    steps: int, seeds: Seeds, calibration: Tensor | None = None, age: float = 0.0,
) -> list[Gain]:  # fmt: skip
    """Chips 0 to `chips` - 1 of `sample_chips`, each with and without every named set of ways, on the same test data.

    age   seconds after programming at which chips are used: ways that program work before, the others at that age
    Recordings: the network is bound to `steps` first, so that all is calibrated at the T it is used at. Calibration inputs are
    `deploy`'s, never `data`. Read noise is drawn alike with and without.
    """
    network = network.bound(steps) if isinstance(data, EventDataset) else network
    number("gains.chips", chips, at_least=2, integer=True, remedy="an error over chips needs two")
    prepared = {
        name: _prepared(network, macro, several, seeds.child("prepared", name)) for name, several in ways.items()
    }
    right: dict[str, list[np.ndarray]] = {name: [] for name in ("", *ways)}
    for k in range(chips):
        own = seeds.child("chip", k)
        for name in right:
            here, several = (prepared[name], ways[name]) if name else (network, ())
            chip = deploy(here, macro, seeds=own, calibration=calibration)
            chip = _used(chip, several, age, calibration, own)
            right[name].append(evaluate(chip, data, steps=steps).right)
    before = np.array(right.pop(""))
    return [_gain(name, before, np.array(after)) for name, after in right.items()]


def _prepared(network: Network, macro: Macro, ways: Sequence[Way], seeds: Seeds) -> Network:
    for k, way in enumerate(ways):
        network = way.prepared(network, macro, seeds=seeds.child(k))
    return network


def _used(chip: Chip, ways: Sequence[Way], age: float, calibration: Tensor | None, seeds: Seeds) -> Chip:
    """Ways that program before the chip ages, others after."""
    on_chips = [way for way in ways if type(way).applied is not Way.applied]
    for programs in (True, False):
        chip = chip.aged(age) if age and not programs else chip
        mine = [way for way in on_chips if way.programs is programs]
        chip = repaired(chip, *mine, calibration=calibration, seeds=seeds) if mine else chip
    return chip


def _gain(name: str, before: np.ndarray, after: np.ndarray) -> Gain:
    """before, after (chips, samples) bool."""
    difference = 100 * (after.astype(np.float64) - before.astype(np.float64))
    chips, samples = difference.shape
    over_chips = float(difference.mean(1).std(ddof=1) / math.sqrt(chips))
    over_samples = float(difference.mean(0).std(ddof=1) / math.sqrt(samples))
    points = float(difference.mean())
    return Gain(name, chips, samples, float(before.mean()), float(after.mean()), points, over_chips, over_samples)
