"""Figures of the demo's report. Each function takes plain numbers and returns a matplotlib Figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..units import si

INK, ACCENT, SECOND, PALE = "#22303c", "#0b6e99", "#d9730d", "#c9d3da"


def panels(width: float = 6.4, height: float = 3.6, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained", dpi=130)
    axes = figure.subplots(1, columns, **options)
    for axis in np.atleast_1d(axes):
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def accuracy_against_steps(
    snn: Mapping[int, float], ann: float, chance: float, errors: Mapping[int, float] | None = None
) -> Figure:
    """SNN accuracy against the number of time steps, with the ANN and chance as lines. Accuracies 0..1."""
    figure, axis = panels()
    _against_steps(axis, snn, ann, chance, errors)
    return figure


def _against_steps(
    axis: Any, snn: Mapping[int, float], ann: float, chance: float, errors: Mapping[int, float] | None
) -> None:
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


def conversion_loss(
    snn: Mapping[int, float], ann: float, chance: float, errors: Mapping[int, float],
    layers: Sequence[Mapping[str, Any]],
) -> Figure:  # fmt: skip
    """What a conversion lost: accuracy against T, and every layer's relative error with its parts, in order.

    layers  `LayerReport`s as dicts: error, inherited, clipping, quantisation, unevenness as shares of |activation|
    """
    figure, (left, right) = panels(width=11.0, height=4.2, columns=2)
    _against_steps(left, snn, ann, chance, errors)
    places = np.arange(len(layers))
    for name, label, style, color in PARTS:
        right.plot(places, [layer[name] for layer in layers], style, marker="o", markersize=4, color=color, label=label)
    right.set_xticks(places, [layer["node"] for layer in layers], rotation=60, ha="right", fontsize=7)
    right.set(ylabel="relative error of the layer", ylim=(0, None))
    right.legend(frameon=False, fontsize=8)
    return figure


PARTS = (
    ("error", "error", "-", INK), ("inherited", "handed on by layers before", "--", INK), ("clipping", "clipping", "-", SECOND),
    ("quantisation", "quantisation", "-", ACCENT), ("unevenness", "unevenness", "-", PALE),
)  # fmt: skip
"""A layer's error and its parts: name, label, line, colour."""


def spike_raster(spikes: Mapping[str, np.ndarray], neurons: int = 60) -> Figure:
    """Spikes (T, N) of each layer over time, negative ones in another colour: up to `neurons` of those that fired."""
    figure, axes = panels(width=7.2, height=3.8, columns=len(spikes), sharex=True)
    for axis, (name, layer) in zip(np.atleast_1d(axes), spikes.items()):
        fired = np.flatnonzero(layer.any(0))
        shown = fired[np.linspace(0, len(fired) - 1, min(neurons, len(fired))).astype(int)] if len(fired) else fired
        for sign, color in ((1, INK), (-1, SECOND)):
            t, n = np.nonzero(layer[:, shown] == sign)
            axis.scatter(t + 1, n, s=5, color=color, marker="|")
        axis.set(title=f"{name}: {len(fired)} of {layer.shape[1]} fired", xlabel="time step")
        axis.set_ylabel("neuron (of those that fired)")
    return figure


def membrane_traces(traces: np.ndarray, spikes: np.ndarray, thresholds: np.ndarray, node: str) -> Figure:
    """Membranes (T, n) after reset in units of each neuron's threshold, and their spikes (T, n), -1, 0 or 1."""
    count = traces.shape[1]
    figure = Figure(figsize=(7.2, 1.2 * count + 0.9), layout="constrained", dpi=130)
    steps = np.arange(1, len(traces) + 1)
    for i, axis in enumerate(figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]):
        axis.spines[["top", "right"]].set_visible(False)
        axis.plot(steps, traces[:, i] / thresholds[i], color=INK, linewidth=1.3)
        axis.axhline(1, color=PALE, linewidth=0.9, linestyle="--")
        top = max(1.6, 1.15 * float((traces[:, i] / thresholds[i]).max()))
        for sign, marker, color in ((1, "^", SECOND), (-1, "v", ACCENT)):
            at = steps[spikes[:, i] == sign]
            axis.scatter(at, np.full(len(at), top), s=22, color=color, marker=marker, clip_on=False)
        axis.set_ylabel(f"neuron {i + 1}\nv / threshold", fontsize=8)
        axis.set_ylim(min(-0.2, float((traces[:, i] / thresholds[i]).min())), 1.1 * top)
    axis.set_xlabel("time step")
    figure.suptitle(f"{node}: membrane after reset; dashed: threshold; ▲ spike, ▼ spike taken back", fontsize=9)
    return figure


def conductance_map(positive: np.ndarray, negative: np.ndarray, node: str) -> Figure:
    """Programmed conductances (rows, columns) of one layer's differential pairs, in siemens."""
    figure, axes = panels(width=7.2, height=3.8, columns=2, sharey=True)
    top = 1e6 * max(positive.max(), negative.max())
    for axis, (title, g) in zip(axes, (("G+", positive), ("G−", negative))):
        image = axis.imshow(1e6 * g, aspect="auto", cmap="viridis", vmin=0, vmax=top, interpolation="nearest")
        axis.set(title=f"{node}: {title}", xlabel="column", ylabel="row")
    figure.colorbar(image, ax=list(axes), label="conductance (µS)", shrink=0.9)
    return figure


