"""The study's encoders on emulated chips: what is lost to the ideal reservoir, what a recording costs, and what either hangs on.

Chip k has cells and converters of its own; with formed cells, weights too. Its ideal twin is the same reservoir without read
noise and conversion, so that the gap is paired, recording by recording. Projections are trained on the features of whoever
is judged: they are digital, and trained after the chip was made.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.ledger import Action, Ledger
from ..hardware.cost.baselines import arithmetic, gpu
from ..hardware.cost.price import price
from ..hardware.macro import Macro
from ..hardware.presets import load_macro
from ..hardware.variation import varied
from ..statistics import chip_accuracy, mean_interval
from .contrastive import Side, trained
from .probe import LinearProbe, probed
from .reservoir import Reservoir
from .weights import Formed
from .zero_shot import NAMES, Row, Sets, matches

if TYPE_CHECKING:
    from .study import Study

CALIBRATION = 64
"""Training recordings that set converter ranges."""


def over_chips(study: Study) -> Row:
    """Match among seen classes on each chip beside its ideal twin, energy of a recording, and sweeps."""
    chips = study.settings.chips
    assert chips is not None
    macro, rows = load_macro(chips.macro), []
    for k in range(chips.count):
        study.tell(f"chip {k + 1} of {chips.count}")
        rows.append(one_chip(study, macro, study.reservoirs, k, age=0.0, priced=k == 0))
    found: Row = {"macro": chips.macro, "chips": rows, **_over([row["match"] for row in rows])}
    found["energy"] = rows[0].pop("energy")
    found["sweeps"] = {}
    for key, values in (
        ("read_noise", chips.read_noise),
        ("adc_bits", chips.adc_bits),
        ("age_s", chips.ages),
        ("voltage", chips.voltages),
    ):
        if values:
            found["sweeps"][key] = [{"value": v, **swept(study, macro, key, v)} for v in values]
    return found


def swept(study: Study, macro: Macro, key: str, value: float) -> Row:
    """A few chips with one number changed."""
    chips, reservoirs, age = study.settings.chips, study.reservoirs, 0.0
    assert chips is not None
    study.tell(f"{key} = {value:g}")
    if key == "voltage":
        reservoirs = {n: _formed_at(r, value) for n, r in reservoirs.items()}
    elif key == "age_s":
        age = value
    else:
        macro = varied(macro, {"read_noise": "device.read_noise", "adc_bits": "adc.bits"}[key], value)
    rows = [one_chip(study, macro, reservoirs, k, age=age) for k in range(chips.varied)]
    return _over([row["match"] for row in rows])


def _formed_at(reservoir: Reservoir, voltage: float) -> Reservoir:
    cells = Formed(voltage)
    return replace(reservoir, input_weights=cells, loop_weights=cells)


def one_chip(
    study: Study, macro: Macro, reservoirs: dict[str, Reservoir], k: int, *, age: float = 0.0, priced: bool = False
) -> Row:  # fmt: skip
    """Chip k and its twin: {match: {direction: {chip, ideal, gap}}, probe: {...}, rates}."""
    hard, soft, found = {}, {}, Row()
    for n in NAMES:
        m, seeds = study.modality(n), study.seeds_of(n).child("chip", k)
        reservoir = reservoirs[n]
        shown, _ = next(
            m.frames.batches(study.parts[n].train.subset(np.arange(min(CALIBRATION, len(study.parts[n].train)))))
        )
        chip = reservoir.chip(macro, seeds, calibration=shown.dense())
        chip = chip.aged(age) if age else chip
        ledger = Ledger() if priced else None
        hard[n] = study.made(n, chip, seeds.child("reads"), ledger)
        soft[n] = study.made(n, reservoir.network(seeds))
        if ledger is not None:
            found.setdefault("energy", {})[m.name] = energy(ledger, chip, macro, m.frames.steps, reservoir)
    found["match"] = _gaps(study, _matched(study, hard, k), _matched(study, soft, k))
    found["probe"] = {study.modality(n).name: {"chip": _probed(hard[n]), "ideal": _probed(soft[n])} for n in NAMES}
    return found


def _matched(study: Study, of: dict[str, dict[str, Side]], k: int) -> Any:
    sets = Sets(of["a"]["train"], of["b"]["train"], of["a"]["test"], of["b"]["test"])
    classes = study.seen_of(sets.classes)
    embedding = trained(*sets.training(classes), study.settings.match, seeds=study.seeds.child("chips", k))
    return matches(embedding, sets.judged(classes))


def _gaps(study: Study, hard: Any, soft: Any) -> Row:
    return {
        study.named(n): {
            "chip": m.accuracy, "ideal": soft[n].accuracy,
            "gap": float(m.right.mean() - soft[n].right.mean()), "chance": m.chance,
        }
        for n, m in hard.items()
    }  # fmt: skip


def _probed(of: dict[str, Side]) -> float:
    train, test = of["train"], of["test"]
    return float((probed(train.features, train.labels, test.features, LinearProbe()) == test.labels).mean())


def _over(rows: list[Row]) -> Row:
    """By direction: accuracy over chips, and the paired gap with its interval, in points."""
    found: Row = {}
    for name in rows[0]:
        gaps = [100 * row[name]["gap"] for row in rows]
        found[name] = {
            "chip_accuracy": chip_accuracy([row[name]["chip"] for row in rows]),
            "ideal_accuracy": chip_accuracy([row[name]["ideal"] for row in rows]),
            "gap_points": {"mean": float(np.mean(gaps)), "ci95": mean_interval(gaps)},
        }  # fmt: skip
    return found


def energy(ledger: Ledger, chip: Any, macro: Macro, steps: int, reservoir: Reservoir) -> Row:
    """Joules of one recording through a reservoir on a chip, and what the same dense products cost by operation counts and
    on a graphics card at its peak. Features only: projection and match are digital and not in it."""
    edges = [(e.source, e.target) for e in chip.network.edges if not e.delay]
    report = price(ledger, macro, steps=steps, order=chip.network.order, edges=edges)
    macs = steps * (reservoir.inputs * reservoir.neurons + reservoir.neurons**2)
    baselines = {"dense_gpu_peak_int8": gpu(2 * macs), "dense_operations_4.6pJ": arithmetic(0, macs)}
    joules = report.energy_J
    return {
        "energy_J": {key: joules[key] for key in ("total", "low", "high", "by_component", "by_layer")},
        "latency_s": report.latency_s, "baselines": baselines, "dense_macs": macs,
        "times_gpu": baselines["dense_gpu_peak_int8"] / joules["total"],
        "excluded": [*report.to_json()["excluded"], "projection and match", "the sensor"],
        "updates": ledger.count(Action.neuron_update) / max(ledger.samples, 1),
    }  # fmt: skip
