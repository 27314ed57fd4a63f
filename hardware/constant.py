"""Constants with unit, status and source: as fields of a model (its defaults) and as lines of a macro's TOML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from spikesim.units import quantity

STATUS = ("measured", "fit", "paper", "assumed")
Value = float | tuple[float, ...]


@dataclass(frozen=True)
class Constant:
    """One number of a macro: key, text as written with unit, SI value (a tuple where several belong together),
    status (measured, fit, paper, assumed), source.

    low, high      the ends of what an assumed value may be (SI), where that is known
    node, supply   process node (m) and supply (V) that the value holds for, where it can be scaled to others
    """

    key: str
    text: str
    value: Value
    status: str
    source: str
    low: float | None = None
    high: float | None = None
    node: float | None = None
    supply: float | None = None


def constant(default: Any = MISSING, unit: str = "", *, status: str = "", source: str = "") -> Any:
    """A dataclass field that knows its unit, and, where it has a default, where that comes from.

    default   number or text with unit ("61.7 uS"), or a tuple of them; left out: a macro's TOML must give it
    unit      SI unit of the value, as in `spikesim.units`; "" for plain numbers
    """
    about = {"unit": unit, "status": status, "source": source, "text": ""}
    if default is MISSING:
        return field(metadata=about)
    several = isinstance(default, tuple)
    value = tuple(quantity(d, unit) for d in default) if several else quantity(default, unit)
    text = ", ".join(map(str, default)) if several else str(default)
    return field(default=value, metadata={**about, "text": text})


def units(model: Any) -> Mapping[str, str]:
    """Field name -> unit of a model (a dataclass or an instance of one)."""
    return {known.name: known.metadata.get("unit", "") for known in fields(model)}


def defaults(model: Any, table: str) -> list[Constant]:
    """The defaults of a model that name their source, as constants `table.field`."""
    return [
        Constant(f"{table}.{f.name}", f.metadata["text"], f.default, f.metadata["status"], f.metadata["source"])
        for f in fields(model)
        if f.metadata.get("source") and f.default is not MISSING
    ]
