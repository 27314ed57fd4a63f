"""Capture: an `nn.Module` as a draft, without changing it.

torch.fx traces the forward in milliseconds; where it cannot (branches on shapes) or its graph does not compute what
the model computes, torch.export does. Either graph is interpreted once on an example, so that shapes and constants
are values, and every operation becomes a plain module. The draft must then give the model's own output.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, fx, nn

from ..errors import ConversionError, ShapeError, must
from ..network import INPUT
from .calibration import Calibration
from .draft import Draft, Node
from .operations import ADDITIONS, LEAVES, SUPPORTED, module_of_function, module_of_module

TOLERANCE = 1e-4
"""Largest difference between draft and model on the example, relative to the largest output."""


def capture(ann: nn.Module, example: Tensor, calibration: Calibration) -> Draft:
    """The draft of `ann`, traced on example (B, *shape).

    Raises ConversionError: weights that are not finite, layers that are not supported (all of them in one line), a
    forward that cannot be traced; ShapeError: an example that does not fit the first layers.
    """
    _must_be_finite(ann)
    twin = copy.deepcopy(ann).eval().requires_grad_(False).float()
    failures: list[ConversionError] = []
    for trace in (_by_fx, _by_export):
        try:
            graph_module = trace(twin, example.clone())
        except Exception as error:  # the user's forward met a proxy: anything may be raised
            failures.append(_untraceable(error))
            continue
        draft = _read(graph_module, twin, example, calibration)
        off = _disagreement(draft, twin, example)
        if off <= TOLERANCE:
            return draft
        rule = "a fixed function of its layers in eval mode"
        failures.append(ConversionError(must("ann.forward", rule, f"outputs {off:.2g} off those of its traced layers")))
    raise failures[-1]


def _read(graph_module: fx.GraphModule, twin: nn.Module, example: Tensor, calibration: Calibration) -> Draft:
    reading = _Reading(graph_module, twin)
    reading.run(example.clone())
    return reading.draft(calibration)


def _must_be_finite(ann: nn.Module) -> None:
    for name, tensor in [*ann.named_parameters(), *ann.named_buffers()]:
        if nn.parameter.is_lazy(tensor):
            raise ConversionError(must(f"ann.{name}", "initialised", "a lazy parameter", "run the model once"))
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            bad = tensor.detach()[~torch.isfinite(tensor)][0].item()
            raise ConversionError(must(f"ann.{name}", "finite", f"{bad}", "the training diverged"))


class _Tracer(fx.Tracer):
    """fx's tracer that also keeps subclasses of the supported layers whole, unless they have a forward of their own."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        base = next((kind for kind in LEAVES if isinstance(m, kind)), None)
        if base is not None:
            return type(m).forward is base.forward
        return super().is_leaf_module(m, module_qualified_name)


def _by_fx(twin: nn.Module, example: Tensor) -> fx.GraphModule:
    return fx.GraphModule(twin, _Tracer().trace(twin))


def _by_export(twin: nn.Module, example: Tensor) -> fx.GraphModule:
    return torch.export.export(twin, (example,), strict=False).module()  # type: ignore[return-value]


def _untraceable(error: Exception) -> ConversionError:
    said = str(error).strip().splitlines()
    got = f"{type(error).__name__}: {said[0] if said else ''}"
    return ConversionError(must("ann.forward", "traceable: no branch on data values", got))


def _disagreement(draft: Draft, twin: nn.Module, example: Tensor) -> float:
    """Largest difference between the draft's and the model's output, relative to the model's largest (at least 1)."""
    with torch.no_grad():
        wanted = twin(example.clone())
    got = draft.values(example)[draft.output]
    if got.shape != wanted.shape:
        return float("inf")
    return float((got - wanted).abs().max()) / max(float(wanted.abs().max()), 1.0)


