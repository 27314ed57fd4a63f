"""ConversionReport: what every activation became, and how far the network is from its ANN."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from textwrap import wrap
from typing import Any


@dataclass(frozen=True)
class LayerReport:
    """One activation and its neuron.

    node, path        name in the network, dotted path in the ANN
    threshold         (smallest, median, largest) theta, in the ANN's units
    clipped           share of the non-zero calibration activations above theta
    rate              expected spikes per neuron and step: mean activation / theta
    error             |r - a| / |a|: time mean of the spikes in the ANN's units, against the ANN's activation
    inherited         part of it that the layers before handed on: the activation of the mean drive against the ANN's
    clipping          part of it from mean drives above theta
    quantisation      part of it from counts being whole numbers
    unevenness        part of it from the order in which the drive arrived; these four do not add up in squares
    spikes            per neuron and inference, at the T of the report
    """

    node: str
    path: str
    threshold: tuple[float, float, float]
    clipped: float
    rate: float
    error: float
    inherited: float
    clipping: float
    quantisation: float
    unevenness: float
    spikes: float


@dataclass(frozen=True)
class ConversionReport:
    """What `convert` did.

    layers          one `LayerReport` per activation, in order
    recipe, tuned   name of the recipe; the T it was asked to suit (None: any)
    steps, samples  T and number of calibration inputs the errors were measured at, shown at every step
    output_error    |y - ANN| / |ANN| of the time mean of the output
    calibrated      number of calibration inputs
    spikes, operations   spikes sent and synaptic operations, per inference, on those inputs
    float_operators      "node: function" of what runs as float operators through temporal difference: no spikes
    warnings        one line each
    reason          what an automatic choice was made by ("" where nothing was chosen)
    """

    layers: tuple[LayerReport, ...]
    recipe: str
    tuned: int | None
    steps: int
    samples: int
    calibrated: int
    output_error: float
    spikes: float
    operations: float
    float_operators: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """The report as plain numbers, lists and dicts."""
        described = asdict(self)
        described["layers"] = [{**asdict(layer), "threshold": list(layer.threshold)} for layer in self.layers]
        described["warnings"], described["float_operators"] = list(self.warnings), list(self.float_operators)
        return described

    def __str__(self) -> str:
        width = min(max([5, *(len(layer.node) for layer in self.layers)]), 24)
        head = f"{'layer':{width}} theta min    median       max  clipped   rate  error before   clip  quant uneven"
        rows = [_row(layer, width) for layer in self.layers]
        last = (
            f"output error {self.output_error:.4f} at T = {self.steps} on {self.samples} of {self.calibrated} "
            f"calibration inputs, recipe {self.recipe}"
        )
        spent = f"{self.spikes:,.0f} spikes and {self.operations:,.0f} synaptic operations per inference"
        floats = [f"float operators, not spikes: {', '.join(self.float_operators)}"] if self.float_operators else []
        chosen = wrap(f"chosen by {self.reason}", 100, subsequent_indent="  ") if self.reason else []
        used = wrap(last, 100, subsequent_indent="  ")
        return "\n".join([head, *rows, *used, spent, *floats, *chosen, *(f"warning: {line}" for line in self.warnings)])


def _row(layer: LayerReport, width: int) -> str:
    name = layer.node if len(layer.node) <= width else "…" + layer.node[1 - width :]
    thetas = " ".join(f"{theta:9.4g}" for theta in layer.threshold)
    errors = (layer.error, layer.inherited, layer.clipping, layer.quantisation, layer.unevenness)
    parts = " ".join(f"{part:6.3f}" for part in errors)
    return f"{name:{width}} {thetas}  {layer.clipped:7.2%} {layer.rate:6.3f} {parts}"
