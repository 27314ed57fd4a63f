"""What a result depends on, as one short text: the same in any process, another one when anything differs."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import torch

from .checkpoint import as_json
from .datasets.base import Labelled
from .errors import ArtefactError
from .hardware.artefact import digest, encoded
from .network import Network

DIGITS = 16


def fingerprint(**parts: Any) -> str:
    """16 hex digits of named parts: networks, data sets, macros, seeds, numbers, texts; and of this library's source.

    A network with nodes that `ss.save` cannot describe goes in as its bytes, which may differ from process to process:
    what was kept for it may be computed again, and is never mistaken.
    """
    described = [_described(name, value) for name, value in sorted(parts.items())]
    return digest(({"library": _library(), "parts": sorted(parts)}, {}), *described)[:DIGITS]


def _described(name: str, value: Any) -> tuple[Any, Mapping[str, np.ndarray]]:
    if isinstance(value, Network):
        try:
            described, tensors = as_json(value)
        except ArtefactError:
            return {"bytes": hashlib.blake2b(cloudpickle.dumps(value)).hexdigest()}, {}
        return described, {key: tensor.numpy() for key, tensor in tensors.items()}
    if isinstance(value, Labelled):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}  # type: ignore[arg-type]
        value = {k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in fields.items()}
    arrays: dict[str, np.ndarray] = {}
    return encoded(value, name, arrays, {}), arrays


@cache
def _library() -> str:
    """The source of this library: results of older code are not taken for those of this one."""
    found = hashlib.blake2b(digest_size=16)
    for folder, below, names in os.walk(Path(__file__).parent, followlinks=True):
        below.sort()
        for name in sorted(names):
            if name.endswith((".py", ".toml")):
                found.update(name.encode() + Path(folder, name).read_bytes())
    return found.hexdigest()
