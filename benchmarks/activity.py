"""Time against activity: W2's and W3's networks and their single layers, from 0.1 to 30 % of inputs active.

Every input is active with the same probability at every step. "events" and "dense" are what the two ways cost, "auto" is
what a user gets. The figure is `docs/figures/activity.png`; the crossover is where events cost what the dense product costs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

import spikesim as ss
from benchmarks import contenders as c
from benchmarks import harness, w2, w3
from benchmarks.workloads import convolution_weights, dense_weights, strokes

SHARES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "activity.png"


def measure(rounds: int = 5) -> list[dict[str, Any]]:
    """Rows {name, share, way, median_s, ratio_to_dense}; also draws the figure."""
    raster = w2.flattened(ss.sparse_raster(strokes(16), 50))
    small = ss.sparse_raster(strokes(8), 25)
    networks = {
        "W2: 2312-512-10": (w2.network(*dense_weights(raster.dense())), (50, 32, 2312)),
        "W3: 16c5-p2-32c3-p2-10": (w3.network(*convolution_weights(small.dense())), (25, 16, 2, 34, 34)),
    }
    rows = [row for name, (net, shape) in networks.items() for row in measured(name, net, shape, rounds)]
    drawn(rows)
    return rows


def measured(name: str, net: ss.Network, shape: tuple[int, ...], rounds: int) -> list[dict[str, Any]]:
    found = []
    for share in SHARES:
        x = (torch.rand(shape, generator=torch.Generator().manual_seed(0)) < share).float()
        raster = ss.SparseRaster.from_dense(x)
        ways = {
            "dense": lambda x=x: ss.run(net, x, engine=ss.Fused()), "auto, tensor in": lambda x=x: ss.run(net, x),
            "auto, events in": lambda r=raster: ss.run(net, r),
            "events": lambda r=raster: ss.run(net, r, engine=ss.EventDriven(always=True)),
        }  # fmt: skip
        with c.threads(2), torch.no_grad():
            times = harness.spent(ways, rounds)
        firing = float(ss.run(net, x, record=["1"]).recording["1"].mean())
        found += [
            {
                "name": name, "way": way, "share": share, "firing": round(firing, 4), "threads": 2, "rounds": rounds,
                "median_s": sorted(taken)[len(taken) // 2],
                "ratio_to_dense": harness.median_ratio(taken, times["dense"]),
            }
            for way, taken in times.items()
        ]  # fmt: skip
    return found


def drawn(rows: list[dict[str, Any]]) -> None:
    """Milliseconds against share of active inputs, one panel a network."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    names = list(dict.fromkeys(row["name"] for row in rows))
    figure, panels = pyplot.subplots(1, len(names), figsize=(9, 3.4), layout="constrained")
    styles = {"dense": "k--", "events": "C0o-", "auto, tensor in": "C1^-", "auto, events in": "C2s-"}
    for panel, name in zip(panels, names):
        for way, style in styles.items():
            points = [(100 * r["share"], 1e3 * r["median_s"]) for r in rows if r["name"] == name and r["way"] == way]
            panel.loglog(*zip(*points), style, label=way, markersize=4, linewidth=1)
        panel.set(title=name, xlabel="active inputs, %", ylabel="time of a batch, ms")
        panel.yaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_formatter(ticker.FormatStrFormatter("%g"))
            axis.set_minor_formatter(ticker.NullFormatter())
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(FIGURE, dpi=110)
    pyplot.close(figure)


LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "linear 2312-512": (nn.Linear(2312, 512, bias=False), (50, 32, 2312)),
    "linear 512-512": (nn.Linear(512, 512, bias=False), (50, 32, 512)),
    "conv 2-16, 5x5 on 34x34": (nn.Conv2d(2, 16, 5, bias=False), (25, 16, 2, 34, 34)),
    "conv 16-32, 3x3 on 15x15": (nn.Conv2d(16, 32, 3, bias=False), (25, 16, 16, 15, 15)),
    "conv 64-64, 3x3 on 16x16": (nn.Conv2d(64, 64, 3, padding=1, bias=False), (10, 8, 64, 16, 16)),
    "conv 32-64, 3x3 stride 2 on 32x32": (nn.Conv2d(32, 64, 3, 2, 1, bias=False), (10, 8, 32, 32, 32)),
    "depthwise 64, 3x3 on 16x16": (nn.Conv2d(64, 64, 3, padding=1, groups=64, bias=False), (10, 8, 64, 16, 16)),
}
"""Single layers from which the crossover's constants in `stages/convolution.py` come: `python -m benchmarks layers`."""
