"""`python -m benchmarks.table_retraining`: the tables of retraining in docs/training.md, from `results/retrain_NAME-SEED.json`.

These are the `retrain.json` of `spikesim retrain benchmarks/studies/retrain_NAME.toml --seed SEED`.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.harness import RESULTS
from benchmarks.table import filled
from benchmarks.table_strangers import markdown

PAGE = Path(__file__).parents[1] / "docs" / "training.md"
HEAD = [
    "T", "accuracy", "drop from the stage before", "behind the ANN", "converted, same T", "spikes per neuron",
    "fewer joules: paper's formula, counted", "ms a sample",
]  # fmt: skip


def table(runs: list[dict[str, Any]]) -> str:
    """A line per T: means over seeds; after them the ANN and direct training."""
    lines = []
    for stages in zip(*(run["stages"] for run in runs)):
        drops = [row["drop_from_before"] for row in stages]
        steps = str(stages[0]["steps"])
        spikes = [sum(row["spikes"].values()) / len(row["spikes"]) for row in stages]
        lines.append([
            steps, spread([100 * row["accuracy"] for row in stages]),
            f"{mean(d for d, _ in drops):+.2f} (each ± {mean(e for _, e in drops):.2f})",
            f"{mean(row['drop_from_ann'][0] for row in stages):+.2f}",
            spread([100 * row["converted"]["accuracy"] for row in stages if "converted" in row]), f"{mean(spikes):.2f}",
            f"{mean(row['paper_ratio'] for row in stages):.1f}, {mean(row['counted_ratio'] for row in stages):.1f}",
            f"{mean(run['milliseconds_per_sample'][steps] for run in runs):.2f}",
        ])  # fmt: skip
    last = [run["stages"][-1] for run in runs]
    direct = [100 * row["direct"]["accuracy"] for row in last if "direct" in row]
    if direct:
        lines.append(["direct, T = " + str(last[0]["steps"]), spread(direct), *[""] * 6])
    ann = mean(run["milliseconds_per_sample"]["ann"] for run in runs)
    lines.append(["ANN", spread([100 * run["ann_accuracy"] for run in runs]), *[""] * 5, f"{ann:.2f}"])
    return markdown(HEAD, lines)


def spread(values: list[float]) -> str:
    """Mean and standard deviation over seeds, in percent; nothing where a study had `compare = false`."""
    if len(values) > 1:
        return f"{mean(values):.2f} % ± {stdev(values):.2f}"
    return f"{values[0]:.2f} %" if values else ""


def recorded(name: str) -> list[dict[str, Any]]:
    """The runs of a study, by seed."""
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob(f"retrain_{name}-*.json"))]


if __name__ == "__main__":
    for name in ("fashion", "cifar"):
        filled(PAGE, name, table(recorded(name)))
