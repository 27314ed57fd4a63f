"""From counts to joules, seconds and square millimetres: `price` for a ledger, `estimate` for a chip and labelled data.

Counts come from the run itself; prices from the macro's TOML, each with source and status. What is computed how:
`cost/pricing.py` (joules and what is assumed), `cost/timing.py`, `cost/floorplan.py`, `cost/baselines.py`, `ann.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from spikesim.core.ledger import Action, Ledger
from spikesim.core.params import number
from spikesim.datasets.base import ArrayDataset, EventDataset
from spikesim.errors import DatasetError, ParameterError, SpikesimError, must
from spikesim.evaluation import evaluate
from spikesim.network import Network

from .ann import BITS, estimate_ann, has_ann
from .chips import Chip
from .cost.baselines import NOTES, Operations, baselines
from .cost.price import price
from .cost.report import EnergyReport, OnChip, write_rows
from .deployment import clipping_warnings
from .tally import Tally

__all__ = ["EnergyReport", "estimate", "operations", "price", "write_rows"]


def estimate(
    chip: Chip, data: EventDataset | ArrayDataset | Any, *, steps: int | None = None, beside: bool = True,
    ann_bits: Sequence[int] = BITS,
) -> EnergyReport:  # fmt: skip
    """Run labelled data through a chip and price what was counted.

    data    recordings (rasters of `steps` bins), labelled arrays (shown at every step), (x, y) arrays, or a DataLoader
            or other iterable of (x, y) batches
    steps   time steps; None takes those the chip is bound to
    beside  also run the network the chip came from on the same data: its accuracy and operation counts; and the ANN
            behind it, where it was converted, on the chip's own arrays with inputs of `ann_bits` bits
    Raises DatasetError for other data, ParameterError for steps that are not given.
    """
    if not isinstance(chip, Chip):
        raise ParameterError(
            must("estimate.chip", "a Chip", type(chip).__name__, "hardware.deploy(network, macro, seeds=...)")
        )
    bound = chip.conversion.steps if chip.conversion is not None else None
    count: Any = bound if steps is None else steps
    number("estimate.steps", count, at_least=1, integer=True, remedy="the number of time steps to simulate")
    data = data if isinstance(data, (EventDataset, ArrayDataset)) else gathered(data)
    if not len(data):
        raise DatasetError(must("estimate.data", "at least one labelled sample", "none"))
    unbound, chip = chip, chip.bound(count) if isinstance(data, EventDataset) else chip
    counted, tally, known = Ledger(), Tally(), dict[str, Any]()
    found = evaluate(chip.watched(tally), data, steps=count, ledger=counted)
    if beside:
        ideal = Ledger()
        known["ideal_accuracy"] = evaluate(chip.source, data, steps=count, ledger=ideal).accuracy
        done, dense = operations(chip.source, ideal, data), _anns(unbound, data, ann_bits)
        known["ann"] = tuple(dense)
        fair = {f"ann_same_macro_{a.bits}bit": a.joules for a in dense}
        said = {f"ann_same_macro_{a.bits}bit": f"{ON_CHIP}; accuracy {100 * a.accuracy:.2f} %" for a in dense}
        known["baselines"], known["baseline_notes"] = {**fair, **baselines(done)}, {**said, **NOTES}
        known["operations"] = {"effective": done.effective, "ann": done.ann}
    warnings = dict.fromkeys((*chip.warnings, *clipping_warnings(tally)))
    known |= {"accuracy": found.accuracy, "warnings": tuple(warnings), "clipped": tally.clipped_share()}
    edges = [(e.source, e.target) for e in chip.network.edges if not e.delay]
    return price(
        counted, chip.macro, steps=count, order=chip.network.order, edges=edges, utilisation=_utilisation(chip), **known
    )


ON_CHIP = "the ANN on this chip's arrays and converters, inputs bit by bit"


def _anns(chip: Chip, data: EventDataset | ArrayDataset, bits: Sequence[int]) -> list[OnChip]:
    """The ANN behind the chip's network on the chip, once for each number of bits; nothing where none is known."""
    if not has_ann(chip.source) or chip.source.calibration is None:
        return []
    reports = {b: estimate_ann(chip, data, bits=b) for b in bits}
    return [OnChip(b, r.accuracy or 0.0, r.energy_J["total"], r.latency_s) for b, r in reports.items()]


def _utilisation(chip: Chip) -> float | None:
    """Programmed cells over the cells of all arrays used."""
    rows = [(r["rows"] * r["columns"], int(np.prod(r["arrays"]))) for r in chip.rows()]
    arrays = sum(count for _, count in rows)
    return sum(cells for cells, _ in rows) / (arrays * chip.macro.rows * chip.macro.columns) if arrays else None


def gathered(data: Any) -> ArrayDataset:
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
