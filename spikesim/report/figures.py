"""Figures of the demo's report. Each function takes plain numbers and returns a matplotlib Figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

INK, ACCENT, SECOND, PALE = "#22303c", "#0b6e99", "#d9730d", "#c9d3da"
STYLE = {"color": INK, "linewidth": 1.8}


def _axes(width: float = 6.4, height: float = 3.6, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained", dpi=130)
    axes = figure.subplots(1, columns, **options)
    for axis in np.atleast_1d(axes):
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def accuracy_against_steps(
    snn: Mapping[int, float], ann: float, chance: float, errors: Mapping[int, float] | None = None
) -> Figure:
    """SNN accuracy against the number of time steps, with the ANN and chance as lines. Accuracies 0..1."""
    figure, axis = _axes()
    steps = sorted(snn)
    values = [100 * snn[t] for t in steps]
    spread = None if errors is None else [100 * errors[t] for t in steps]
    axis.errorbar(steps, values, yerr=spread, marker="o", color=ACCENT, capsize=3, label="SNN (± s.e. of SNN − ANN)")
    axis.axhline(100 * ann, color=SECOND, linestyle="--", label=f"ANN {100 * ann:.1f} %")
    axis.axhline(100 * chance, color=PALE, linestyle=":", label=f"chance {100 * chance:.1f} %")
    axis.set_xscale("log", base=2)
    axis.set_xticks(steps, [str(t) for t in steps])
    axis.set(xlabel="time steps T", ylabel="accuracy (%)", ylim=(0, 102))
    for t, value in zip(steps, values):
        axis.annotate(f"{value:.1f}", (t, value), textcoords="offset points", xytext=(0, -14), ha="center", fontsize=8)
    axis.legend(loc="lower right", frameon=False)
    return figure


def spike_raster(spikes: Mapping[str, np.ndarray], neurons: int = 60) -> Figure:
    """Spikes (T, N) of each layer over time: up to `neurons` of those that fired, spread evenly."""
    figure, axes = _axes(width=7.2, height=3.8, columns=len(spikes), sharex=True)
    for axis, (name, layer) in zip(np.atleast_1d(axes), spikes.items()):
        fired = np.flatnonzero(layer.any(0))
        shown = fired[np.linspace(0, len(fired) - 1, min(neurons, len(fired))).astype(int)] if len(fired) else fired
        t, n = np.nonzero(layer[:, shown])
        axis.scatter(t + 1, n, s=5, color=INK, marker="|")
        axis.set(title=f"{name}: {len(fired)} of {layer.shape[1]} fired", xlabel="time step")
        axis.set_ylabel("neuron (of those that fired)")
    return figure


def membrane_traces(traces: np.ndarray, spikes: np.ndarray, thresholds: np.ndarray, node: str) -> Figure:
    """Membranes (T, n) after reset in units of each neuron's threshold, and their spikes (T, n)."""
    figure, axis = _axes(width=7.2)
    steps = np.arange(1, len(traces) + 1)
    for i in range(traces.shape[1]):
        line = traces[:, i] / thresholds[i]
        axis.plot(steps, line + 1.6 * i, color=INK, linewidth=1.2)
        axis.axhline(1.6 * i + 1, color=PALE, linewidth=0.8, linestyle="--")
        fired = spikes[:, i] > 0
        axis.scatter(steps[fired], np.full(fired.sum(), 1.6 * i + 1.15), s=18, color=SECOND, marker="v")
    axis.set(xlabel="time step", yticks=[1.6 * i for i in range(traces.shape[1])])
    axis.set_yticklabels([f"neuron {i + 1}" for i in range(traces.shape[1])])
    axis.set_title(f"{node}: membrane after reset (dashed: threshold; triangles: spikes)", fontsize=9)
    return figure


def conductance_map(positive: np.ndarray, negative: np.ndarray, node: str) -> Figure:
    """Programmed conductances (rows, columns) of one layer's differential pairs, in siemens."""
    figure, axes = _axes(width=7.2, height=3.8, columns=2, sharey=True)
    top = 1e6 * max(positive.max(), negative.max())
    for axis, (title, g) in zip(axes, (("G+", positive), ("G−", negative))):
        image = axis.imshow(1e6 * g, aspect="auto", cmap="viridis", vmin=0, vmax=top, interpolation="nearest")
        axis.set(title=f"{node}: {title}", xlabel="column", ylabel="row")
    figure.colorbar(image, ax=list(axes), label="conductance (µS)", shrink=0.9)
    return figure


def energy_by_component(by_component: Mapping[str, float], low: float, high: float) -> Figure:
    """Mean joules per inference of each component, largest first, and the total's range."""
    figure, axis = _axes(height=3.8)
    rows = sorted(((k, v) for k, v in by_component.items() if v > 0), key=lambda row: row[1])
    total = sum(by_component.values())
    values = [1e9 * v for _, v in rows]
    bars = axis.barh([k.replace("_", " ") for k, _ in rows], values, color=ACCENT)
    for bar, value in zip(bars, values):
        axis.annotate(
            f" {value:.3g} nJ ({100e-9 * value / total:.0f} %)", (value, bar.get_y() + bar.get_height() / 2), va="center",
            fontsize=8,
        )  # fmt: skip
    axis.set_xlim(0, 1.35 * max(values, default=1))
    axis.set(xlabel="energy per inference (nJ)")
    axis.set_title(
        f"total {1e9 * total:.3g} nJ; {1e9 * low:.3g} to {1e9 * high:.3g} nJ over the assumed cell scale", fontsize=9
    )
    return figure


def chip_spread(accuracies: Sequence[float], ideal: float) -> Figure:
    """Accuracy of each emulated chip beside the ideal spiking network on the same recordings."""
    figure, axis = _axes(height=3.0)
    values = [100 * a for a in accuracies]
    axis.scatter(range(1, len(values) + 1), values, color=ACCENT, s=40, label="emulated chip", zorder=3)
    axis.axhline(100 * ideal, color=SECOND, linestyle="--", label=f"ideal SNN {100 * ideal:.1f} %")
    axis.axhline(float(np.mean(values)), color=INK, linewidth=1, label=f"mean of chips {np.mean(values):.1f} %")
    low, high = min([*values, 100 * ideal]), max([*values, 100 * ideal])
    axis.set(xlabel="chip", ylabel="accuracy (%)", ylim=(low - 2, min(high + 2, 101)))
    axis.set_xticks(range(1, len(values) + 1))
    axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def energy_beside_baselines(total: float, baselines: Mapping[str, float]) -> Figure:
    """Joules per inference of the chip and of each baseline, on a logarithmic axis."""
    figure, axis = _axes(height=3.0)
    rows = [("this run on the macro", total), *baselines.items()]
    rows = [(k, v) for k, v in rows if v > 0][::-1]
    axis.barh([k for k, _ in rows], [v for _, v in rows], color=[*[PALE] * (len(rows) - 1), ACCENT])
    axis.set_xscale("log")
    for i, (_, value) in enumerate(rows):
        axis.annotate(f" {value:.2e} J", (value, i), va="center", fontsize=8)
    axis.set_xlim(min(v for _, v in rows) / 3, max(v for _, v in rows) * 30)
    axis.set_xlabel("energy per inference (J)")
    return figure
