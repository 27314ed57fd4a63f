"""One call of a network: its engine, its context, and what is recorded on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .core.operator import Context
from .core.raster import SparseRaster, joined
from .execution import Engine
from .stages import EVENTS

StandIn = Callable[[Tensor], Tensor]
"""What runs instead of a node: x (T, B, *shape) -> (T, B, *shape')."""


@dataclass
class Job:
    """One call's context, shared by its chunks."""

    engine: Engine
    ctx: Context
    record: Mapping[str, Sequence[int] | None]
    recorded: dict[str, list[Any]] = field(default_factory=dict)
    instead: Mapping[str, StandIn] = field(default_factory=dict)  # node: what runs in its place (`fusion.py`)
    largest: int = 0  # elements of the largest activation of one step, known after the first chunk

    def wants(self, name: str) -> bool:
        """Whether the output of a node is recorded, dense or as events."""
        return name in self.record or f"{name}{EVENTS}" in self.record

    def keep(self, name: str, value: Tensor) -> None:
        """Record the output (T, B, *shape) of a node, dense or as events."""
        if name in self.record:
            self.recorded.setdefault(name, []).append(value)
        if f"{name}{EVENTS}" in self.record:
            listed = SparseRaster.from_dense(value.detach().float().cpu())
            self.recorded.setdefault(f"{name}{EVENTS}", []).append(listed)

    def keep_membrane(self, name: str, v: Tensor) -> None:
        """Record a membrane (B, *shape) of one step: all of it, or the neurons that were chosen."""
        chosen = self.record[name]
        part = v if chosen is None else v.flatten(1)[:, torch.as_tensor(chosen, device=v.device)]
        self.recorded.setdefault(name, []).append(part[None])

    def results(self) -> dict[str, Any]:
        """What was recorded, joined over time."""
        return {name: (joined if name.endswith(EVENTS) else torch.cat)(parts) for name, parts in self.recorded.items()}
