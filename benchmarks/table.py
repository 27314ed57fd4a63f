"""`python -m benchmarks.table`: the table of benchmarks/README.md, from the committed results."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LINES = (
    ("W1 neuron layer, batch 1", "w1", 2, 1, "spikesim, float32 spikes into", 12),
    ("W1 neuron layer, batch 1, spikes as bits", "w1", 2, 1, "spikesim, bit-packed", None),
    ("W1 neuron layer, batch 32", "w1", 2, 32, "spikesim, float32 spikes into", 8),
    ("W2 events to scores, batch 128", "w2", 2, 128, "spikesim, events", 28),
    ("W2 events to scores, batch 128", "w2", 1, 128, "spikesim, events", None),
    ("W2 one sample", "w2", 1, 1, "spikesim, events", 50),
    ("W2 batch, float16 rows", "w2", 2, 128, "spikesim, events, float16", None),
    ("W2 batch, int8 rows", "w2", 2, 128, "spikesim, events, int8", None),
    ("W2 one sample, int8 rows", "w2", 1, 1, "spikesim, events, int8", None),
    ("recordings to events", "w2", 1, 128, "raw: spikesim, every event", 35),
    ("recordings to events, merged", "w2", 1, 128, "raw: spikesim, events of a pixel", None),
    ("W2b reservoir", "w2b", 2, 128, "spikesim, events", 16),
    ("W2b reservoir", "w2b", 1, 128, "spikesim, events", None),
    ("W3 convolutional", "w3", 2, 16, "spikesim, events", 8),
    ("W4 training step", "w4", 2, 128, "spikesim, events", 10),
    ("W4 training step", "w4", 1, 128, "spikesim, events", None),
)
"""Title, claim, threads, batch, start of our row's name, and the ratio aimed at."""


def results(claim: str) -> list[dict[str, Any]]:
    """The rows of a claim."""
    return [json.loads(line) for line in (HERE / "results" / f"{claim}.jsonl").read_text().splitlines()]


def table() -> str:
    """Markdown: ours, the best peer, the ratio, what was aimed at, and further ratios of the same row."""
    lines = [
        "| workload | threads | ours | best peer | ratio | aim | also |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for title, claim, threads, batch, start, aim in LINES:
        rows = [r for r in results(claim) if r["threads"] == threads and r.get("batch") == batch and "median_s" in r]
        ours = next(r for r in rows if r["name"].startswith(start))
        peer = next(r for r in rows if r["name"] == ours["best_peer"])
        also = [f"{ours[key]:.2f} {text}" for key, text in ALSO.items() if key in ours]
        found = (
            f"{seconds(ours)} | {peer['name'].removeprefix('raw: ')} {seconds(peer)} | {ours['ratio_to_best_peer']:.1f}"
        )
        lines.append(f"| {title} | {threads} | {found} | {aim or ''} | {', '.join(also)} |")
    return "\n".join(lines)


ALSO = {
    "share_of_copy": "of a copy's speed", "ratio_to_torch_sparse": "x torch.sparse",
    "ratio_to_best_compiled": "x best compiled peer", "equal_scores": "of scores equal float32's",
}  # fmt: skip


def seconds(row: dict[str, Any]) -> str:
    """The median in ms."""
    return f"{1e3 * row['median_s']:.3g} ms"


def filled(page: Path, marker: str, text: str) -> None:
    """Put `text` between <!-- marker --> and <!-- end --> in a page."""
    pattern = f"(<!-- {marker} -->).*?(<!-- end -->)"
    page.write_text(re.sub(pattern, lambda m: f"{m[1]}\n\n{text}\n\n{m[2]}", page.read_text(), flags=re.S))


if __name__ == "__main__":
    filled(HERE / "README.md", "table", table())
