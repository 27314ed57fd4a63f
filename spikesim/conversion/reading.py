"""Reading a traced graph (torch.fx or torch.export): it is interpreted once on an example, so that shapes and constants
are values, and every operation on an activation is written into the sketch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from ..core.packing import Shapes
from ..errors import ConversionError, ShapeError, must
from ..network import INPUT
from .operations import LEAVES, OPERATIONS, REARRANGEMENTS, SUPPORTED, UNCHANGED, module_call
from .sketch import Ref, Sketch, Unsupported


class Tracer(fx.Tracer):
    """fx's tracer that also keeps subclasses of the supported layers whole, unless they have a forward of their own."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        base = next((kind for kind in LEAVES if isinstance(m, kind)), None)
        if base is not None:
            return type(m).forward is base.forward
        return super().is_leaf_module(m, module_qualified_name)


class Reading(fx.Interpreter):
    """Interprets a traced graph once and writes the sketch of every operation on an activation."""

    def __init__(self, graph_module: fx.GraphModule, ann: nn.Module, example: Tensor, parts: Shapes) -> None:
        super().__init__(graph_module)
        self.ann, self.sketch = ann, Sketch(example)
        names = [str(n.target) for n in graph_module.graph.nodes if n.op == "placeholder"]
        self.parts = self.sketch.inputs(names, parts)
        self.refused: list[tuple[str, str]] = []
        self.named: dict[fx.Node, Any] = {}  # what a traced node's value is here: a Ref, or a list of them
        self.result, self.extra_traceback = "", False

    def run_node(self, n: fx.Node) -> Any:
        args, _ = self.fetch_args_kwargs_from_env(n)
        try:
            value = super().run_node(n)
        except (RuntimeError, ValueError) as error:
            raise self._unfit(n, args, error) from None
        if n.op == "placeholder":
            self._begin(n, value)
        elif n.op == "output":
            self._end(n)
        elif n.op != "get_attr" and _holds_tensor(value) and any(a in self.named for a in n.all_input_nodes):
            self._write(n)
        return value

    def checked(self) -> Sketch:
        """The sketch; ConversionError where something was not supported."""
        if self.refused:
            (path, kind), *more = self.refused
            got = kind + "".join(f", and {k} at {p}" for p, k in more)
            raise ConversionError(f"{path} must be a supported layer, got {got}; supported: {SUPPORTED}")
        return self.sketch

    def _begin(self, n: fx.Node, value: Any) -> None:
        if isinstance(value, Tensor):
            self.named[n] = self.parts[len(self.named)]

    def _end(self, n: fx.Node) -> None:
        out = n.args[0]
        if isinstance(out, (tuple, list)) and len(out) == 1:
            out = out[0]
        if not isinstance(out, fx.Node) or not isinstance(self.named.get(out), Ref):
            raise ConversionError(must("ann.forward", "a function with one tensor as result", type(n.args[0]).__name__))
        self.result = self.named[out].name

    def _write(self, n: fx.Node) -> None:
        path, kind = self._place(n)
        self.sketch.path = path
        try:
            written = self._written(n)
        except (Unsupported, RuntimeError, TypeError, AttributeError, IndexError) as error:
            said = f"{kind} ({error})" if isinstance(error, Unsupported) and str(error) else kind
            self.refused.append((f"ann.{path}", said))
            self.named[n] = _REFUSED  # the rest is read only to name what else is refused
            return
        if self._in_place(n):  # whoever reads the argument from now on reads the result
            first = self.named[n.args[0]]  # type: ignore[index]
            self.named = {k: written if v == first else v for k, v in self.named.items()}
        self.named[n] = written

    def _written(self, n: fx.Node) -> Any:
        args, kwargs = self._arguments(n)
        if _mentions(args, kwargs, _REFUSED):
            if not self._known(n):
                raise Unsupported
            return _REFUSED
        if n.op == "call_module":
            module = self.module.get_submodule(str(n.target))
            call = module_call(module)
            if call is None:
                raise Unsupported
            name, more, extra = call
            if name in REARRANGEMENTS:
                return self.sketch.rearranged(args[0], module)
            return self._called(name, (*args, *more), {**kwargs, **extra}, module)
        return self._called(operation_name(n), args, kwargs, n.target)

    def _known(self, n: fx.Node) -> bool:
        """Whether an operation is supported in some form: all that is said of those behind a refused one."""
        if n.op == "call_module":
            return module_call(self.module.get_submodule(str(n.target))) is not None
        name = operation_name(n)
        return name in OPERATIONS or name in REARRANGEMENTS or name in UNCHANGED

    def _called(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], function: Any) -> Any:
        if name in UNCHANGED:
            if "dropout" in name and not isinstance(function, nn.Module) and _drops(args, kwargs):
                raise Unsupported("active in eval mode")
            return args[0]
        if name == "getitem" and isinstance(args[0], list):
            return args[0][args[1]]
        if name in REARRANGEMENTS:
            return self._moved(name, args, kwargs, function)
        operation = OPERATIONS.get(name)
        if operation is None:
            raise Unsupported
        return operation(self.sketch, *args, **kwargs)

    def _moved(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], function: Any) -> Any:
        """A function that only moves values, tried on their numbers; several results become a list."""
        x = args[0]
        if not isinstance(x, Ref):
            raise Unsupported
        many = False

        def moved(t: Tensor) -> tuple[Tensor, ...]:
            nonlocal many
            y = (
                getattr(t, function)(*args[1:], **kwargs)
                if isinstance(function, str)
                else function(t, *args[1:], **kwargs)
            )
            many = isinstance(y, (tuple, list))
            return tuple(y) if many else (y,)

        found = [self.sketch.picked(x, index) for index in self.sketch.indices(x, moved)]
        return found if many else found[0]

    def _arguments(self, n: fx.Node) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with a Ref for every activation and values for all else."""

        def value(a: fx.Node) -> Any:
            return self.named[a] if a in self.named else self.env[a]

        return fx.node.map_arg(n.args, value), fx.node.map_arg(n.kwargs, value)  # type: ignore[return-value]

    def _place(self, n: fx.Node) -> tuple[str, str]:
        """(dotted path, kind) of an operation: a layer's own path, or its module's path with the function's name."""
        if n.op == "call_module":
            return str(n.target), type(self.module.get_submodule(str(n.target))).__name__
        stack = [path for path, _ in n.meta.get("nn_module_stack", {}).values()]
        inside = stack[-1].split("@")[0] if stack else ""
        enclosing = self.ann.get_submodule(inside) if inside else self.ann
        if inside and type(enclosing).__module__.startswith("torch.nn"):
            return inside, type(enclosing).__name__
        name = operation_name(n).removeprefix("functional_").rstrip("_")
        return (f"{inside}.{name}" if inside else name), name

    def _in_place(self, n: fx.Node) -> bool:
        if n.op == "call_module":
            return bool(getattr(self.module.get_submodule(str(n.target)), "inplace", False))
        name = operation_name(n)
        return bool(n.kwargs.get("inplace", False)) or name in _AUGMENTED or (name.endswith("_") and n.op != "get_attr")

    def _unfit(self, n: fx.Node, args: tuple[Any, ...], error: Exception) -> Exception:
        """The refusal for a layer that could not run: almost always an input of the wrong shape."""
        path, _ = self._place(n)
        module = self.ann.get_submodule(path) if n.op == "call_module" else None
        shape = f"({', '.join(['N', *map(str, self.sketch.input.shape[1:])])})"
        got = tuple(args[0].shape) if args and isinstance(args[0], Tensor) else type(error).__name__
        if isinstance(module, nn.Conv2d):
            rule = f"inputs that reach ann.{path} as (N, {module.in_channels}, H, W)"
        elif isinstance(module, nn.Linear):
            rule = f"inputs that reach ann.{path} as (N, {module.in_features})"
        else:
            rule = f"inputs that ann.{path} takes"
        return ShapeError(must("convert.calibration", rule, f"{shape}, which gets there as {got}"))


