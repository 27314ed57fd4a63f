"""Figures of a zero-shot study: matches by class, the space in two directions, all pairs of unseen classes, energy."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .figures import ACCENT, INK, PALE, SECOND, panels


def figures(result: dict[str, Any]) -> dict[str, Figure]:
    """Name -> figure, of what the result holds."""
    found = {
        "retrieval": retrieval(result["seen"]), "embedding": embedding(result["seen"]["map"]), "pairs": pairs(result["pairs"])
    }  # fmt: skip
    return found | ({"energy": energy(result["chips"]["energy"])} if "chips" in result else {})


def retrieval(seen: dict[str, Any]) -> Figure:
    """Of the queries of a class (row) the share whose match is of a class (column), for both directions."""
    figure, both = panels(width=9.0, height=4.2, columns=2)
    for axis, (name, counts) in zip(both, seen["matrix"].items()):
        table = np.array(counts, np.float64)
        shares = table / np.maximum(table.sum(1, keepdims=True), 1)
        axis.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        for (i, j), share in np.ndenumerate(shares):
            if share >= 0.005:
                axis.text(
                    j, i, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color="w" if share > 0.6 else INK
                )
        places = range(len(shares))
        axis.set_xticks(places, seen["classes"])
        axis.set_yticks(places, seen["classes"])
        axis.set(xlabel="class of the match", ylabel="class of the query")
        axis.set_title(f"{name} (%), chance {100 * seen['chance'][name]:.1f} %", fontsize=10)
    return figure


def embedding(places: dict[str, Any]) -> Figure:
    """Samples of both modalities in the two main directions of the common space, coloured by class."""
    figure, axis = panels(width=6.4, height=5.0)
    last = max(9, *(max(row["label"]) for row in places.values()))
    colours = "tab10" if last == 9 else "turbo"
    for marker, (name, row) in zip("o^", places.items()):
        shown = axis.scatter(
            row["x"], row["y"], c=row["label"], cmap=colours, vmin=0, vmax=last, marker=marker, s=16, alpha=0.7
        )
        axis.scatter([], [], color=INK, marker=marker, s=16, label=name)
    figure.colorbar(shown, ax=axis, label="class", ticks=range(last + 1))
    axis.set(xlabel="first main direction", ylabel="second")
    axis.legend(frameon=False, fontsize=8)
    return figure


def pairs(row: dict[str, Any]) -> Figure:
    """Matches of every pair of classes when it is left out of training, and the mean against shuffled names."""
    figure, (left, right) = panels(width=9.6, height=3.8, columns=2)
    shares = [100 * r["mean"] for r in row["rows"][row["chosen"]]]
    left.hist(shares, bins=np.arange(0, 105, 5), color=ACCENT)
    left.axvline(50, color=SECOND, linestyle="--", label="chance")
    left.set(xlabel="match of an unseen pair (%)", ylabel="pairs", title=f"{len(shares)} pairs, {row['chosen']}")
    left.legend(frameon=False, fontsize=8)
    right.hist([100 * n for n in row["null"]], bins=20, color=PALE, label="names shuffled")
    right.axvline(
        100 * row["held_out_mean"], color=SECOND, label="right names" + (f", p = {row['p']:.3f}" if row["null"] else "")
    )
    right.set(xlabel=f"mean over {row['held_out_pairs']} held-out pairs (%)", ylabel="shuffles")
    right.legend(frameon=False, fontsize=8)
    return figure


def energy(rows: dict[str, Any]) -> Figure:
    """Joules of one recording: parts of the chip, and baselines."""
    figure, axis = panels(width=7.2, height=3.8)
    names = list(rows)
    bottom = np.zeros(len(names))
    parts = sorted({p for row in rows.values() for p in row["energy_J"]["by_component"]})
    shades = [INK, ACCENT, SECOND, PALE, "#7a9e7e", "#b5838d", "#6d6875", "#e5989b", "#457b9d", "#a8dadc", "#8d99ae"]
    places = np.arange(len(names), dtype=float)
    for part, colour in zip(parts, shades):
        height = np.array([1e6 * rows[n]["energy_J"]["by_component"].get(part, 0.0) for n in names])
        axis.bar(places - 0.2, height, 0.35, bottom=bottom, color=colour, label=part.replace("_", " "))
        bottom += height
    axis.bar(places + 0.2, [1e6 * rows[n]["baselines"]["dense_gpu_peak_int8"] for n in names], 0.35, color="w",
             edgecolor=INK, hatch="//", label="graphics card at its peak")  # fmt: skip
    axis.set_xticks(places, names)
    axis.set(ylabel="energy of a recording (µJ)")
    axis.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
