"""Recipes: a conversion is a few small steps, each Draft -> Draft. A new step is a new file; a new recipe a line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..errors import ParameterError, must, nearest
from .best_of import BestOf
from .calibrate import LightCalibration, PotentialCalibration
from .draft import Draft
from .fitted_neurons import FittedNeurons
from .fold_batch_norm import FoldBatchNorm
from .fold_padding import FoldPadding
from .gaussian_threshold import GaussianThreshold
from .headroom import Headroom
from .initial_potential import InitialPotential
from .levels import Burst, Levels
from .local_threshold_balance import LocalThresholdBalance
from .mse_threshold import MseThreshold
from .offset_correction import OffsetCorrection
from .pool_before_neuron import PoolBeforeNeuron
from .signed_spikes import SignedSpikes
from .threshold_balance import ThresholdBalance


class Step(Protocol):
    """Anything that rewrites a draft; ours are frozen dataclasses."""

    def __call__(self, draft: Draft) -> Draft: ...


@dataclass(frozen=True)
class Recipe:
    """A named sequence of steps, applied in order. One of them must set every neuron's threshold."""

    name: str
    steps: tuple[Step, ...]

    def __call__(self, draft: Draft) -> Draft:
        for step in self.steps:
            draft = step(draft)
        return draft


GRAPH: tuple[Step, ...] = (FoldPadding(), FoldBatchNorm(), PoolBeforeNeuron())
"""What every recipe begins with."""


LOSSLESS: tuple[Step, ...] = (ThresholdBalance(100.0), Headroom(1.02))
"""Thresholds where T is not known: the maxima, a little above them, so that the busiest neurons catch up (`Headroom`)."""


def _best(steps: int | None) -> tuple[Step, ...]:
    """Thresholds for T steps: what errs least there, or `LOSSLESS` where T is not known."""
    return LOSSLESS if steps is None else (MseThreshold(steps),)


LONG = 64
"""Largest T that biases of signed spikes are calibrated at T for: beyond, it matters less and less, and every step costs."""


def uncalibrated(steps: int | None) -> tuple[Step, ...]:
    """Signed spikes with thresholds for T, biases as they are."""
    return *GRAPH, SignedSpikes(), *_best(steps), InitialPotential()


def at_maxima() -> tuple[Step, ...]:
    """Signed spikes with thresholds at the maxima themselves: for recordings, whose headroom is measured."""
    return *GRAPH, SignedSpikes(), ThresholdBalance(100.0), InitialPotential()


def _signed(steps: int | None) -> tuple[Step, ...]:
    more = () if steps is None or steps > LONG else (LightCalibration(steps, trained=False),)
    return *uncalibrated(steps), *more


def _max(steps: int | None) -> tuple[Step, ...]:
    return *GRAPH, ThresholdBalance(100.0), InitialPotential()


def _percentile(steps: int | None) -> tuple[Step, ...]:
    return *GRAPH, ThresholdBalance(99.9), InitialPotential()


def _levels(steps: int | None) -> tuple[Step, ...]:
    return *GRAPH, SignedSpikes(), Levels(4), *_best(steps), InitialPotential()


def _burst(steps: int | None) -> tuple[Step, ...]:
    return *GRAPH, Burst(3), *_best(steps), InitialPotential()


def _chosen(steps: int | None, ways: tuple[tuple[Step, ...], ...]) -> tuple[Step, ...]:
    return () if steps is None else (BestOf(steps, ways),)


def _binary(steps: int | None) -> tuple[Step, ...]:
    ways = () if steps is None else ((LightCalibration(steps),), (FittedNeurons(steps),))
    return *GRAPH, *_best(steps), InitialPotential(), *_chosen(steps, ways)


def _advanced(steps: int | None) -> tuple[Step, ...]:
    first = () if steps is None else (LightCalibration(steps), FittedNeurons(steps))
    ways = tuple((step, PotentialCalibration(step.steps)) for step in first)
    return *GRAPH, *_best(steps), InitialPotential(), *_chosen(steps, ways)


def _cos(steps: int | None) -> tuple[Step, ...]:
    presteps = 8 if steps is None else max(1, steps // 2)
    more = () if steps is None else (LightCalibration(steps),)
    best = _best(None if steps is None else steps - presteps)
    return *GRAPH, *best, InitialPotential(), OffsetCorrection(presteps), *more


def _srp(steps: int | None) -> tuple[Step, ...]:
    presteps = 8 if steps is None else max(1, steps // 2)
    best = _best(None if steps is None else steps - presteps)
    return *GRAPH, *best, InitialPotential(), OffsetCorrection(presteps, residual=True)


def _ltb(steps: int | None) -> tuple[Step, ...]:
    return *GRAPH, LocalThresholdBalance(), InitialPotential()


def _gaussian(steps: int | None) -> tuple[Step, ...]:
    best = LOSSLESS if steps is None else (GaussianThreshold(steps),)
    return *GRAPH, SignedSpikes(), *best, InitialPotential()


RECIPES: dict[str, Callable[[int | None], tuple[Step, ...]]] = {
    "signed": _signed, "levels": _levels, "binary": _binary, "advanced": _advanced, "cos": _cos, "burst": _burst,
    "max": _max, "percentile": _percentile, "srp": _srp, "ltb": _ltb, "gaussian": _gaussian,
}  # fmt: skip
"""name -> the steps for T (None: every T).

signed      spikes that can be taken back; thresholds that err least at T and biases calibrated there, or 2 % above
            the maxima: lossless as T grows
levels      signed, four thresholds in powers of two: up to 15 spikes a step on 4 event lines
binary      unsigned spikes, thresholds for T; biases calibrated at T, or thresholds, first membranes and biases fitted
            to the real drive, and the readout delayed: what errs least
advanced    the same, and first membranes calibrated per neuron
cos         unsigned spikes, the first half of T spent on finding offsets, biases calibrated at T
burst       unsigned, up to 3 spikes a step
max         unsigned, thresholds at the maxima: lossless for a constant drive
percentile  unsigned, thresholds at 99.9 %
srp         as cos, but the first half of T only tells which neurons stay silent
ltb         unsigned, thresholds that grow by what they clip
gaussian    signed, thresholds from mean and share of positive activations alone
"""

STEADY = frozenset(("max", "percentile", "ltb"))
"""Recipes that are the same for every T."""

DEFAULT = "signed"
"""What "auto" stands for where T is not known."""


def recipe_of(choice: str | Recipe, steps: int | None = None) -> Recipe:
    """The recipe called `choice` for T = steps, or `choice` itself."""
    if isinstance(choice, Recipe):
        return choice
    name = DEFAULT if choice == "auto" else choice
    if name not in RECIPES:
        rule = f"auto, a Recipe, or one of {', '.join(RECIPES)}"
        raise ParameterError(must("convert.recipe", rule, choice, nearest(str(choice), ["auto", *RECIPES])))
    return Recipe(name, RECIPES[name](steps))
