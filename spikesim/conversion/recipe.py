"""Recipes: a conversion is a few small steps, each Draft -> Draft. A new step is a new file; a new recipe a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..errors import ParameterError, must, nearest
from .draft import Draft
from .fold_batch_norm import FoldBatchNorm
from .initial_potential import InitialPotential
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


def _standard(name: str, percentile: float, *more: Step) -> Recipe:
    steps: tuple[Step, ...] = (
        FoldBatchNorm(),
        PoolBeforeNeuron(),
        ThresholdBalance(percentile),
        InitialPotential(),
        *more,
    )
    return Recipe(name, steps)


_ALL = (_standard("signed", 100.0, SignedSpikes()), _standard("max", 100.0), _standard("percentile", 99.9))
RECIPES = {recipe.name: recipe for recipe in _ALL}
"""name -> recipe.

signed      thresholds at the calibration maxima, signed spikes with memory: lossless as T grows, recordings too
max         the same with unsigned spikes: lossless for a constant drive
percentile  unsigned, thresholds at 99.9 %: better at few steps where activations have tails
"""

DEFAULT = "signed"
"""What "auto" stands for."""


def recipe_of(choice: str | Recipe) -> Recipe:
    """The recipe called `choice`, or `choice` itself."""
    if isinstance(choice, Recipe):
        return choice
    if choice == "auto":
        return RECIPES[DEFAULT]
    if choice not in RECIPES:
        rule = f"auto, a Recipe, or one of {', '.join(RECIPES)}"
        raise ParameterError(must("convert.recipe", rule, choice, nearest(str(choice), ["auto", *RECIPES])))
    return RECIPES[choice]
