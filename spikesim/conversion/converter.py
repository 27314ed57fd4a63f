"""convert: a trained ANN into a spiking network, and a report of what it lost."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..core.packing import packed
from ..core.params import number
from ..errors import ParameterError, ShapeError, must
from ..layers.difference import TemporalDifference
from ..network import Network
from .assembly import assemble
from .calibration import ENOUGH, Calibration
from .capture import capture
from .choice import best_recipe, with_best_headroom
from .draft import Draft, Threshold
from .measure import cost, layer_reports
from .network_module import NetworkModule
from .range_check import range_warning
from .read_model import ReadModel
from .recipe import Recipe, at_maxima, recipe_of
from .report import ConversionReport

REPORT_STEPS = 32
"""T at which the report's errors are measured when `steps` is not given."""


def convert(
    ann: nn.Module, *, calibration: Any, steps: int | None = None, recipe: str | Recipe = "auto",
    example: Tensor | Sequence[Tensor] | None = None,
) -> tuple[Network, ConversionReport]:  # fmt: skip
    """The spiking network of a trained ReLU network.

        theta sum over t of s_t / T  ->  relu(z)  as T grows,   for every activation with z <= theta

    ann          nn.Module; never changed. Convolutions, linear layers, normalisations, ReLUs, pools, in any forward
                 that can be traced; layers in eval mode. Or a `Network` of such layers
    calibration  inputs x (N, *shape) of the ANN: a tensor, batches of x or (x, y), a torch Dataset, or recordings
                 with `frames()`. Streamed once; 64 or more recommended
    steps        T the network is meant for; None: thresholds 2 % above the maxima, lossless as T grows
    recipe       "auto" (signed spikes; for T = `steps` what errs least on the calibration data, and the report says
                 why; for recordings the headroom that does), a name in `RECIPES`, or a `Recipe`
    example      x (B, *shape) to trace with; the first calibration inputs otherwise

    An ANN of several inputs takes batches (x1, x2) as calibration, and `run(network, (x1, x2), steps=T)` shows them.

    The output's time mean (the network's readout) approaches the ANN's output. `run(network, x, steps=T)` shows x at
    every step; `run(network, raster)` reads a raster whose T bins sum to the ANN's input (`Network.bound`).
    Raises ConversionError (layers, weights), ShapeError, ParameterError (calibration, steps, recipe): nothing is
    converted in part. Rueckauer et al. 2017.
    """
    if isinstance(ann, Network):
        ann = NetworkModule(ann)
    if not isinstance(ann, nn.Module):
        raise ParameterError(must("convert.ann", "a torch.nn.Module", type(ann).__name__))
    if steps is not None:
        number("convert.steps", steps, at_least=1, integer=True, remedy="None suits every T")
    tensor = next(ann.parameters(), torch.empty(0))
    data = Calibration(calibration, tensor.device, _inputs(ann, example))
    shown = data.first[:2] if example is None else _example(example, data)
    if tuple(shown.shape[1:]) != data.shape:
        raise ShapeError(must("convert.calibration", f"(N, *{tuple(shown.shape[1:])}) as the example", data.shape))
    with torch.no_grad():
        captured = capture(ann, shown, data)
        odd = range_warning(captured)
        draft, name, reason = _chosen(captured, recipe, steps, calibration)
        network = assemble(draft, name)
        report = _reported(network, draft, name, steps)
        report = replace(report, reason=reason, warnings=(*report.warnings, *([odd] if odd else [])))
    for line in [*report.warnings[: report.calibrated < ENOUGH], *([odd] if odd else [])]:
        warnings.warn(line, stacklevel=2)
    return network, report


def _inputs(ann: nn.Module, example: Any) -> int:
    """How many tensors the ANN takes: as many as the example has, or as its forward asks for."""
    if isinstance(example, (tuple, list)):
        return len(example)
    if isinstance(ann, ReadModel):
        return ann.inputs
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    asked = inspect.signature(ann.forward).parameters.values()
    return max(1, sum(p.kind in kinds and p.default is p.empty for p in asked))


def _example(example: Any, data: Calibration) -> Tensor:
    if data.inputs == 1:
        (one,) = example if isinstance(example, (tuple, list)) else (example,)
        return torch.as_tensor(one).to(data.first)
    parts = [torch.as_tensor(part).to(data.first) for part in example]
    return packed(parts, data.parts, 1, "convert.example")


def _chosen(draft: Draft, recipe: str | Recipe, steps: int | None, calibration: Any) -> tuple[Draft, str, str]:
    """The draft after the recipe, the recipe's name, and why it was chosen ("" where the user did)."""
    if recipe != "auto":
        fixed = recipe_of(recipe, steps)
        return fixed(draft), fixed.name, ""
    signed = recipe_of("auto")
    if hasattr(calibration, "raster"):
        bare = Recipe(signed.name, at_maxima())(draft)
        found, factor, reason = with_best_headroom(bare, calibration, steps or REPORT_STEPS)
        return found, f"{signed.name}, headroom {factor:g}", reason
    return (signed(draft), signed.name, "") if steps is None else best_recipe(draft, steps)


def _reported(network: Network, draft: Draft, recipe: str, steps: int | None) -> ConversionReport:
    shown = max(steps or REPORT_STEPS, least_steps(draft))
    thresholds = {n.name: n.threshold for n in draft.neurons() if n.threshold is not None}
    layers, error, samples = layer_reports(network, draft, shown)
    spikes, operations = cost(network, draft.calibration.first[:samples], shown)
    floats = tuple(
        f"{name}: {type(module.function).__name__}"
        for name, module in network.nodes.items()
        if isinstance(module, TemporalDifference)
    )
    lines = tuple(_warnings(draft.calibration.count, thresholds))
    return ConversionReport(
        layers, recipe, steps, shown, samples, draft.calibration.count, error, spikes, operations, floats, lines
    )


def least_steps(draft: Draft) -> int:
    """The fewest steps a run of the draft's network may have: twice the longest first presentation."""
    return max([1, *(2 * n.neuron.presteps for n in draft.neurons())])


def _warnings(count: int, thresholds: dict[str, Threshold]) -> list[str]:
    lines = []
    if count < ENOUGH:
        lines.append(f"only {count} calibration inputs; {ENOUGH} or more make the thresholds trustworthy")
    for name, threshold in thresholds.items():
        if threshold.silent:
            total = threshold.theta.numel()
            lines.append(f"{name}: {threshold.silent} of {total} channels are never active on the calibration inputs")
    return lines
