"""ONNX files: read with the `onnx` package and nothing else, as a model that `convert` takes like any other.

Constants are folded by onnx's own reference evaluator, one node at a time; the same evaluator says what the file
computes, and the draft is held to it. Files that point outside their folder are refused before anything is read.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.packing import Shapes, unpacked
from ..errors import ArtefactError, ConversionError, must
from .onnx_operators import OPERATORS
from .operations import SUPPORTED
from .read_model import ReadModel
from .sketch import Ref, Sketch, Unsupported

LARGEST = 2**31
"""Bytes of the largest tensor that is read."""


class OnnxModel(ReadModel):
    """An ONNX file as a torch module: x (B, *shape) -> (B, ...), computed by the nodes the file was read into."""

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = Path(path)
        self.model = loaded(self.path)

    @property
    def input_shapes(self) -> tuple[tuple[int | None, ...], ...]:
        """(*shape) that the file asks for, of every input; None where it leaves a size open."""
        dims = [list(value.type.tensor_type.shape.dim) for value in _inputs(self.model)]
        return tuple(tuple(d.dim_value or None for d in some[1:]) for some in dims)

    def _sketch(self, example: Tensor, parts: Shapes) -> tuple[Sketch, str]:
        """Read on one sample: files often have a batch of one written into them."""
        found = _Reader(self.model).read(example[:1], parts)
        self._must_agree(unpacked(example[:1], parts), found[0].values[found[1]].numpy())
        return found

    def _must_agree(self, parts: Sequence[Tensor], got: np.ndarray) -> None:
        """What was read must compute what onnx's own evaluator computes."""
        from onnx.reference import ReferenceEvaluator

        feeds = {value.name: x.numpy() for value, x in zip(_inputs(self.model), parts)}
        try:
            said: Any = ReferenceEvaluator(self.model).run(None, feeds)
        except Exception as error:  # it does not know every operator in every form
            warnings.warn(
                f"{self.path.name} is not checked: onnx's own evaluator cannot run it ({error})", stacklevel=2
            )
            return
        wanted = said[0]
        off = float("inf")
        if got.size == wanted.size:
            off = float(np.abs(got.ravel() - wanted.ravel()).max()) / max(float(np.abs(wanted).max()), 1.0)
        if off > 1e-4:
            rule = "read to what onnx's reference evaluator computes"
            raise ConversionError(must(f"{self.path.name}", rule, f"outputs {off:.2g} off"))


def loaded(path: Path) -> Any:
    """The model in a file, checked: there, whole, of sane sizes, with no data outside its folder."""
    try:
        import onnx
    except ImportError:
        raise ArtefactError(
            must("onnx", "installed to read ONNX files", "no such package", 'pip install "spikesim[onnx]"')
        ) from None
    try:
        model = onnx.load(path, load_external_data=False)
    except FileNotFoundError:
        raise ArtefactError(must("MODEL", "a file that is there", str(path), "check the path")) from None
    except Exception as error:  # protobuf's own errors have no common base
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise ArtefactError(must("MODEL", "a whole ONNX file", f"{path} ({said})")) from None
    if not model.graph.node or not _inputs(model):
        raise ArtefactError(must("MODEL", "a whole ONNX file", f"{path}, which holds no graph"))
    for tensor in model.graph.initializer:
        _must_be_sane(tensor, path)
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        onnx.load_external_data_for_model(model, str(path.parent))
    for tensor in model.graph.initializer:
        _must_be_finite(tensor, path)
    return model


def _must_be_sane(tensor: Any, path: Path) -> None:
    import onnx

    size = int(np.prod([int(n) for n in tensor.dims], dtype=object)) if tensor.dims else 1
    bytes_each = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    if size < 0 or size * bytes_each > LARGEST:
        rule = f"tensors of at most {LARGEST >> 30} GiB"
        raise ArtefactError(must(f"{path.name} {tensor.name}", rule, f"shape {list(tensor.dims)}"))
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        if tensor.raw_data and len(tensor.raw_data) != size * bytes_each:
            got = f"{len(tensor.raw_data)} bytes for shape {list(tensor.dims)}"
            raise ArtefactError(must(f"{path.name} {tensor.name}", "as long as its shape says", got))
        return
    where = next((e.value for e in tensor.external_data if e.key == "location"), "")
    inside = PurePosixPath(where)
    folder = path.parent.resolve()
    if inside.is_absolute() or ".." in inside.parts or not (folder / where).resolve().is_relative_to(folder):
        raise ArtefactError(must(f"{path.name} {tensor.name}", "data inside the file's folder", where))
    if not (folder / where).is_file():
        raise ArtefactError(must(f"{path.name} {tensor.name}", "data in a file that is there", where))


