"""Frozen dataclasses as JSON and arrays, back again, and a hash of them: how a chip is written down.

Only dataclasses and enumerations of `spikesim` are built on reading; nothing else in a file can run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
from collections.abc import Mapping
from enum import Enum
from typing import Any

import numpy as np

from spikesim.errors import ArtefactError, must

PACKAGE = "spikesim."


def encoded(value: Any, name: str, arrays: dict[str, np.ndarray], shared: Mapping[str, Any]) -> Any:
    """`value` as JSON; arrays go into `arrays` under dotted names below `name`, objects of `shared` as their name."""
    for label, known in shared.items():
        if value is known:
            return {"shared": label}
    if value is None or (isinstance(value, (bool, int, float, str)) and not isinstance(value, Enum)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Enum):
        return {"enum": _path(type(value)), "value": value.value}
    if isinstance(value, np.ndarray):
        arrays[name] = np.ascontiguousarray(value)
        return {"array": name}
    if isinstance(value, Mapping):
        pairs = [[encoded(k, "", arrays, shared), encoded(v, f"{name}.{k}", arrays, shared)] for k, v in value.items()]
        return {"map": pairs}
    if isinstance(value, (tuple, list)):
        return {"tuple": [encoded(v, f"{name}.{i}", arrays, shared) for i, v in enumerate(value)]}
    if dataclasses.is_dataclass(value):
        of = {f.name: encoded(getattr(value, f.name), f"{name}.{f.name}", arrays, shared) for f in _fields(value)}
        return {"is": _path(type(value)), "fields": of}
    raise ArtefactError(must(f"{name}", "made of numbers, texts, arrays and dataclasses", type(value).__name__))


def decoded(value: Any, arrays: Mapping[str, np.ndarray], shared: Mapping[str, Any]) -> Any:
    """What `encoded` made JSON of. ArtefactError for anything that it does not write."""
    if not isinstance(value, dict):
        return value
    try:
        if "shared" in value:
            return shared[value["shared"]]
        if "array" in value:
            return arrays[value["array"]]
        if "map" in value:
            return {decoded(k, arrays, shared): decoded(v, arrays, shared) for k, v in value["map"]}
        if "tuple" in value:
            return tuple(decoded(v, arrays, shared) for v in value["tuple"])
        if "enum" in value:
            return _type(value["enum"])(value["value"])
        given = {k: decoded(v, arrays, shared) for k, v in value["fields"].items()}
        return _type(value["is"])(**given)
    except (KeyError, TypeError) as error:
        raise ArtefactError(must("chip.json", "as this version writes it", f"{type(error).__name__} {error}")) from None


def digest(*described: tuple[Any, Mapping[str, np.ndarray]]) -> str:
    """64 hex digits (BLAKE2b) of JSON values and their arrays: names, types, shapes and bytes."""
    found = hashlib.blake2b(digest_size=32)
    for value, arrays in described:
        found.update(json.dumps(value, sort_keys=True, allow_nan=False).encode())
        for name in sorted(arrays):
            array = np.ascontiguousarray(arrays[name])
            found.update(f"{name} {array.dtype.str} {array.shape}".encode())
            found.update(array.tobytes())
    return found.hexdigest()


def _fields(value: Any) -> list[dataclasses.Field[Any]]:
    return [f for f in dataclasses.fields(value) if f.init]


def _path(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _type(path: str) -> Any:
    """The dataclass or enumeration of ours that `path` names."""
    module, _, name = path.partition(":")
    if not module.startswith(PACKAGE):
        raise ArtefactError(must("chip.json", f"of types in {PACKAGE}*", path))
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        raise ArtefactError(
            must("chip.json", "of types that this version has", path, "save it with this version")
        ) from None
    if not (isinstance(kind, type) and (dataclasses.is_dataclass(kind) or issubclass(kind, Enum))):
        raise ArtefactError(must("chip.json", "of dataclasses and enumerations", path))
    return kind