def energy_by_component(by_component: Mapping[str, float], low: float, high: float) -> Figure:
    """Mean joules per inference of each component, largest first, and the total's range."""
    figure, axis = panels(height=3.8)
    rows = sorted(((k, v) for k, v in by_component.items() if v > 0), key=lambda row: row[1])
    total = math.fsum(by_component.values())
    scale, unit = next(((s, u) for s, u in ((1e-6, "µJ"), (1e-9, "nJ")) if total >= s), (1e-12, "pJ"))
    bars = axis.barh([k.replace("_", " ") for k, _ in rows], [v / scale for _, v in rows], color=ACCENT)
    for bar, (_, joules) in zip(bars, rows):
        where = (joules / scale, bar.get_y() + bar.get_height() / 2)
        axis.annotate(f" {si(joules, 'J')} ({100 * joules / total:.0f} %)", where, va="center", fontsize=8)
    axis.set_xlim(0, 1.35 * max((v / scale for _, v in rows), default=1))
    axis.set(xlabel=f"energy per inference ({unit})")
    spread = f"{si(low, 'J')} to {si(high, 'J')} over what is assumed"
    axis.set_title(f"total {si(total, 'J')}; {spread}", fontsize=9)
    return figure


def chip_spread(accuracies: Sequence[float], ideal: float) -> Figure:
    """Accuracy of each emulated chip beside the ideal spiking network on the same recordings."""
    figure, axis = panels(height=3.0)
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
    figure, axis = panels(height=3.0)
    rows = [("this run on the macro", total), *baselines.items()]
    rows = [(k, v) for k, v in rows if v > 0][::-1]
    names = [k.replace("_", " ").replace("ann ", "ANN ").replace("snn ", "SNN ") for k, _ in rows]
    axis.barh(names, [v for _, v in rows], color=[*[PALE] * (len(rows) - 1), ACCENT])
    axis.set_xscale("log")
    for i, (_, value) in enumerate(rows):
        axis.annotate(f" {si(value, 'J')}", (value, i), va="center", fontsize=8)
    axis.set_xlim(min(v for _, v in rows) / 3, max(v for _, v in rows) * 30)
    axis.set_xlabel("energy per inference (J)")
    return figure


def training_curves(
    history: Sequence[Mapping[str, Any]], test_accuracy: float | None, scored: str = "accuracy"
) -> Figure:
    """Loss, and accuracies (or what else is scored) in percent, by epoch; the test's as a point at the end."""
    figure, (left, right) = panels(9.6, 3.6, 2)
    epochs = [e["number"] for e in history]
    left.plot(epochs, [e["loss"] for e in history], marker="o", markersize=3, color=ACCENT)
    left.set(xlabel="epoch", ylabel="loss")
    right.plot(epochs, [100 * e["accuracy"] for e in history], marker="o", markersize=3, color=ACCENT, label="training")
    if history[-1].get("validation") is not None:
        right.plot(
            epochs, [100 * e["validation"] for e in history], marker="o", markersize=3, color=INK, label="validation"
        )
    if test_accuracy is not None:
        star = {"marker": "*", "markersize": 11, "linestyle": "", "color": SECOND}
        right.plot(epochs[-1:], [100 * test_accuracy], label="test", **star)
    right.set(xlabel="epoch", ylabel=f"{scored} (%)")
    right.legend(frameon=False)
    for axis in (left, right):
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def retraining(result: Mapping[str, Any]) -> Figure:
    """Accuracy against T of retrained and converted networks, and spikes per neuron layer by layer at every T."""
    figure, (left, right) = panels(11.0, 4.2, 2)
    rows = sorted(result["stages"], key=lambda row: row["steps"])
    steps = [row["steps"] for row in rows]
    left.plot(steps, [100 * row["accuracy"] for row in rows], marker="o", color=ACCENT, label="retrained")
    if all("converted" in row for row in rows):
        converted = [100 * row["converted"]["accuracy"] for row in rows]
        left.plot(steps, converted, marker="s", markersize=4, color=INK, label="converted")
    if "direct" in rows[0]:
        left.plot(
            steps[:1], [100 * rows[0]["direct"]["accuracy"]], marker="*", ls="", ms=11, color=SECOND, label="direct"
        )
    left.axhline(100 * result["ann_accuracy"], color=SECOND, linestyle="--", label="ANN")
    left.axhline(100 * result["chance"], color=PALE, linestyle=":", label="chance")
    left.set(xlabel="time steps T", ylabel="accuracy (%)", xticks=steps)
    left.legend(frameon=False)
    for row in rows:
        right.plot(
            range(1, len(row["spikes"]) + 1),
            list(row["spikes"].values()),
            marker="o",
            ms=3,
            label=f"T = {row['steps']}",
        )
    right.set(xlabel="layer", ylabel="spikes per neuron and inference")
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.legend(frameon=False)
    return figure
