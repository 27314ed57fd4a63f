""".pt2 files (torch.export): the graph is read from its JSON, the weights from their bytes. Nothing in the file is run.

torch's own loader unpickles what it finds, and evaluates guards and symbolic sizes. Here an archive that holds a pickle
of anything but tensors is refused, and operators are looked up among ATen's alone.
"""

from __future__ import annotations

import io
import json
import operator
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from ..core.packing import Shapes, unpacked
from ..errors import ArtefactError, ConversionError, must
from .read_model import ReadModel
from .reading import Reading
from .sketch import Sketch

LARGEST = 2**31
"""Bytes of the largest entry that is read."""

REMEDY = "use .onnx or module:function"
_PLAIN = (".json", "archive_format", "archive_version", "byteorder", ".data/version", ".data/serialization_id")
_DTYPES = {
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16, 7: torch.float32,
    8: torch.float64, 12: torch.bool, 13: torch.bfloat16,
}  # fmt: skip
_SIZES = {f"_operator.{name}": getattr(operator, name) for name in ("add", "sub", "mul", "floordiv", "getitem")}


class ExportedModel(ReadModel):
    """A .pt2 file as a torch module: x (B, *shape) -> (B, ...)."""

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = Path(path)
        self._graph, self._sizes = _loaded(self.path)
        for name, tensor in self._graph.named_buffers():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise ConversionError(must(f"{self.path.name} {name}", "finite", "nan or inf", "the training diverged"))

    @property
    def input_shapes(self) -> tuple[tuple[int | None, ...], ...]:
        """(*shape) of every input; None where the export left a size open."""
        return tuple(tuple(shape[1:]) for shape in self._sizes)

    def _sketch(self, example: Tensor, parts: Shapes) -> tuple[Sketch, str]:
        batch = self._sizes[0][0] or 2  # a program may be exported for one batch size alone
        example = torch.cat([example] * -(-batch // len(example)))[:batch]
        reading = Reading(self._graph, self._graph, example, parts)
        said = reading.run(*(part.clone() for part in unpacked(example, parts)))
        sketch = reading.checked()
        said = said[0] if isinstance(said, (tuple, list)) else said
        off = float((sketch.values[reading.result] - said).abs().max()) / max(float(said.abs().max()), 1.0)
        if off > 1e-4:
            raise ConversionError(must(self.path.name, "read to what its graph computes", f"outputs {off:.2g} off"))
        return sketch, reading.result


def _loaded(path: Path) -> tuple[fx.GraphModule, list[list[int | None]]]:
    """The graph with its tensors as buffers, and the sizes of its inputs (None: left open)."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _Archive(archive, path).graph()
    except FileNotFoundError:
        raise ArtefactError(must("MODEL", "a file that is there", str(path), "check the path")) from None
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, IndexError, RuntimeError, EOFError) as error:
        if isinstance(error, (ArtefactError, ConversionError)):
            raise
        said = (str(error).splitlines() or [""])[0]
        raise ArtefactError(must("MODEL", "a whole .pt2 file", f"{path} ({type(error).__name__}: {said})")) from None


class _Archive:
    """One open archive: what may be in it, its tensors, its graph."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self.archive, self.path = archive, path
        names = archive.namelist()
        formats = [name for name in names if name.endswith("archive_format")]
        if len(formats) != 1:
            raise ArtefactError(must("MODEL", "a .pt2 archive", f"{path}, which is none"))
        self.root = formats[0].removesuffix("archive_format")
        self.configs = {
            kind: self._json(f"data/{kind}/model_{kind}_config.json")["config"] for kind in ("weights", "constants")
        }
        for info in archive.infolist():
            self._must_be_plain(info)

    def _bytes(self, name: str) -> bytes:
        info = self.archive.getinfo(self.root + name)
        if info.file_size > LARGEST:
            raise ArtefactError(must(f"{self.path.name} {name}", f"at most {LARGEST >> 30} GiB", f"{info.file_size} B"))
        return self.archive.read(info)

    def _json(self, name: str) -> Any:
        return json.loads(self._bytes(name)) if self.root + name in self.archive.namelist() else {"config": {}}

    def _must_be_plain(self, info: zipfile.ZipInfo) -> None:
        """Refuse every entry that is neither text, nor raw numbers, nor a pickle of tensors alone."""
        name = info.filename.removeprefix(self.root)
        if info.is_dir() or name.endswith(_PLAIN):
            return
        known = {f"data/{kind}/{entry['path_name']}": entry for kind, c in self.configs.items() for entry in c.values()}
        if name in known and not known[name].get("use_pickle", True):
            return
        if name in known or name.startswith("data/sample_inputs/"):
            try:
                torch.load(io.BytesIO(self._bytes(name)), weights_only=True, map_location="cpu")
                return
            except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError):
                pass
        got = f"{self.path}, whose {name} is not"
        raise ArtefactError(must("MODEL", "a .pt2 file that holds nothing but tensors", got, REMEDY))

    def _tensor(self, kind: str, name: str) -> Tensor:
        entry = self.configs[kind][name]
        data = self._bytes(f"data/{kind}/{entry['path_name']}")
        if entry.get("use_pickle", True):
            value = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
            if not isinstance(value, Tensor):
                raise ArtefactError(must(f"{self.path.name} {name}", "a tensor", type(value).__name__, REMEDY))
            return value.detach()
        meta = entry["tensor_meta"]
        shape, strides = ([int(n["as_int"]) for n in meta[key]] for key in ("sizes", "strides"))
        flat = torch.frombuffer(bytearray(data), dtype=_DTYPES[meta["dtype"]])
        return flat.as_strided(shape, strides, int(meta["storage_offset"]["as_int"])).contiguous()

    def graph(self) -> tuple[fx.GraphModule, list[list[int | None]]]:
        models = [n for n in self.archive.namelist() if n.startswith(f"{self.root}models/") and n.endswith(".json")]
        if len(models) != 1:
            raise ArtefactError(must("MODEL", "a .pt2 file of one model", f"{self.path} with {len(models)}"))
        described = self._json(models[0].removeprefix(self.root))["graph_module"]
        graph, root, values = fx.Graph(), nn.Module(), dict[str, Any]()
        sizes = []
        for given in described["signature"]["input_specs"]:
            ((kind, spec),) = given.items()
            if kind == "user_input":
                name = spec["arg"]["as_tensor"]["name"]
                sizes.append([n.get("as_int") for n in described["graph"]["tensor_values"][name]["sizes"]])
                values[name] = graph.placeholder(name)
            elif kind in ("parameter", "buffer", "tensor_constant"):
                name = spec["arg"]["name"]
                source = spec[f"{kind}_name"]
                where = "weights" if source in self.configs["weights"] else "constants"
                root.register_buffer(name, self._tensor(where, source))
                values[name] = graph.get_attr(name)
            else:
                raise ConversionError(must("MODEL", "a function of tensors", f"an input that is a {kind}"))
        for node in described["graph"]["nodes"]:
            self._add(graph, node, values)
        mutated = [s for s in described["signature"]["output_specs"] if "user_output" not in s]
        if mutated:
            raise ConversionError(
                must("MODEL", "a function that changes nothing", next(iter(mutated[0])), "export it in eval mode")
            )
        graph.output(tuple(_value(out, values) for out in described["graph"]["outputs"]))
        return fx.GraphModule(root, graph), sizes

    def _add(self, graph: fx.Graph, node: dict[str, Any], values: dict[str, Any]) -> None:
        if not node["outputs"]:  # assertions about sizes
            return
        function = self._function(node["target"])
        args = tuple(_value(i["arg"], values) for i in node["inputs"] if i.get("kind", 1) == 1)
        kwargs = {i["name"]: _value(i["arg"], values) for i in node["inputs"] if i.get("kind", 1) == 2}
        made = graph.call_function(function, args, kwargs)
        names = [_name(part) for out in node["outputs"] for part in (out.get("as_tensors") or [out])]
        if len(names) == 1 and "as_tensors" not in node["outputs"][0]:
            values[names[0]] = made
            return
        for i, name in enumerate(names):
            values[name] = graph.call_function(operator.getitem, (made, i))

    def _function(self, target: str) -> Callable[..., Any]:
        """One of ATen's operators, or arithmetic on sizes."""
        if target in _SIZES:
            return _SIZES[target]  # type: ignore[no-any-return]
        parts = target.split(".")
        if parts[:3] == ["torch", "ops", "aten"] and len(parts) == 5:
            packet = getattr(torch.ops.aten, parts[3], None)
            if packet is not None and parts[4] in packet.overloads():
                return getattr(packet, parts[4])  # type: ignore[no-any-return]
        raise ConversionError(must("MODEL", "of ATen's operators", target, REMEDY))


def _name(out: dict[str, Any]) -> str:
    ((_, value),) = out.items() if "name" not in out else (("", out),)
    return str(value.get("name") or value.get("as_name"))


def _value(arg: dict[str, Any], values: dict[str, Any]) -> Any:
    """An argument of a node: numbers, words, lists of them, or what another node computed."""
    ((kind, value),) = arg.items()
    match kind:
        case "as_none":
            return None
        case "as_tensor":
            return values[value["name"]]
        case "as_tensors":
            return [values[part["name"]] for part in value]
        case "as_optional_tensors":
            return [None if "as_none" in part else values[part["as_tensor"]["name"]] for part in value]
        case "as_sym_int":
            return values[value["as_name"]] if "as_name" in value else value["as_int"]
        case "as_sym_ints":
            return [values[part["as_name"]] if "as_name" in part else part["as_int"] for part in value]
        case "as_scalar_type":
            return _DTYPES[value]
        case "as_device":
            return torch.device("cpu")
        case "as_memory_format" | "as_layout":
            return None
        case "as_int" | "as_ints" | "as_float" | "as_floats" | "as_string" | "as_bool" | "as_bools":
            return value
    raise ConversionError(must("MODEL", "a graph of numbers and tensors", f"an argument {kind}", REMEDY))
