"""From counts to joules, seconds and square millimetres: `price` for a ledger, `estimate` for a chip and labelled data.

Counts come from the run itself; prices from the macro's TOML, each with source and status. What is computed how:
`cost/pricing.py` (joules and what is assumed), `cost/timing.py`, `cost/floorplan.py`, `cost/baselines.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from spikesim.core.ledger import Action, Key, Ledger
from spikesim.core.params import number
from spikesim.datasets.base import ArrayDataset, EventDataset
from spikesim.errors import DatasetError, SpikesimError, must
from spikesim.evaluation import evaluate
from spikesim.network import Network

from .cost import floorplan
from .cost.baselines import NOTES, Operations, baselines
from .cost.pricing import assumptions, charges, spent, summed
from .cost.report import EnergyReport, write_rows
from .cost.timing import timing
from .cost.tree import Share, grown
from .deployment import Chip, clipping_warnings
from .macro import Macro
from .tally import Tally

__all__ = ["EnergyReport", "estimate", "operations", "price", "write_rows"]


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


def estimate(
    chip: Chip, data: EventDataset | ArrayDataset | Any, *, steps: int | None = None, beside: bool = True
) -> EnergyReport:
    """Run labelled data through a chip and price what was counted.

    data    recordings (rasters of `steps` bins), labelled arrays (shown at every step), (x, y) arrays, or a DataLoader
            or other iterable of (x, y) batches
    steps   time steps; None takes those the chip is bound to
    beside  also run the network the chip came from on the same data: its accuracy and operation counts
    Raises DatasetError for other data, ParameterError for steps that are not given.
    """
    bound = chip.conversion.steps if chip.conversion is not None else None
    count: Any = bound if steps is None else steps
    number("estimate.steps", count, at_least=1, integer=True, remedy="the number of time steps to simulate")
    data = data if isinstance(data, (EventDataset, ArrayDataset)) else _gathered(data)
    if not len(data):
        raise DatasetError(must("estimate.data", "at least one labelled sample", "none"))
    chip = chip.bound(count) if isinstance(data, EventDataset) else chip
    counted, tally, known = Ledger(), Tally(), dict[str, Any]()
    found = evaluate(chip.watched(tally), data, steps=count, ledger=counted)
    if beside:
        ideal = Ledger()
        known["ideal_accuracy"] = evaluate(chip.source, data, steps=count, ledger=ideal).accuracy
        done = operations(chip.source, ideal, data)
        known["baselines"], known["baseline_notes"] = baselines(done), NOTES
        known["operations"] = {"effective": done.effective, "ann": done.ann}
    warnings = dict.fromkeys((*chip.warnings, *clipping_warnings(tally)))
    known |= {"accuracy": found.accuracy, "warnings": tuple(warnings), "clipped": tally.clipped_share()}
    edges = [(e.source, e.target) for e in chip.network.edges if not e.delay]
    return price(
        counted, chip.macro, steps=count, order=chip.network.order, edges=edges, utilisation=_utilisation(chip), **known
    )


def _utilisation(chip: Chip) -> float | None:
    """Programmed cells over the cells of all arrays used."""
    rows = [(r["rows"] * r["columns"], int(np.prod(r["arrays"]))) for r in chip.rows()]
    arrays = sum(count for _, count in rows)
    return sum(cells for cells, _ in rows) / (arrays * chip.macro.rows * chip.macro.columns) if arrays else None


def _gathered(data: Any) -> ArrayDataset:
    """(x, y) arrays, or a loader's batches of them, as one labelled array."""
    whole = isinstance(data, (tuple, list)) and len(data) == 2 and all(hasattr(part, "shape") for part in data)
    try:
        pairs = [(torch.as_tensor(x).float(), torch.as_tensor(y)) for x, y in ([data] if whole else data)]
        return ArrayDataset(torch.cat([x for x, _ in pairs]), torch.cat([y for _, y in pairs]).numpy())
    except (TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, SpikesimError):
            raise
        got = f"{type(data).__name__} ({error})"
        raise DatasetError(must("estimate.data", "a data set, (x, y) arrays, or batches of them", got)) from None


def operations(network: Network, ledger: Ledger, data: EventDataset | ArrayDataset) -> Operations:
    """What an ideal run of a network counted, per inference, and its ANN's multiply-accumulates on such data."""
    adds, macs, updates = (
        ledger.count(a) / max(ledger.samples, 1) for a in (Action.digital_add, Action.digital_mac, Action.neuron_update)
    )
    return Operations(adds, macs, updates, float(sum(network.synapses(data.frames()[:1]).values())))
