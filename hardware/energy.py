"""From counts to joules: a ledger times a macro's prices, with what is assumed and what is left out beside it.

    E = sum over (node, array, action) of count x price  +  V^2 t sum of conductance under read voltage

Counts come from the run itself; prices from the macro's TOML, each with source and status.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from spikesim.core.ledger import Action, Key, Ledger
from spikesim.core.params import number
from spikesim.datasets.base import ArrayDataset, EventDataset
from spikesim.errors import DatasetError, SpikesimError, must
from spikesim.evaluation import evaluate
from spikesim.network import Network
from spikesim.units import si

from .deployment import Chip, clipping_warnings
from .macro import Constant, Macro
from .tally import Tally

MAC_J, ADD_J = 4.6e-12, 0.9e-12
"""32-bit floating-point multiply-accumulate and addition at 45 nm: M. Horowitz, ISSCC 2014."""

COMPONENTS: Mapping[Action, str] = {
    Action.conductance_read: "array", Action.cell_read: "array", Action.row_drive: "row_drivers",
    Action.column_convert: "converters", Action.dac_convert: "converters", Action.shift_add: "shift_add",
    Action.digital_add: "digital", Action.digital_mac: "digital", Action.neuron_update: "neurons",
    Action.membrane_access: "membrane_memory", Action.spike_hop: "spike_routing",
    Action.bits_sram: "input_buffers", Action.bits_bus: "code_transport",
}  # fmt: skip
"""The component that an action's energy is shown under."""

EXCLUDED = (
    "programming the cells, and refreshing them",
    "leakage, clock distribution and control",
    "off-chip memory and links; the sensor",
    "wire resistance in the arrays (its energy and its error)",
)


def array_joules(macro: Macro) -> float:
    """Joules of one nanosiemens under read voltage for one read: V^2 t 1e-9."""
    return macro.v_read**2 * macro.t_read * 1e-9


def price_of(action: Action, macro: Macro) -> float:
    """Joules of one action on a macro; an action without a price there costs nothing and is not shown."""
    return array_joules(macro) if action is Action.conductance_read else macro.prices.get(action, 0.0)


@dataclass(frozen=True)
class EnergyReport:
    """Joules of one inference, where they go, and what they are compared with. Made by `estimate` and `price`.

    energy_J    total, by_component, by_layer: means per inference;   low, high: over the assumed conductance scale;
                standard_error: of the total over samples, an upper bound (as if all counts rose together);
                ci95: [low, high] of the mean over samples, from it
    latency_s   per inference: layers one after the other, arrays of a layer at once, patches one after the other
    baselines   joules of the same inference by operation counts alone
    accuracy, ideal_accuracy   of the chip and of the network it came from, on the same samples (None from `price`)
    clipped     node -> share of its conversions that saturated (empty from `price`)
    """

    macro: Macro
    energy_J: dict[str, Any]
    latency_s: float
    baselines: dict[str, float]
    samples: int
    ledger: Ledger
    accuracy: float | None = None
    ideal_accuracy: float | None = None
    warnings: tuple[str, ...] = ()
    clipped: Mapping[str, float] = field(default_factory=dict)

    @property
    def assumed(self) -> tuple[Constant, ...]:
        """The macro's constants that no measurement or paper backs."""
        return self.macro.assumed

    @property
    def excluded(self) -> tuple[str, ...]:
        """What no joule stands for."""
        return EXCLUDED

    def rows(self) -> Iterator[dict[str, Any]]:
        """One dict per (node, tile, action): mean count and its error, price and its source, mean joules."""
        constants = {c.key: c for c in self.macro.constants}
        for row in self.ledger.rows():
            joules = price_of(Action(row["action"]), self.macro)
            constant = constants.get(f"price.{row['action']}")
            source, status = (constant.source, constant.status) if constant else ("", "")
            if row["action"] == Action.conductance_read:
                source, status = "V^2 t G, from array.v_read, array.t_read and the programmed cells", "assumed"
            yield {**row, "price_J": joules, "joules": row["mean"] * joules, "source": source, "status": status}

    def to_json(self) -> dict[str, Any]:
        """Plain values for files."""
        assumed = [{"key": c.key, "value": c.text, "source": c.source} for c in self.assumed]
        return {
            "macro": self.macro.name, "energy_J": self.energy_J, "latency_s": self.latency_s,
            "baselines": self.baselines, "accuracy": self.accuracy, "ideal_accuracy": self.ideal_accuracy,
            "samples": self.samples, "assumed": assumed, "excluded": list(self.excluded), "warnings": list(self.warnings),
            "note": self.macro.note, "clipped": dict(self.clipped),
            "sources": {c.key: c.source for c in self.macro.constants},
        }  # fmt: skip

    def __str__(self) -> str:
        energy = self.energy_J
        lines = [
            f"{self.macro.name}: {si(energy['total'], 'J')} per inference "
            f"({si(energy['low'], 'J')} to {si(energy['high'], 'J')} over the assumed conductance scale), "
            f"{si(self.latency_s, 's')}, {self.samples} samples",
            f"  95 % interval of the mean over samples: {' to '.join(si(v, 'J') for v in energy['ci95'])}",
        ]
        if self.accuracy is not None and self.ideal_accuracy is not None:
            lines.append(f"accuracy {100 * self.accuracy:.2f} %, ideal network {100 * self.ideal_accuracy:.2f} %")
        for title, table in (("component", energy["by_component"]), ("layer", energy["by_layer"])):
            lines.append(f"  {title:<18} {'energy':>10}   share")
            ordered = sorted(table.items(), key=lambda item: -item[1]) if title == "component" else list(table.items())
            lines += [
                f"  {k:<18} {si(v, 'J'):>10}   {100 * v / max(energy['total'], 1e-300):4.1f} %" for k, v in ordered
            ]
        lines += [f"  baseline {name}: {si(value, 'J')}" for name, value in self.baselines.items()]
        lines.append(f"  assumed: {', '.join(c.key for c in self.assumed) or 'nothing'}")
        lines.append(f"  left out: {'; '.join(self.excluded)}")
        lines += [f"  note: {self.macro.note}"] if self.macro.note else []
        return "\n".join([*lines, *(f"  warning: {w}" for w in self.warnings)])