def _must_be_finite(tensor: Any, path: Path) -> None:
    from onnx import numpy_helper

    values = numpy_helper.to_array(tensor)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ConversionError(must(f"{path.name} {tensor.name}", "finite", "nan or inf", "the training diverged"))


def _inputs(model: Any) -> list[Any]:
    """The graph's inputs that are no weights (old files list those too)."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


class _Reader:
    """Walks the graph once: constants are folded, operators write the sketch."""

    def __init__(self, model: Any) -> None:
        from onnx import numpy_helper

        self.model, self.refused = model, list[tuple[str, str]]()
        self.values: dict[str, Any] = {
            tensor.name: _single(torch.from_numpy(numpy_helper.to_array(tensor).copy()))
            for tensor in model.graph.initializer
        }

    def read(self, example: Tensor, parts: Shapes) -> tuple[Sketch, str]:
        sketch, names = Sketch(example), [value.name for value in _inputs(self.model)]
        self.values.update(zip(names, sketch.inputs(names, parts)))
        for node in self.model.graph.node:
            self._write(sketch, node)
        if self.refused:
            (path, kind), *more = self.refused
            got = kind + "".join(f", and {k} at {p}" for p, k in more)
            raise ConversionError(f"{path} must be a supported operator, got {got}; supported: {SUPPORTED}")
        result = self.values.get(self.model.graph.output[0].name)
        if not isinstance(result, Ref):
            raise ConversionError(must("MODEL", "a function of its input", "a constant"))
        return sketch, result.name

    def _write(self, sketch: Sketch, node: Any) -> None:
        from onnx import helper

        given = [self.values.get(name) if name else None for name in node.input]
        if any(value is _REFUSED for value in given):
            self.values.update(dict.fromkeys(node.output, _REFUSED))
            return
        attributes = {a.name: _plain(helper.get_attribute_value(a)) for a in node.attribute}
        sketch.path = (node.name or node.output[0]).strip("/").replace("/", ".")
        try:
            found = self._found(sketch, node, given, attributes)
        except (Unsupported, RuntimeError, TypeError, KeyError, IndexError, AttributeError) as error:
            said = f"{node.op_type} ({error})" if isinstance(error, Unsupported) and str(error) else node.op_type
            self.refused.append((sketch.path, said))
            found = _REFUSED
        for name, value in zip(node.output, found if isinstance(found, list) else [found] * len(node.output)):
            self.values[name] = value

    def _found(self, sketch: Sketch, node: Any, given: list[Any], attributes: dict[str, Any]) -> Any:
        if node.op_type == "Shape" and isinstance(given[0], Ref):
            return torch.tensor(given[0].shape[attributes.get("start", 0) : attributes.get("end")])
        if not any(isinstance(value, Ref) for value in given):
            return self._folded(node, given)
        operator = OPERATORS.get(node.op_type)
        if operator is None:
            raise Unsupported
        more = (len(node.output),) if node.op_type == "Split" else ()
        return operator(sketch, given, attributes, *more)

    def _folded(self, node: Any, given: list[Any]) -> list[Tensor]:
        from onnx import defs, helper
        from onnx.reference import ReferenceEvaluator

        feeds = {name: value.numpy() for name, value in zip(node.input, given) if name}
        known = [helper.make_tensor_value_info(name, 1, None) for name in feeds]
        out = [helper.make_tensor_value_info(name, 1, None) for name in node.output]
        graph = helper.make_graph([node], "constant", known, out)
        opsets = list(self.model.opset_import) or [helper.make_opsetid("", defs.onnx_opset_version())]
        model = helper.make_model(graph, opset_imports=opsets)
        return [
            _single(torch.from_numpy(np.asarray(value).copy())) for value in ReferenceEvaluator(model).run(None, feeds)
        ]


_REFUSED = object()


def _single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
