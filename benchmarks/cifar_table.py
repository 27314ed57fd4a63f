"""`python -m benchmarks.cifar_table`: the tables and the figure of docs/conversion-cifar.md, from the committed results."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.cifar_nets import NETS, SUFFIX
from benchmarks.cifar_recipes import PEER, STEPS, THEIRS, known, rights
from benchmarks.harness import RESULTS
from spikesim.evaluation import paired_gap

DOCS = Path(__file__).parents[1] / "docs"
NAMED = THEIRS[:3]
"""The peer's documented recipes, which ours is compared with."""

Cells = dict[tuple[str, str, str, int], dict[str, Any]]


def read(path: Path = RESULTS / "cifar_recipes.jsonl") -> Cells:
    """(network, source, recipe, T) -> cell."""
    return {(c["net"], c["source"], c["recipe"], c["steps"]): c for c in known(path)}


def gap(first: dict[str, Any], second: dict[str, Any]) -> tuple[float, float]:
    """Points by which the second is ahead on the images that both were shown, and the paired standard error."""
    n = min(first["samples"], second["samples"])
    points, error = paired_gap(rights(first)[:n], rights(second)[:n])
    return 100 * points, 100 * error


def ahead(cells: Cells, net: str, steps: int, recipe: str = "auto") -> tuple[str, float, float] | None:
    """The best of the peer's documented recipes at T, by how many points `recipe` is ahead of it, and the error."""
    theirs = [cells[net, PEER, name, steps] for name in NAMED if (net, PEER, name, steps) in cells]
    ours = cells.get((net, "spikesim", recipe, steps))
    if not theirs or ours is None:
        return None
    best = max(theirs, key=lambda c: c["accuracy"])
    return best["recipe"], *gap(best, ours)


def accuracies(cells: Cells, net: str) -> Iterator[str]:
    """Markdown: accuracy in percent of every recipe by T."""
    every = dict.fromkeys((s, r) for n, s, r, _ in cells if n == net and s != "ANN")  # in the order of the cells
    found = sorted(every, key=lambda k: (k[0] == PEER, k[1] != "auto"))
    ann, shown = cells[net, "ANN", "", 0], min(c["samples"] for (n, *_), c in cells.items() if n == net)
    first = (
        "" if shown == ann["samples"] else f", {100 * rights(ann)[:shown].mean():.1f} % on the {shown} of this table"
    )
    yield f"{net}: ANN {100 * ann['accuracy']:.1f} % on {ann['samples']} test images{first}"
    yield ""
    yield f"| recipe | {' | '.join(f'T = {t}' for t in STEPS)} |"
    yield "| --- |" + " --- |" * len(STEPS)
    for source, recipe in found:
        row = [cells.get((net, source, recipe, t)) for t in STEPS]
        shown = " | ".join("" if c is None else f"{100 * c['accuracy']:.1f}" for c in row)
        yield f"| {recipe if source != PEER else f'{PEER}, {recipe}'} | {shown} |"
    lead = [ahead(cells, net, t) for t in STEPS]
    if any(lead):
        shown = " | ".join("" if a is None else f"{a[1]:+.1f} ± {a[2]:.1f}" for a in lead)
        yield f"| auto less the peer's best documented recipe, points | {shown} |"
    yield ""


def drops(cells: Cells, net: str) -> Iterator[str]:
    """Markdown: what the fine-tuned copy loses, against itself as an ANN and against the network it was made from."""
    ann, tuned = cells[net, "ANN", "", 0], cells[net + SUFFIX, "ANN", "", 0]
    yield f"| {net}{SUFFIX}, {100 * tuned['accuracy']:.1f} % | {' | '.join(f'T = {t}' for t in STEPS)} |"
    yield "| --- |" + " --- |" * len(STEPS)
    for recipe in dict.fromkeys(r for n, s, r, _ in cells if n == net + SUFFIX and s == "spikesim"):
        for title, base in (("itself", tuned), ("the ANN", ann)):
            row = [cells.get((net + SUFFIX, "spikesim", recipe, t)) for t in STEPS]
            parts = ["" if c is None else "{:+.1f} ± {:.1f}".format(*_drop(base, c)) for c in row]
            yield f"| {recipe}, drop against {title} | {' | '.join(parts)} |"
    yield ""


def _drop(base: dict[str, Any], cell: dict[str, Any]) -> tuple[float, float]:
    points, error = gap(base, cell)
    return -points + 0.0, error


def tables(cells: Cells) -> str:
    """All tables, of the networks that have cells."""
    lines: list[str] = []
    for net in NETS:
        if (net, "ANN", "", 0) in cells:
            lines += accuracies(cells, net)
        if (net + SUFFIX, "ANN", "", 0) in cells:
            lines += drops(cells, net)
    return "\n".join(lines)


def figure(cells: Cells, path: Path) -> None:
    """Accuracy against T, ours and the peer's."""
    from matplotlib.figure import Figure

    nets = [net for net in NETS if (net, "ANN", "", 0) in cells]
    drawn = Figure(figsize=(5 * len(nets), 3.6), layout="constrained")
    for axes, net in zip(drawn.subplots(1, len(nets), squeeze=False)[0], nets):
        axes.axhline(100 * cells[net, "ANN", "", 0]["accuracy"], color="0.6", lw=1)
        lines = [("spikesim", "auto", "o-"), ("spikesim", "binary", "s-"), *((PEER, r, "x--") for r in NAMED)]
        for source, recipe, style in lines:
            found = {t: cells[net, source, recipe, t] for t in STEPS if (net, source, recipe, t) in cells}
            label = recipe if source != PEER else f"{PEER}, {recipe}"
            if not found:
                continue
            axes.plot(list(found), [100 * c["accuracy"] for c in found.values()], style, label=label, ms=4)
        axes.set(xscale="log", xlabel="T", ylabel="accuracy (%)", title=net, xticks=STEPS, ylim=(0, 100))
        axes.set_xticks(STEPS, [str(t) for t in STEPS])
        axes.minorticks_off()
    axes.legend(fontsize=8)
    drawn.savefig(path, dpi=110)


def main() -> None:
    """Write both."""
    cells, page = read(), DOCS / "conversion-cifar.md"
    text = re.sub(
        r"(?s)<!-- tables -->.*<!-- end -->",
        lambda _: (
            f"<!-- tables -->\n\n![Accuracy against T](figures/conversion_cifar.png)\n\n{tables(cells)}\n<!-- end -->"
        ),
        page.read_text(),
    )
    page.write_text(text)
    figure(cells, DOCS / "figures" / "conversion_cifar.png")


if __name__ == "__main__":
    main()
