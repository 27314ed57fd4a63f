"""What the demo's network costs on three macros at several T, beside its ANN on the same chips: one chip each, seed 0.

    python -m benchmarks energy

trains the demo's network on the embedded recordings (a minute) and runs its 360 test recordings through each chip.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import spikesim as ss
from spikesim import hardware
from spikesim.cli.demo_study import run_fold
from spikesim.datasets import load
from spikesim.units import si

MACROS = ("taox40-projected", "isaac32", "neurram130")
STEPS = (1, 2, 4, 8, 16, 32)


def measure() -> list[dict[str, Any]]:
    """Rows {macro, network, accuracy, joules, seconds, joule_seconds, low, high, area_mm2} and {macro, verdict}."""
    data, seeds = load("digits"), ss.Seeds(0)
    with tempfile.TemporaryDirectory() as folder:
        run_fold(data, (data.indices("train"), data.indices("test")), 0, 20, seeds, Path(folder))
        network = ss.load(Path(folder) / "network-0")
    found: list[dict[str, Any]] = []
    for name in MACROS:
        chip = hardware.deploy(network, hardware.load_macro(name), seeds=seeds.child("chip", 0))
        compared = hardware.compare(chip, data.part("test"), steps=STEPS)
        reports = [*compared.spiking.values(), *sorted(compared.ann.values(), key=lambda r: -r.energy_J["total"])]
        for row, report in zip(compared.rows(), reports):
            ends = {end: report.energy_J[end] for end in ("low", "high")}
            found.append({"macro": name, **row, **ends, "area_mm2": report.area_mm2})
        found += [{"macro": name, "verdict": sentence} for sentence in compared.verdicts()]
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """The results as the table of docs/energy.md."""
    lines = ["| network | " + " | ".join(MACROS) + " |", "| --- |" + " --- |" * len(MACROS)]
    measured = [r for r in rows if "network" in r]
    for network in dict.fromkeys(r["network"] for r in measured):
        cells = {r["macro"]: r for r in measured if r["network"] == network}
        texts = [
            f"{100 * r['accuracy']:.1f} %, {si(r['joules'], 'J')}, {si(r['seconds'], 's')}"
            for r in (cells[m] for m in MACROS)
        ]
        lines.append(f"| {network} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    import json

    from benchmarks.harness import RESULTS

    print(table([json.loads(line) for line in (RESULTS / "energy.jsonl").read_text().splitlines()]))
