"""convert: a trained ANN into a spiking network, and a report of what it lost."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..core.params import number
from ..errors import ParameterError, ShapeError, must
from ..network import Network
from .assembly import assemble
from .calibration import ENOUGH, Calibration
from .capture import capture
from .choice import with_best_headroom
from .draft import Draft, Threshold
from .recipe import Recipe, recipe_of
from .report import ConversionReport, LayerReport

REPORT_STEPS = 32
"""T at which the report's errors are measured when `steps` is not given."""

MEASURED = 8
"""Calibration inputs that the report's errors are measured on; more cost more than all the rest of a conversion."""

_SLICE = 16
"""Steps per call while errors are measured: recorded spikes are summed slice by slice."""


def convert(
    ann: nn.Module, *, calibration: Any, steps: int | None = None, recipe: str | Recipe = "auto",
    example: Tensor | None = None,
) -> tuple[Network, ConversionReport]:  # fmt: skip
    """The spiking network of a trained ReLU network.

        theta sum over t of s_t / T  ->  relu(z)  as T grows,   for every activation with z <= theta

    ann          nn.Module; never changed. Convolutions, linear layers, normalisations, ReLUs, pools, in any forward
                 that can be traced; layers in eval mode
    calibration  inputs x (N, *shape) of the ANN: a tensor, batches of x or (x, y), a torch Dataset, or recordings
                 with `frames()`. Streamed once; 64 or more recommended
    steps        T the network is meant for (None: any); what "auto" measures at
    recipe       "auto" (signed spikes; for recordings the headroom that errs least on them, and the report says why),
                 a name in `RECIPES`, or a `Recipe`
    example      x (B, *shape) to trace with; the first calibration inputs otherwise

    The output's time mean (the network's readout) approaches the ANN's output. `run(network, x, steps=T)` shows x at
    every step; `run(network, raster)` reads a raster whose T bins sum to the ANN's input (`Network.bound`).
    Raises ConversionError (layers, weights), ShapeError, ParameterError (calibration, steps, recipe): nothing is
    converted in part. Rueckauer et al. 2017.
    """
    if not isinstance(ann, nn.Module):
        raise ParameterError(must("convert.ann", "a torch.nn.Module", type(ann).__name__))
    if steps is not None:
        number("convert.steps", steps, at_least=1, integer=True, remedy="None suits every T")
    recordings = recipe == "auto" and hasattr(calibration, "raster")
    chosen = recipe_of(recipe, None if recordings else steps)
    tensor = next(ann.parameters(), torch.empty(0))
    data = Calibration(calibration, tensor.device)
    shown = data.first[:2] if example is None else torch.as_tensor(example).to(data.first)
    if tuple(shown.shape[1:]) != data.shape:
        raise ShapeError(must("convert.calibration", f"(N, *{tuple(shown.shape[1:])}) as the example", data.shape))
    with torch.no_grad():
        draft, name, reason = chosen(capture(ann, shown, data)), chosen.name, ""
        if recordings:
            draft, factor, reason = with_best_headroom(draft, calibration, steps or REPORT_STEPS)
            name = f"{name}, headroom {factor:g}"
        network = assemble(draft, name)
        report = replace(_reported(network, draft, name, steps), reason=reason)
    if report.calibrated < ENOUGH:
        warnings.warn(report.warnings[0], stacklevel=2)
    return network, report


def _reported(network: Network, draft: Draft, recipe: str, steps: int | None) -> ConversionReport:
    x, shown = draft.calibration.first[:MEASURED], steps or REPORT_STEPS
    thresholds = {n.name: n.threshold for n in draft.neurons() if n.threshold is not None}
    kept = {*thresholds, draft.output}
    wanted = {node.name: value for node, value in draft.replay(x) if node.name in kept}
    means, output = _time_means(network, x, shown, thresholds)
    layers = tuple(
        LayerReport(n.name, n.path, _spread(t), t.clipped, t.rate, _relative(means[n.name] * t.theta, wanted[n.name]))
        for n in draft.neurons()
        for t in [thresholds[n.name]]
    )
    error = _relative(output, wanted[draft.output])
    lines = tuple(_warnings(draft.calibration.count, thresholds))
    return ConversionReport(layers, recipe, steps, shown, len(x), draft.calibration.count, error, lines)


def _time_means(network: Network, x: Tensor, steps: int, names: Any) -> tuple[dict[str, Tensor], Tensor]:
    """Means over `steps` of the named nodes' spikes (B, *shape) and of the output (B, ...); x shown at every step."""
    sums: dict[str, Tensor] = {}
    state, done = None, 0
    while done < steps:
        part = min(_SLICE, steps - done)
        recorded = [*names, network.output]
        _, state, values = network(x.expand(part, *x.shape), state, record=recorded)
        for name in recorded:
            fresh = values[name].sum(0)
            sums[name] = sums[name] + fresh if name in sums else fresh
        done += part
    means = {name: total / steps for name, total in sums.items()}
    return means, means[network.output]


def _relative(got: Tensor, wanted: Tensor) -> float:
    """|got - wanted| / |wanted|, Euclidean; 0 for two zeros."""
    off, size = float((got - wanted).norm()), float(wanted.norm())
    return off / size if size else float(off > 0)


def _spread(threshold: Threshold) -> tuple[float, float, float]:
    theta = threshold.theta
    return float(theta.min()), float(theta.median()), float(theta.max())


def _warnings(count: int, thresholds: dict[str, Threshold]) -> list[str]:
    lines = []
    if count < ENOUGH:
        lines.append(f"only {count} calibration inputs; {ENOUGH} or more make the thresholds trustworthy")
    for name, threshold in thresholds.items():
        if threshold.silent:
            total = threshold.theta.numel()
            lines.append(f"{name}: {threshold.silent} of {total} channels are never active on the calibration inputs")
    return lines