class _Reading(fx.Interpreter):
    """Interprets a traced graph once and writes a draft node for every operation on an activation."""

    def __init__(self, graph_module: fx.GraphModule, ann: nn.Module) -> None:
        super().__init__(graph_module)
        self.ann, self.nodes, self.refused = ann, [], []  # type: ignore[var-annotated]
        self.named: dict[fx.Node, str] = {}  # which draft node carries a traced node's value
        self.taken = {INPUT}
        self.result, self.extra_traceback = "", False
        self.shape: tuple[int, ...] = ()

    def draft(self, calibration: Calibration) -> Draft:
        """The draft; ConversionError where something was not supported or no activation was found."""
        if self.refused:
            (path, kind), *more = self.refused
            got = kind + "".join(f", and {k} at {p}" for p, k in more)
            sentence = f"{path} must be a supported layer, got {got}; supported: {SUPPORTED}"
            raise ConversionError(sentence)
        if not any(isinstance(node.module, nn.ReLU) for node in self.nodes):
            raise ConversionError(must("ann", "a network with ReLU activations", "none", "nothing would spike"))
        return Draft(tuple(self.nodes), self.result, self.shape, calibration)

    def run_node(self, n: fx.Node) -> Any:
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        try:
            value = super().run_node(n)
        except (RuntimeError, ValueError) as error:
            raise self._unfit(n, args, error) from None
        if n.op == "placeholder":
            self._begin(n, value)
        elif n.op == "output":
            self._end(n)
        elif n.op != "get_attr" and isinstance(value, Tensor):
            self._write(n, args, kwargs, value)
        return value

    def _begin(self, n: fx.Node, value: Any) -> None:
        if INPUT in self.named.values():
            if isinstance(value, Tensor):
                raise ConversionError(must("ann.forward", "a function of one tensor", "several inputs"))
            return
        self.named[n], self.shape = INPUT, tuple(value.shape[1:])

    def _end(self, n: fx.Node) -> None:
        out = n.args[0]
        if isinstance(out, (tuple, list)) and len(out) == 1:
            out = out[0]
        if not isinstance(out, fx.Node) or out not in self.named:
            raise ConversionError(must("ann.forward", "a function with one tensor as result", type(n.args[0]).__name__))
        self.result = self.named[out]

    def _write(self, n: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any], value: Tensor) -> None:
        """Add the draft node of one operation, or join its readers to its source where it changes nothing."""
        sources = tuple(self.named[a] for a in n.args if isinstance(a, fx.Node) and a in self.named)
        if not sources and not any(a in self.named for a in n.all_input_nodes):
            return  # a constant
        path, kind = self._place(n)
        module = self._module(n, args, kwargs, value, len(sources))
        if module is None:
            self.refused.append((f"ann.{path}", kind))
            self.named[n] = INPUT
            return
        if isinstance(module, nn.Identity) and len(sources) == 1:
            self.named[n] = sources[0]
            return
        name = self._free(path)
        self.nodes.append(Node(name, module, sources, path))
        if self._in_place(n, kwargs):  # whoever reads the argument from now on reads the result
            self.named = {k: name if v == sources[0] else v for k, v in self.named.items()}
        self.named[n] = name

    def _module(
        self, n: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any], value: Tensor, sources: int
    ) -> nn.Module | None:
        if n.op == "call_module":
            submodule = self.module.get_submodule(str(n.target))
            return module_of_module(submodule, args[0], value) if sources == 1 else None
        name = _operation(n)
        if name in ADDITIONS:
            return nn.Identity() if sources == 2 and kwargs.get("alpha", 1) == 1 else None
        return module_of_function(name, args, kwargs, value) if sources == 1 else None

    def _place(self, n: fx.Node) -> tuple[str, str]:
        """(dotted path, kind) of an operation: a layer's own path, or its module's path with the function's name."""
        if n.op == "call_module":
            return str(n.target), type(self.module.get_submodule(str(n.target))).__name__
        stack = [path for path, _ in n.meta.get("nn_module_stack", {}).values()]
        inside = stack[-1].split("@")[0] if stack else ""
        enclosing = self.ann.get_submodule(inside) if inside else self.ann
        if inside and type(enclosing).__module__.startswith("torch.nn"):
            return inside, type(enclosing).__name__
        name = _operation(n).removeprefix("functional_").rstrip("_")
        return (f"{inside}.{name}" if inside else name), name

    def _in_place(self, n: fx.Node, kwargs: dict[str, Any]) -> bool:
        if n.op == "call_module":
            return bool(getattr(self.module.get_submodule(str(n.target)), "inplace", False))
        name = _operation(n)
        return bool(kwargs.get("inplace", False)) or name == "iadd" or (name.endswith("_") and n.op != "get_attr")

    def _free(self, path: str) -> str:
        name, number = path, 0
        while name in self.taken:
            number += 1
            name = f"{path}_{number}"
        self.taken.add(name)
        return name

    def _unfit(self, n: fx.Node, args: tuple[Any, ...], error: Exception) -> Exception:
        """The refusal for a layer that could not run: almost always an input of the wrong shape."""
        path, _ = self._place(n)
        module = self.ann.get_submodule(path) if n.op == "call_module" else None
        shape = f"({', '.join(['N', *map(str, self.shape)])})"
        got = tuple(args[0].shape) if args and isinstance(args[0], Tensor) else type(error).__name__
        if isinstance(module, nn.Conv2d):
            rule = f"inputs that reach ann.{path} as (N, {module.in_channels}, H, W)"
        elif isinstance(module, nn.Linear):
            rule = f"inputs that reach ann.{path} as (N, {module.in_features})"
        else:
            rule = f"inputs that ann.{path} takes"
        return ShapeError(must("convert.calibration", rule, f"{shape}, which gets there as {got}"))


def _operation(n: fx.Node) -> str:
    """The plain name of a function, method or ATen operator."""
    if n.op == "call_method":
        return str(n.target)
    if n.target is nn.functional.batch_norm:
        return "functional_batch_norm"
    schema = getattr(n.target, "_schema", None)
    return schema.name.split("::")[-1] if schema is not None else getattr(n.target, "__name__", str(n.target))
