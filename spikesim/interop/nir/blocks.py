"""One of our nodes as NIR nodes, with metadata that give exactly this node back where nobody changed it since."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import nn

from ...checkpoint import describe_node, rebuild_node
from ...errors import SpikesimError
from ...layers import Gain, Shift, SparseLinear
from ...neurons import BySubtraction, Integrator, NoReset
from ...neurons._leaky import LeakyNeuron
from .base import OURS, Unsaid
from .layers import OUT, Parts, Shape, shape_after
from .neurons import integrator_out, leaky_out

REMARKABLE = (LeakyNeuron, Integrator, Gain, Shift, SparseLinear, nn.BatchNorm1d, nn.BatchNorm2d, nn.AdaptiveAvgPool2d)
"""Kinds that NIR's fields alone would not give back bit for bit."""

SMALL = 4096
"""A number in a node's settings that asks for no more memory than any file may."""

_REASONS = {
    "SignedIF": "signed spikes", "GradedIF": "several spikes a step", "CorrectedIF": "a run in two presentations",
    "MaxPool2d": "max pooling", "CumulativeMaxPool2d": "max pooling over time",
    "TemporalDifference": "a float operator as differences over time", "Concat": "values side by side",
    "Multiply": "a product", "MatMul": "a product", "Attention": "a float operator", "DelayedLinear": "delays of single synapses",
}  # fmt: skip


def exported(module: nn.Module, shape: Shape, out: Shape, dt: float) -> Parts:
    """The NIR nodes of one of ours for inputs of `shape`; Unsaid where there are none."""
    if isinstance(module, LeakyNeuron):
        parts = [("", leaky_out(module, shape, dt))]
    elif isinstance(module, Integrator):
        parts = [("", integrator_out(module, shape, dt))]
    elif type(module) in OUT:
        parts = OUT[type(module)](module, shape, out)
    else:
        raise Unsaid(_REASONS.get(type(module).__name__, "a layer it has no node for"))
    if len(parts) == 1 and isinstance(module, REMARKABLE):
        parts[0][1].metadata = _remarks(module)
    return parts


def _remarks(module: nn.Module) -> dict[str, Any]:
    tensors = {name: _stored(value) for name, value in module.state_dict().items()}
    ours = {"node": json.dumps(describe_node("node", module)), "tensors": tensors}
    if not isinstance(module, LeakyNeuron):
        return {OURS: ours}
    words = {BySubtraction: "subtract", NoReset: "none"}
    plain = {"reset": words.get(type(module.reset), "value"), "v_init": _stored(module.initial)}
    return {**plain, "reset_delay": module.reset.delayed, OURS: ours}


def _stored(value: torch.Tensor) -> Any:
    """A numpy array, or a numpy number: the file takes no compressed scalars."""
    return value.detach().cpu().numpy().copy()[()]


def restored(name: str, node: Any, shape: Shape, dt: float) -> nn.Module | None:
    """The module that `node` was written from; None where it was not ours, or was changed since, or dt is another."""
    ours = node.metadata.get(OURS)
    if not isinstance(ours, dict):
        return None
    try:
        described = json.loads(str(ours["node"]))
        stored = {k: np.asarray(v) for k, v in ours.get("tensors", {}).items()}
        held = sum(a.size for a in stored.values()) + _size(node) + SMALL
        if any(n > held for n in _numbers(described)):
            return None
        tensors = {f"node.{k}": torch.from_numpy(v.copy()) for k, v in stored.items()}
        module = rebuild_node("node", described, tensors)
        if not isinstance(module, REMARKABLE):
            return None
        module.load_state_dict({k.removeprefix("node."): v for k, v in tensors.items()})
        parts = exported(module.eval(), shape, shape_after(module, shape), dt)
    except (Unsaid, SpikesimError, KeyError, TypeError, ValueError, RuntimeError, AttributeError):
        return None
    return module if len(parts) == 1 and same(parts[0][1], node) else None


def same(a: Any, b: Any) -> bool:
    """Whether two NIR nodes have the same numbers."""
    if type(a) is not type(b):
        return False
    names = [f.name for f in fields(a) if f.name not in ("metadata", "input_type", "output_type", "input_shape")]
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)


def _size(node: Any) -> int:
    return sum(a.size for a in vars(node).values() if isinstance(a, np.ndarray))


def _numbers(value: Any) -> Iterator[float]:
    """Every number in JSON."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, (int, float)):
        yield value
