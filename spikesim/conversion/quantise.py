"""replace_activations: a network whose ReLUs are quantised, to be fine-tuned and then converted for few steps."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from ..core.params import check
from ..errors import ConversionError, must
from ..layers.quantised import QuantisedReLU
from .calibration import Calibration
from .capture import must_be_finite
from .mse_threshold import least_error
from .reading import Tracer
from .statistics import Activity

HOME = "activations"
"""The submodule that holds the new activations."""


@dataclass(frozen=True)
class Qcfs:
    """L levels between 0 and theta: for T = L steps. Bu et al., ICLR 2022.

    levels       L
    per_channel  a theta for each channel of maps and neuron of vectors; else one for the layer
    """

    levels: int = 8
    per_channel: bool = True

    def __post_init__(self) -> None:
        check(self, "levels", at_least=1, integer=True)


@dataclass(frozen=True)
class FastSnn:
    """A b-bit uniform quantiser: L = 2^b - 1 levels between 0 and theta, for T = L steps. Hu et al. 2023."""

    bits: int = 3
    per_channel: bool = False

    def __post_init__(self) -> None:
        check(self, "bits", at_least=1, at_most=16, integer=True)

    @property
    def levels(self) -> int:
        """2^bits - 1."""
        return 2**self.bits - 1


def replace_activations(
    ann: nn.Module, quantisation: Qcfs | FastSnn = Qcfs(), *, calibration: Any
) -> fx.GraphModule:  # fmt: skip
    """A copy of `ann` in which every ReLU and ReLU6 is a `QuantisedReLU`, one of its own wherever it is called.

    ann           nn.Module; never changed. Its parameters keep their names
    quantisation  `Qcfs(levels)` or `FastSnn(bits)`
    calibration   inputs x (N, *shape) as for `convert`: every theta starts where the quantisation errs least on them

    Fine-tune the copy with `spikesim.training.fit`, then `convert` it: thresholds are the trained theta. What it cannot
    do: a forward that torch.fx cannot trace (branches on shapes or data) is refused; dropout called as a function stays
    off; other activations than ReLU and ReLU6 stay as they are.
    Raises ConversionError (no trace, no ReLU, weights), ParameterError and ShapeError (calibration).
    """
    must_be_finite(ann)
    twin = copy.deepcopy(ann).eval()
    data = Calibration(calibration, next(twin.parameters(), torch.empty(0)).device)
    try:
        model = fx.GraphModule(twin, Tracer().trace(twin))
    except Exception as error:  # the user's forward met a proxy: anything may be raised
        said = (str(error).strip().splitlines() or [""])[0]
        rule = "traceable by torch.fx: no branch on shapes or values"
        raise ConversionError(must("ann.forward", rule, f"{type(error).__name__}: {said}")) from None
    observers = _observed(model)
    if not observers:
        raise ConversionError(must("ann", "a network with ReLU activations", "none", "nothing to quantise"))
    with torch.no_grad():
        for x, count in data.chunks():
            for observer in observers.values():
                observer.counted = count
            model(x)
    for path, observer in observers.items():
        model.add_submodule(path, observer.quantised(quantisation))
    return model.train(ann.training)


def _observed(model: fx.GraphModule) -> dict[str, _Observer]:
    """Put an observer in place of every ReLU; path -> observer."""
    modules, order = dict(model.named_modules()), {n: i for i, n in enumerate(model.graph.nodes)}
    found: dict[str, _Observer] = {}
    for node in order:
        ceiling = _ceiling(node, modules)
        if ceiling is None:
            continue
        path = f"{HOME}.{node.name}"
        found[path] = _Observer(ceiling)
        model.add_submodule(path, found[path])
        (source, *_) = node.all_input_nodes
        with model.graph.inserting_after(node):
            fresh = model.graph.call_module(path, (source,))
        if _in_place(node, modules):  # whoever reads the argument later reads the result
            source.replace_all_uses_with(fresh, lambda user, now=order[node]: order.get(user, -1) > now)  # type: ignore[misc]
        node.replace_all_uses_with(fresh)
        model.graph.erase_node(node)
    model.delete_all_unused_submodules()
    model.recompile()
    return found


def _ceiling(node: fx.Node, modules: dict[str, nn.Module]) -> float | None:
    """The largest value of a ReLU (infinity) or ReLU6 (6); None for any other operation."""
    if node.op == "call_module":
        module = modules.get(str(node.target))
        if type(module) is nn.ReLU6:
            return 6.0
        return float("inf") if type(module) is nn.ReLU else None
    if node.target in (functional.relu6,):
        return 6.0
    functions = (functional.relu, functional.relu_, torch.relu, torch.relu_)
    plain = node.target in functions if node.op == "call_function" else node.target in ("relu", "relu_")
    return float("inf") if plain and node.op in ("call_function", "call_method") else None


def _in_place(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return bool(getattr(modules[str(node.target)], "inplace", False))
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    return name.endswith("_") or bool(node.kwargs.get("inplace", False)) or True in node.args[1:]


class _Observer(nn.Module):
    """relu, and the statistics of what it gives."""

    def __init__(self, ceiling: float) -> None:
        super().__init__()
        self.ceiling, self.counted = ceiling, 0
        self.activity: Activity | None = None
        self.axes = 1

    def forward(self, z: Tensor) -> Tensor:
        a = z.clamp(0, self.ceiling)
        if self.activity is None:
            self.activity, self.axes = Activity(a.shape[1], a.device, histogram=True), a.ndim - 1
        self.activity.add(a[: self.counted])
        return a

    def quantised(self, quantisation: Qcfs | FastSnn) -> QuantisedReLU:
        """The activation that errs least on what was seen."""
        assert self.activity is not None
        values, counts, peak = self.activity.values(), self.activity.counts(), self.activity.peak
        if not quantisation.per_channel:
            values, counts, peak = values.reshape(1, -1), counts.reshape(1, -1), peak.amax(0, keepdim=True)
        theta = least_error(values, counts, peak, quantisation.levels)
        theta = torch.where(theta > 0, theta, theta.amax().clamp(min=1e-3))
        shape = (-1, *[1] * (self.axes - 1)) if quantisation.per_channel else ()
        theta = theta.reshape(shape)
        fresh = QuantisedReLU(quantisation.levels, tuple(theta.shape)).to(theta.device)
        fresh.threshold.data = theta.clone()
        return fresh
