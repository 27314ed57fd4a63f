"""Capture: a trained ANN as a draft, without changing it.

An `nn.Module` is traced by torch.fx in milliseconds; where fx cannot (branches on shapes), meets something that is not
supported, or gives a graph that does not compute what the model computes, torch.export does. An ONNX file is read
directly (`onnx_file.py`). Whatever the way, the draft must give the model's own output before anything else happens.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, fx, nn

from ..core.packing import Shapes, unpacked
from ..errors import ConversionError, must
from .attention import written_out
from .calibration import Calibration
from .draft import Draft, needed
from .reading import Reading, Tracer
from .sketch import Sketch
from .staircase import as_neurons

TOLERANCE = 1e-4
"""Largest difference between draft and model on the example, relative to the largest output."""


def capture(
    ann: nn.Module, example: Tensor, calibration: Calibration, precision: torch.dtype = torch.float32
) -> Draft:  # fmt: skip
    """The draft of `ann`, traced on example (B, *shape); several inputs packed as in `calibration`.

    Raises ConversionError: weights that are not finite, layers that are not supported (all of them in one line), a
    forward that cannot be traced; ShapeError: an example that does not fit the first layers.
    """
    must_be_finite(ann)
    twin = copy.deepcopy(ann).eval().requires_grad_(False).to(precision)
    example, parts = example.to(precision), calibration.parts or (tuple(example.shape[1:]),)
    sketched = getattr(twin, "sketched", None)
    if sketched is not None:  # read from a file: the graph is known
        sketch, result = sketched(example, parts)
        return _draft(sketch, result, example, calibration)
    plain = written_out(twin)
    failures: list[ConversionError] = []
    for trace in (_by_fx, _by_export):
        try:
            graph_module = trace(plain, _apart(example, parts))
        except Exception as error:  # the user's forward met a proxy: anything may be raised
            failures.append(_untraceable(error))
            continue
        try:
            reading = Reading(graph_module, plain, example, parts)
            reading.run(*_apart(example, parts))
            draft = _draft(reading.checked(), reading.result, example, calibration)
        except ConversionError as error:
            failures.append(error)
            continue
        off = _disagreement(draft, twin, example, parts)
        if off <= TOLERANCE:
            return draft
        rule = "a fixed function of its layers in eval mode"
        failures.append(ConversionError(must("ann.forward", rule, f"outputs {off:.2g} off those of its traced layers")))
    raise next((f for f in failures if "supported layer" in str(f)), failures[-1])


def _draft(sketch: Sketch, result: str, example: Tensor, calibration: Calibration) -> Draft:
    nodes = as_neurons(needed(sketch.nodes, result), result, example.dtype)
    draft = Draft(nodes, result, tuple(example.shape[1:]), calibration)
    if not draft.neurons():
        raise ConversionError(must("ann", "a network with ReLU activations", "none", "nothing would spike"))
    return draft


def must_be_finite(ann: nn.Module) -> None:
    """Refuse weights that are not finite or not there yet, by name."""
    for name, tensor in [*ann.named_parameters(), *ann.named_buffers()]:
        if nn.parameter.is_lazy(tensor):
            raise ConversionError(must(f"ann.{name}", "initialised", "a lazy parameter", "run the model once"))
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            bad = tensor.detach()[~torch.isfinite(tensor)][0].item()
            raise ConversionError(must(f"ann.{name}", "finite", f"{bad}", "the training diverged"))


def _apart(example: Tensor, parts: Shapes) -> tuple[Tensor, ...]:
    """Copies of the tensors that the model takes."""
    return tuple(part.clone() for part in unpacked(example, parts))


def _by_fx(twin: nn.Module, inputs: tuple[Tensor, ...]) -> fx.GraphModule:
    return fx.GraphModule(twin, Tracer().trace(twin))


def _by_export(twin: nn.Module, inputs: tuple[Tensor, ...]) -> fx.GraphModule:
    return torch.export.export(twin, inputs, strict=False).module()  # type: ignore[return-value]


def _untraceable(error: Exception) -> ConversionError:
    said = str(error).strip().splitlines()
    got = f"{type(error).__name__}: {said[0] if said else ''}"
    return ConversionError(must("ann.forward", "traceable: no branch on data values", got))


def _disagreement(draft: Draft, twin: nn.Module, example: Tensor, parts: Shapes) -> float:
    """Largest difference between the draft's and the model's output, relative to the model's largest (at least 1)."""
    with torch.no_grad():
        wanted = twin(*_apart(example, parts))
    got = draft.values(example)[draft.output]
    if not isinstance(wanted, Tensor) or got.shape != wanted.shape:
        return float("inf")
    return float((got - wanted).abs().max()) / max(float(wanted.abs().max()), 1.0)
