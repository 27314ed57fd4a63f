"""price: what a ledger's counts cost on a macro, as a report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from spikesim.core.ledger import Action, Key, Ledger

from ..macro import Macro
from . import floorplan
from .pricing import assumptions, charges, spent, summed
from .report import EnergyReport
from .timing import timing
from .tree import Share, grown


def price(
    ledger: Ledger, macro: Macro, *, steps: int | None = None, order: Sequence[str] = (),
    edges: Iterable[tuple[str, str]] | None = None, **known: Any,
) -> EnergyReport:  # fmt: skip
    """What a ledger's counts cost on a macro.

    steps    T of the counted run: what a pipeline overlaps, and how many neurons stand behind the counted updates; None
             leaves membranes out of the area
    order    nodes in the order of execution;   edges   (source, target) between them; without them a chain, by name
    known    further fields of the report
    """
    counted = sorted({key.node for key in ledger.total})
    layers = [*(n for n in order if n in counted), *(n for n in counted if n not in order)]
    arrays = {n: sorted({k.tile for k in ledger.total if k.node == n and k.tile}) for n in layers}
    arrays = {name: tiles for name, tiles in arrays.items() if tiles}
    neurons = {} if steps is None else _neurons(ledger, steps)
    edges = None if edges is None else list(edges)

    def timed(macro: Macro) -> Any:
        return timing(ledger, macro, layers, steps=steps or 1, edges=edges)

    def shares(macro: Macro, conductance: float = 1.0) -> dict[Share, float]:
        found, watts = spent(ledger, macro, conductance), floorplan.leaking(macro, arrays, neurons)
        seconds = timed(macro).serial if watts else 0.0
        return {**found, **{share: value * seconds for share, value in watts.items()}}

    assumed, low, high = assumptions(macro, lambda m, conductance: math.fsum(shares(m, conductance).values()))
    joules, times = shares(macro), timed(macro)
    tree = grown(joules, floorplan.areas(macro, arrays, neurons), layers, times.tiles)
    error = math.fsum(
        ledger.standard_error(key) * charge.joules for key in ledger.total for charge in charges(key.action, macro)
    )
    energy = {
        "total": tree.joules, "low": min(low, tree.joules), "high": max(high, tree.joules), "standard_error": error,
        "ci95": [tree.joules - 1.96 * error, tree.joules + 1.96 * error],
        "by_component": summed(joules, 2), "by_layer": summed(joules, 0),
    }  # fmt: skip
    return EnergyReport(
        macro=macro, energy_J=energy, tree=tree, timing=times, assumptions=assumed, samples=ledger.samples,
        ledger=ledger, **known,
    )  # fmt: skip


def _neurons(ledger: Ledger, steps: int) -> dict[str, int]:
    """Neurons of every node: its updates over the steps."""
    updates = (Key(n, "", Action.neuron_update) for n in sorted({k.node for k in ledger.total}))
    counts = {key.node: ledger.mean(key) for key in updates if key in ledger.total}
    return {name: math.ceil(count / max(steps, 1)) for name, count in counts.items() if count}
