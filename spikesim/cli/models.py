"""Reading MODEL: folders, ONNX files, exported programs, and what `package.module:function` returns."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ArtefactError, ParameterError, must

if TYPE_CHECKING:
    from torch import nn

    from ..network import Network

MODEL_HELP = "Folder written by `convert` or ss.save, a .nir file, or package.module:function."
ANN_HELP = "An .onnx or .pt2 file, or package.module:function that returns the ANN (your own code is run)."


def built(name: str) -> Any:
    """What `package.module:function` returns. This runs the user's own code, and says so in its help."""
    module_name, _, function_name = name.partition(":")
    sys.path.insert(0, "")
    try:
        return getattr(importlib.import_module(module_name), function_name)()
    except (ImportError, AttributeError) as error:
        raise ParameterError(
            must("MODEL", "package.module:function that can be imported", f"{name} ({error})")
        ) from None
    finally:
        sys.path.remove("")


def read_ann(name: str, weights: Path | None) -> tuple[nn.Module, Callable[[Any], Any]]:
    """An ANN and what makes its inputs of a data set (nothing, unless its builder returns a pair).

    name  an .onnx or .pt2 file, or package.module:function; weights  .safetensors, .npz or a state-dict file for the latter
    """
    from torch import nn

    if name.endswith((".onnx", ".pt2")):
        from ..conversion import ExportedModel, OnnxModel

        if weights is not None:
            raise ParameterError(must("--weights", "absent for a file that has its own", str(weights)))
        return (OnnxModel if name.endswith(".onnx") else ExportedModel)(name), _as_it_is
    if ":" not in name or Path(name).exists():
        rule = "an .onnx or .pt2 file, or package.module:function that returns an nn.Module"
        raise ParameterError(must("MODEL", rule, name, "use .onnx or module:function"))
    model = built(name)
    model, transform = model if isinstance(model, tuple) and len(model) == 2 else (model, _as_it_is)
    if not isinstance(model, nn.Module) or not callable(transform):
        rule = "a function that returns an nn.Module, or a pair (nn.Module, transform of a data set)"
        raise ParameterError(must("MODEL", rule, type(model).__name__))
    if weights is not None:
        try:
            model.load_state_dict(read_weights(weights))
        except (RuntimeError, KeyError) as error:
            raise ArtefactError(must("--weights", "for this model", " ".join(str(error).split()))) from None
    return model.eval(), transform


def _as_it_is(data: Any) -> Any:
    return data


def read_weights(path: Path) -> dict[str, Any]:
    """Tensors by name from .safetensors, .npz, or a torch file that holds tensors only."""
    import pickle

    import numpy as np
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return {k: torch.from_numpy(file[k]) for k in file if file[k].dtype.kind in "fiub"}
        return torch.load(path, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        raise ArtefactError(must("--weights", "a file that is there", str(path), "check the path")) from None
    except (OSError, RuntimeError, ValueError, pickle.UnpicklingError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise ArtefactError(must("--weights", "safetensors or a state dict of tensors", f"{path} ({reason})")) from None


def read_network(name: str, dt: str | None = None) -> Network:
    """A spiking network from a folder, a .nir file (with `dt`, where it states none), or `package.module:function`."""
    from ..checkpoint import load
    from ..network import Network

    if name.endswith(".nir"):
        from ..interop.nir import read

        return read(name, dt=dt)
    if dt is not None:
        raise ParameterError(must("--dt", "absent for anything but a .nir file", dt))
    network = built(name) if ":" in name and not Path(name).exists() else load(name)
    if not isinstance(network, Network):
        raise ParameterError(must("MODEL", "a spiking network", type(network).__name__, "convert it first"))
    return network.eval().requires_grad_(False)