def price(ledger: Ledger, macro: Macro, **known: Any) -> EnergyReport:
    """What a ledger's counts cost on a macro; `known` are further fields of the report."""
    by_key = {key: ledger.mean(key) * price_of(key.action, macro) for key in sorted(ledger.total)}
    total = math.fsum(by_key.values())
    array = math.fsum(v for k, v in by_key.items() if COMPONENTS[k.action] == "array")
    low, high = (total - array + array * g / macro.device.g_max for g in macro.g_max_range)
    error = math.fsum(ledger.standard_error(k) * price_of(k.action, macro) for k in ledger.total)
    energy = {
        "total": total, "low": low, "high": high, "standard_error": error,
        "ci95": [total - 1.96 * error, total + 1.96 * error],
        "by_component": _summed(by_key, lambda k: COMPONENTS[k.action]), "by_layer": _summed(by_key, lambda k: k.node),
    }  # fmt: skip
    fields = {"baselines": {}, **known}
    return EnergyReport(
        macro=macro, energy_J=energy, latency_s=_latency(ledger, macro), samples=ledger.samples, ledger=ledger, **fields
    )


def _summed(by_key: dict[Key, float], name: Any) -> dict[str, float]:
    names = dict.fromkeys(name(k) for k, v in by_key.items() if v)
    return {n: math.fsum(v for k, v in by_key.items() if name(k) == n) for n in names}


def _latency(ledger: Ledger, macro: Macro) -> float:
    """Seconds per inference: reads of the busiest array of each layer, each t_read plus its shared conversions."""
    busiest: dict[str, float] = {}
    for key in ledger.total:
        if key.action is not Action.column_convert:
            continue
        bits = Key(key.node, key.tile, Action.cell_read), Key(key.node, key.tile, Action.row_drive)
        columns = ledger.mean(bits[0]) / max(ledger.mean(bits[1]), 1e-300)
        reads = ledger.mean(key) / max(columns, 1)
        shared = min(columns, macro.columns_per_converter)
        busiest[key.node] = max(busiest.get(key.node, 0.0), reads * (macro.t_read + shared * macro.t_convert))
    return math.fsum(busiest.values())


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
        known["baselines"] = operation_baselines(chip.source, ideal, data)
    warnings = dict.fromkeys((*chip.warnings, *clipping_warnings(tally)))
    known |= {"accuracy": found.accuracy, "warnings": tuple(warnings), "clipped": tally.clipped_share()}
    return price(counted, chip.macro, **known)


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


def operation_baselines(network: Network, ledger: Ledger, data: EventDataset | ArrayDataset) -> dict[str, float]:
    """Joules of operation counts times a constant: the ANN's multiply-accumulates, the SNN's additions.

    Neither prices memory, conversion or control. Graded inputs (counts above 1) count as multiply-accumulates.
    """
    macs = sum(network.synapses(data.frames()[:1]).values())
    adds, graded = (ledger.count(a) / max(ledger.samples, 1) for a in (Action.digital_add, Action.digital_mac))
    return {"ann_operations_4.6pJ": macs * MAC_J, "snn_operations_0.9pJ": adds * ADD_J + graded * MAC_J}
