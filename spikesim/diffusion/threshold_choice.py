"""Choosing thresholds for sampling, on noise that is not sampled from afterwards.

    error(factor) = mean |eps - eps^(x, k; factor theta)|^2 over held-out pictures, times k and noise of the validation's seeds

by all layers alike, or layer by layer: one after the other takes the factor that errs least, the earlier ones as chosen. Or by any
judge of sampled pictures (`swept`), such as a Frechet distance: the paper's sweep, without looking at the pictures that count.

Cao et al. 2024, arXiv 2408.16467, section 4.3 (factors 0.997 to 1.003).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..core.params import number
from ..core.seeds import Seeds
from ..errors import ParameterError, must
from .model import DiffusionModel
from .sampling import BATCH, Sampler, Sampling
from .threshold_guidance import guided_layers
from .training import NoisedBatches

FACTORS = (0.99, 0.995, 0.997, 0.998, 0.999, 1.0, 1.001, 1.002, 1.003, 1.005, 1.01)


@dataclass(frozen=True)
class Chosen:
    """A threshold (a factor, or one by layer), what it was judged at, what unchanged thresholds were, and all that was tried."""

    threshold: float | dict[str, float]
    value: float
    unchanged: float
    tried: tuple[tuple[float, float], ...]


def denoising_error(
    model: DiffusionModel, pictures: Tensor, *, seeds: Seeds, labels: Tensor | None = None,
    threshold: float | Mapping[str, float] = 1.0,
) -> float:  # fmt: skip
    """The mean squared error of the predicted noise over pictures (N, C, H, W), each at one time; 1 is knowing nothing."""
    about, denoiser = model.about, model.denoiser(threshold=threshold)
    batches = NoisedBatches(
        pictures, about.whole_schedule(), BATCH, labels, about.classes if labels is not None else 0, without=0.0
    )
    total, count = 0.0, about.channels
    with torch.no_grad():
        for batch in batches.epoch(seeds.child("denoising error")):
            x, t = batch.x[:, :count], batch.x[:, count, 0, 0].long()
            condition = batch.x[:, count + 1, 0, 0].long() if labels is not None else None
            total += float((denoiser(x, t, condition) - batch.labels).double().square().sum())
    return total / pictures.numel()


def chosen_threshold(
    model: DiffusionModel, pictures: Tensor, *, seeds: Seeds, factors: Sequence[float] = FACTORS, by_layer: bool = False,
    labels: Tensor | None = None,
) -> Chosen:  # fmt: skip
    """The factor of all thresholds, or of each layer's (`by_layer`), that errs least on held-out pictures (N, C, H, W).

    labels   (N,) their classes, of a model that learned them; None: unconditional
    ParameterError for factors that are not above 0, GraphError for a network without thresholds.
    """
    _must_be_factors(factors)

    def error(threshold: float | Mapping[str, float]) -> float:
        return denoising_error(model, pictures, seeds=seeds, labels=labels, threshold=threshold)

    unchanged = error(1.0)
    if not by_layer:
        tried = tuple((float(f), unchanged if f == 1 else error(f)) for f in factors)
        best, value = min(tried, key=lambda pair: pair[1])
        return Chosen(best, value, unchanged, tried)
    chosen, value = dict[str, float](), unchanged
    for name in guided_layers(model.network):
        for factor in factors:
            found = error({**chosen, name: float(factor)})
            if found < value:
                chosen, value = {**chosen, name: float(factor)}, found
    return Chosen(chosen or 1.0, value, unchanged, ())


def swept(
    model: DiffusionModel, sampling: Sampling, judge: Callable[[Tensor], float], *, seeds: Seeds, count: int,
    factors: Sequence[float] = FACTORS, watch: Callable[[float, float], None] | None = None,
) -> Chosen:  # fmt: skip
    """Sample `count` pictures from the same noise at every factor and let `judge` (less is better) choose.

    Sample with other seeds afterwards: what was chosen on some noise flatters itself there. Errors as `chosen_threshold`.
    """
    _must_be_factors(factors)
    tried = []
    for factor in dict.fromkeys((*map(float, factors), 1.0)):
        sampler = Sampler(model, replace(sampling, threshold=factor), seeds)
        parts = [sampler(range(low, min(low + BATCH, count))) for low in range(0, count, BATCH)]
        tried.append((factor, float(judge(torch.cat(parts)))))
        if watch is not None:
            watch(*tried[-1])
    best, value = min(tried, key=lambda pair: pair[1])
    return Chosen(best, value, dict(tried)[1.0], tuple(sorted(tried)))


def _must_be_factors(factors: Sequence[float]) -> None:
    if not len(factors):
        raise ParameterError(must("threshold.factors", "one or more numbers", list(factors)))
    for factor in factors:
        number("threshold.factors", factor, above=0)
