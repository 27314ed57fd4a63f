"""A training run as a TOML file: which model, which data, how batches are made. `[training]` is `Training`'s own."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from ..core.params import check
from ..errors import ArtefactError, ParameterError, must, nearest


@dataclass(frozen=True)
class Experiment:
    """model (package.module:function), data (as on the command line), batch_size, smoothing (of the labels)."""

    model: str
    data: str = "digits"
    batch_size: int = 64
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        check(self, "batch_size", at_least=1, integer=True)
        check(self, "smoothing", at_least=0, at_most=1)


def read_experiment(path: Path) -> Experiment:
    """The `[experiment]` table of a TOML file; unknown or missing keys are refused."""
    try:
        tables = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ArtefactError(must(str(path), "a readable TOML file", str(error))) from None
    for table in tables:
        if table not in ("experiment", "training"):
            raise ParameterError(must(str(path), "made of [experiment] and [training]", table))
    found, known = tables.get("experiment", {}), Experiment.__dataclass_fields__
    for key in found:
        if key not in known:
            raise ParameterError(must(f"{path} [experiment]", "made of known keys", key, nearest(key, known)))
    if "model" not in found:
        raise ParameterError(must(f"{path} [experiment] model", "package.module:function", "nothing"))
    return Experiment(**found)
