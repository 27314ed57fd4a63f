"""How long an inference takes, from what was counted.

Serial: layers one after the other. The arrays of a layer work at once, their reads one after the other, each t_read and
then the conversions that share a converter; where a macro says how long a digital action takes, it follows after that.

    layer   s = max over arrays of reads (t_read + shared t_convert) + sum over digital actions of count t / units

Pipelined: a step enters a layer while the step before it is in the next layer, and an array is read while the columns of
the read before are converted: T steps through layers of p seconds each take

    sum of p along the longest path + (T - 1) max p,    p = max(reads max(t_read, shared t_convert), digital) / T
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spikesim.core.ledger import Action, Key, Ledger

from ..macro import Macro


@dataclass(frozen=True)
class Timing:
    """Seconds of one inference.

    serial, pipelined   latencies;   interval   between the results of a full pipeline
    layers              layer -> seconds, serial;   tiles   (layer, array or "") -> seconds that it is busy
    critical_path       the layers on the longest way through the network, with their serial seconds
    bottleneck          the layer that sets a pipeline's pace
    """

    serial: float
    pipelined: float
    interval: float
    layers: Mapping[str, float]
    tiles: Mapping[tuple[str, str], float]
    critical_path: tuple[tuple[str, float], ...]
    bottleneck: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "serial_s": self.serial, "pipelined_s": self.pipelined, "interval_s": self.interval,
            "by_layer_s": dict(self.layers), "critical_path": [list(part) for part in self.critical_path],
            "bottleneck": self.bottleneck,
        }  # fmt: skip


def timing(
    ledger: Ledger, macro: Macro, layers: Sequence[str], *, steps: int = 1,
    edges: Iterable[tuple[str, str]] | None = None,
) -> Timing:  # fmt: skip
    """Times of the run that a ledger counted.

    layers   in the order of execution
    steps    T of that run
    edges    (source, target) between layers; None: a chain in the order given
    """
    tiles: dict[tuple[str, str], float] = {}
    analog: dict[str, float] = dict.fromkeys(layers, 0.0)
    paced: dict[str, float] = dict.fromkeys(layers, 0.0)
    for key in sorted(ledger.total):
        if key.action is Action.column_convert:
            reads, shared = _reads(ledger, macro, key)
            conversion = shared * macro.t_convert
            tiles[key.node, key.tile] = reads * (macro.t_read + conversion)
            analog[key.node] = max(analog[key.node], tiles[key.node, key.tile])
            paced[key.node] = max(paced[key.node], reads * max(macro.t_read, conversion))
    digital = {name: _digital(ledger, macro, name) for name in layers}
    tiles |= {(name, ""): seconds for name, seconds in digital.items() if seconds}
    serial = {name: analog[name] + digital[name] for name in layers}
    pace = {name: max(paced[name], digital[name]) / max(steps, 1) for name in layers}
    path = _longest(serial, layers, edges)
    fill = math.fsum(pace[name] for name in _longest(pace, layers, edges))
    slowest = max(layers, key=lambda name: pace[name], default="")
    interval = pace.get(slowest, 0.0)
    return Timing(
        math.fsum(serial.values()), fill + (max(steps, 1) - 1) * interval, max(steps, 1) * interval, serial, tiles,
        tuple((name, serial[name]) for name in path if serial[name]), slowest if interval else "",
    )  # fmt: skip


def _reads(ledger: Ledger, macro: Macro, converted: Key) -> tuple[float, float]:
    """Mean reads of one array, and the conversions that share a converter in each."""
    cells, rows = (
        ledger.mean(Key(converted.node, converted.tile, a)) for a in (Action.cell_read, Action.row_drive)
    )  # fmt: skip
    _, codes = macro.mapping.converted(cells / max(rows, 1e-300))
    return ledger.mean(converted) / max(codes, 1), min(codes, macro.columns_per_converter)


def _digital(ledger: Ledger, macro: Macro, layer: str) -> float:
    """Seconds of a layer's digital actions, on the units that stand behind the converters of its arrays."""
    arrays = {k.tile for k in ledger.total if k.node == layer and k.tile}
    units = max(len(arrays), 1) * -(-macro.columns // macro.columns_per_converter)
    counted = ((k, macro.costs.times.get(k.action, 0.0)) for k in ledger.total if k.node == layer)
    return math.fsum(ledger.mean(k) * seconds / units for k, seconds in counted if seconds)


def _longest(cost: Mapping[str, float], layers: Sequence[str], edges: Iterable[tuple[str, str]] | None) -> list[str]:
    """The path of largest cost through the layers, which are in topological order."""
    if edges is None:
        return list(layers)
    sources: dict[str, list[str]] = {name: [] for name in layers}
    for source, target in edges:
        if source in sources and target in sources:
            sources[target].append(source)
    best: dict[str, tuple[float, list[str]]] = {}
    for name in layers:
        before = max((best[s] for s in sources[name] if s in best), default=(0.0, []), key=lambda found: found[0])
        best[name] = before[0] + cost[name], [*before[1], name]
    return max(best.values(), default=(0.0, []), key=lambda found: found[0])[1]