_REFUSED = Ref(f"{INPUT} of a refused layer", ())
_AUGMENTED = ("iadd", "isub", "imul", "itruediv")


def operation_name(n: fx.Node) -> str:
    """The plain name of a function, method or ATen operator."""
    if n.op == "call_method":
        return str(n.target)
    if n.target in (nn.functional.batch_norm, nn.functional.instance_norm):
        return f"functional_{n.target.__name__}"  # type: ignore[union-attr]
    if n.target is getattr and len(n.args) == 2 and n.args[1] in ("T", "mT"):
        return "transpose"
    schema = getattr(n.target, "_schema", None)
    return schema.name.split("::")[-1] if schema is not None else getattr(n.target, "__name__", str(n.target))


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return any(isinstance(part, Tensor) for part in value)
    return isinstance(value, Tensor)


def _mentions(args: Any, kwargs: Any, wanted: Ref) -> bool:
    flat = torch.utils._pytree.tree_leaves((args, kwargs))
    return any(value is wanted for value in flat)


def _drops(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a functional dropout is active: (x, p=0.5, training=True)."""
    share = kwargs.get("p", args[1] if len(args) > 1 else 0.5)
    training = kwargs.get("training", args[2] if len(args) > 2 else kwargs.get("train", True))
    return bool(training) and bool(share)
