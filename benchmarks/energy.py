"""What three networks cost on three macros at several T, beside their ANNs on the same chips: one chip each, seed 0.

    python -m benchmarks energy            # everything; a stopped run goes on.  ENERGY=digits,nmnist: those alone
    python -m benchmarks.energy            # puts the tables into docs/energy.md

digits     the demo's network on the embedded recordings: trained (a minute), its 360 test recordings
nmnist     the same network on real N-MNIST: trained on folds 2 to 5 of 990 recordings, the 198 of the first fold
resnet14   CrossSim's ResNet-14, trained by others, on CIFAR-10 as JPEG files: converted on 128 training images, the first
           132 test images

The last two need $SPIKESIM_SHARED. No choice is made on test data.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import spikesim as ss
from benchmarks.harness import RESULTS, resumed
from benchmarks.strangers import stranger
from benchmarks.table import filled
from spikesim import hardware
from spikesim.cli.demo_study import run_fold
from spikesim.core.ledger import Ledger
from spikesim.datasets import load
from spikesim.datasets.base import ArrayDataset, EventDataset
from spikesim.evaluation import evaluate
from spikesim.hardware.cost.baselines import baselines
from spikesim.hardware.energy import operations
from spikesim.units import si

MACROS = ("taox40-projected", "isaac32", "neurram130")
STEPS = {"digits": (1, 2, 4, 8, 16, 32), "nmnist": (1, 2, 4, 8, 16, 32), "resnet14": (1, 2, 4, 8, 16)}
IMAGES, CALIBRATION = 132, 128

Subject = tuple[ss.Network, EventDataset | ArrayDataset]


def shared() -> Path:
    """The folder of the shared data."""
    return Path(os.environ.get("SPIKESIM_SHARED", "")).resolve()


def _demo(data: EventDataset, rows: tuple[np.ndarray, np.ndarray], epochs: int) -> Subject:
    with tempfile.TemporaryDirectory() as folder:
        run_fold(data, rows, 0, epochs, ss.Seeds(0), Path(folder))
        return ss.load(Path(folder) / "network-0"), data.subset(rows[1])


def digits() -> Subject:
    """The demo's network, and its test recordings."""
    data: Any = load("digits")
    return _demo(data, (data.indices("train"), data.indices("test")), 20)


def nmnist() -> Subject:
    """The demo's network on real recordings, and those of the first fold."""
    data: Any = load(shared() / "nmnist_small.npz")
    return _demo(data, data.folds(5)[0], 40)


def resnet14() -> Subject:
    """A network that was trained elsewhere, converted; and images it was not trained on."""
    ann, learn, test = stranger("cifar10_resnet14", shared())
    network, _ = ss.convert(ann, calibration=learn.x[:CALIBRATION], steps=STEPS["resnet14"][-1], recipe="signed")
    return network, test.subset(range(IMAGES))


SUBJECTS: dict[str, Callable[[], Subject]] = {"digits": digits, "nmnist": nmnist, "resnet14": resnet14}


@lru_cache(maxsize=1)
def subject(name: str) -> Subject:
    """A network and its test data."""
    return SUBJECTS[name]()


def measure() -> list[dict[str, Any]]:
    """Rows {subject, macro, network, accuracy, joules, seconds, joule_seconds, low, high, area_mm2, samples ...} and
    {subject, macro, verdict}."""
    wanted = os.environ.get("ENERGY", ",".join(SUBJECTS)).split(",")
    stored = RESULTS / "energy.jsonl"
    kept = [r for r in _read(stored) if r["subject"] not in wanted] if stored.exists() else []
    cases = [{"subject": name, "macro": macro} for name in wanted for macro in MACROS]
    return kept + [row for found in resumed("energy", cases, compared) for row in found["rows"]]


def compared(case: dict[str, Any]) -> dict[str, Any]:
    """One network on one chip of a macro."""
    network, test = subject(case["subject"])
    steps = STEPS[case["subject"]]
    chip = hardware.deploy(network, hardware.load_macro(case["macro"]), seeds=ss.Seeds(0).child("chip", 0))
    found = hardware.compare(chip, test, steps=steps)
    ideal = {f"SNN, T = {t}": counted(network, test, t) for t in steps}
    reports = [*found.spiking.values(), *sorted(found.ann.values(), key=lambda r: -r.energy_J["total"])]
    rows = []
    for row, report in zip(found.rows(), reports):
        spread = 100 * float(np.sqrt(row["accuracy"] * (1 - row["accuracy"]) / len(test)))
        row |= {"samples": len(test), "standard_error_points": spread, "area_mm2": report.area_mm2}
        row |= {end: report.energy_J[end] for end in ("low", "high")}
        if row["network"] in ideal:
            row |= ideal[row["network"]] | {"gain_on_macro": found.ann[8].energy_J["total"] / row["joules"]}
        rows.append({**case, **row})
    return {"rows": rows + [{**case, "verdict": sentence} for sentence in found.verdicts()]}


@cache
def counted(network: ss.Network, test: EventDataset | ArrayDataset, steps: int) -> dict[str, float]:
    """The ideal network: its accuracy, and its gain on its ANN by operations (4.6 and 0.9 pJ each)."""
    ledger = Ledger()
    bound = network.bound(steps) if isinstance(test, EventDataset) else network
    found = evaluate(bound, test, steps=steps, ledger=ledger)
    done = baselines(operations(bound, ledger, test))
    gain = done["ann_operations_4.6pJ"] / done["snn_operations_0.9pJ"]
    return {"ideal_accuracy": found.accuracy, "gain_by_operations": gain}


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def table(rows: Iterable[dict[str, Any]], subject: str) -> str:
    """The results of one network as a table of docs/energy.md."""
    lines = ["| network | " + " | ".join(MACROS) + " |", "| --- |" + " --- |" * len(MACROS)]
    measured = [r for r in rows if "network" in r and r["subject"] == subject]
    for network in dict.fromkeys(r["network"] for r in measured):
        cells = {r["macro"]: r for r in measured if r["network"] == network}
        texts = [
            f"{100 * r['accuracy']:.1f} %, {si(r['joules'], 'J')}, {si(r['seconds'], 's')}" if r else "–"
            for r in (cells.get(m) for m in MACROS)
        ]
        lines.append(f"| {network} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def laws(rows: Sequence[dict[str, Any]]) -> str:
    """Gains by operations and on the macro over the T that were run, and energy times delay of T = 4 over T = 1."""
    lines = ["| network | macro | T | gain by operations | gain on the macro | energy x delay, T = 4 over 1 |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for name in SUBJECTS:
        for macro in MACROS:
            mine = {r["network"]: r for r in rows if "network" in r and (r["subject"], r["macro"]) == (name, macro)}
            spiking = {t: mine[f"SNN, T = {t}"] for t in STEPS[name] if f"SNN, T = {t}" in mine}
            if not spiking:
                continue
            each = [" / ".join(f"{r[key]:.2g}" if key in r else "–" for r in spiking.values()) for key in GAINS]
            grown = spiking[4]["joule_seconds"] / spiking[1]["joule_seconds"]
            steps = " / ".join(map(str, spiking))
            lines.append(f"| {name} | {macro} | {steps} | {each[0]} | {each[1]} | {grown:.1f} |")
    return "\n".join(lines)


GAINS = ("gain_by_operations", "gain_on_macro")

if __name__ == "__main__":
    stored, page = _read(RESULTS / "energy.jsonl"), Path(__file__).parents[1] / "docs" / "energy.md"
    for name in SUBJECTS:
        filled(page, name, table(stored, name))
    filled(page, "laws", laws(stored))
