"""The folder of `spikesim energy`: energy.json, energy.csv, PNGs and one self-contained report.html."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core.files import written
from ..report import energy as drawn
from ..report import figures
from ..report.html import Page, png
from ..units import si


def write_report(result: dict[str, Any], out: Path) -> None:
    """Write every figure as a PNG, and the report with all of them, into `out`."""
    total = result["energy_J"]["total"]
    images = {
        "energy": png(drawn.joules_by_layer(result["tree"])), "treemap": png(drawn.treemap(result["tree"])),
        "assumed": png(drawn.assumed_ranges(result["assumed"], total)),
        "baselines": png(figures.energy_beside_baselines(total, result["baselines"])),
    }  # fmt: skip
    if result["area_mm2"] > 0:
        images["area"] = png(drawn.treemap(result["tree"], "area_mm2"))
    for name, image in images.items():
        with written(out / f"{name}.png") as temporary:
            temporary.write_bytes(image)
    page = Page(f"spikesim energy: {result['macro']}, T = {result['steps']}")
    _headline(page, result)
    _how_sure(page, result)
    _energy(page, result, images)
    _time_and_area(page, result, images)
    _beside(page, result, images)
    _assumed(page, result, images)
    page.write(out / "report.html")


def _headline(page: Page, result: dict[str, Any]) -> None:
    chips, energy = result["chip_accuracy"], result["energy_J"]
    ideal = result["ideal_accuracy"]
    page.paragraph(
        f"{chips['n']} emulated chips, {result['samples']} samples at T = {result['steps']}; means per inference."
    )
    page.cards(
        [
            ("energy per inference", si(energy["total"], "J")),
            ("over what is assumed", f"{si(energy['low'], 'J')} to {si(energy['high'], 'J')}"),
            ("mean accuracy of the chips", f"{100 * chips['mean']:.2f} %"),
            *([("ideal network", f"{100 * ideal:.2f} %")] if ideal is not None else []),
            *[(f"the ANN at {a['bits']} bits on this chip", si(a["energy_J"], "J")) for a in result["ann_on_macro"]],
            ("latency, layer after layer", si(result["latency_s"], "s")),
            *([("area", f"{result['area_mm2']:.3g} mm²")] if result["area_mm2"] else []),
        ]
    )
    page.paragraph(result["note"], small=True)
    for warning in result["warnings"]:
        page.paragraph(f"Warning: {warning}")


def _how_sure(page: Page, result: dict[str, Any]) -> None:
    chips, joules, sampling = result["chip_accuracy"], result["chip_energy_J"], result["test_sampling"]
    page.heading("How sure")
    mean = f"{100 * chips['mean']:.2f} %"
    rows = [
        ("accuracy, over chips (Student's t)", mean, _percent(chips["ci95"])),
        (f"accuracy, over test samples ({sampling['samples']}, Wilson)", mean, _percent(sampling["ci95"])),
        (f"the worst chip (number {result['worst_chip']})", f"{100 * chips['worst']:.2f} %", ""),
        ("energy, over chips", si(joules["mean"], "J", 4), " to ".join(si(v, "J", 4) for v in joules["ci95"] or ())),
    ]  # fmt: skip
    rows += [
        (f"yield: chips that reach {100 * y['accuracy']:.2f} %", f"{y['chips']} of {chips['n']}", _percent(y["ci95"]))
        for y in result["yield"]
    ]
    page.table(("figure", "value", "95 % interval"), rows, (1, 2))
    page.paragraph(
        "Chips see the same samples: the interval over chips does not hold the error of the samples.", small=True
    )


def _percent(ends: list[float]) -> str:
    return " to ".join(f"{100 * end:.2f}" for end in ends) + " %"


def _energy(page: Page, result: dict[str, Any], images: dict[str, bytes]) -> None:
    energy = result["energy_J"]
    page.heading("Energy")
    page.figure(images["energy"], "Mean energy per inference of every layer, by component, counted on the run.")
    page.figure(images["treemap"], "The same as shares of the whole: layers (frames) and their components.")
    rows = sorted(energy["by_component"].items(), key=lambda row: -row[1])
    shares = [(k.replace("_", " "), si(v, "J"), f"{100 * v / max(energy['total'], 1e-300):.1f}") for k, v in rows]
    page.table(("component", "energy", "share (%)"), shares, (1, 2))


def _time_and_area(page: Page, result: dict[str, Any], images: dict[str, bytes]) -> None:
    timing, layers = result["timing"], result["tree"]["children"]
    page.heading("Time and area")
    path = ", ".join(name for name, _ in timing["critical_path"])
    page.paragraph(
        f"{si(timing['serial_s'], 's')} with layers one after the other; {si(timing['pipelined_s'], 's')} as a pipeline, "
        f"which then gives a result every {si(timing['interval_s'], 's')}. Slowest layer: {timing['bottleneck'] or 'none'}. "
        f"Critical path: {path or 'none'}."
    )
    rows = [
        (
            layer["name"], si(layer["seconds"], "s") if layer["seconds"] else "",
            f"{layer['area_mm2']:.3g}" if layer["area_mm2"] else "", si(layer["joules"], "J"),
        )
        for layer in layers
    ]  # fmt: skip
    page.table(("layer", "time", "area (mm²)", "energy"), rows, (1, 2, 3))
    if "area" in images:
        used = result["utilisation"]
        share = "" if used is None else f" Cells in use: {100 * used:.1f} % of the arrays'."
        page.figure(images["area"], f"Area by layer and component.{share}")


def _beside(page: Page, result: dict[str, Any], images: dict[str, bytes]) -> None:
    if not result["baselines"]:
        return
    page.heading("Beside it")
    page.figure(images["baselines"], "The same run by other means. None of these knows an array, a wire or a clock.")
    for ann in result["ann_on_macro"]:
        ratio = result["energy_J"]["total"] / max(ann["energy_J"], 1e-300)
        page.paragraph(
            f"The ANN behind this network, on the same arrays and converters with inputs of {ann['bits']} bits: "
            f"{si(ann['energy_J'], 'J')}, {100 * ann['accuracy']:.2f} %. Spikes cost {ratio:.3g} times as much."
        )
    if "comparison" in result:
        head = ("network", "accuracy (%)", "energy", "latency")
        rows = [
            (r["network"], f"{100 * (r['accuracy'] or 0):.2f}", si(r["joules"], "J"), si(r["seconds"], "s"))
            for r in result["comparison"]["rows"]
        ]
        page.table(head, rows, (1, 2, 3))
        for sentence in result["comparison"]["verdicts"]:
            page.paragraph(sentence[0].upper() + sentence[1:] + ".")
    notes = result["baseline_notes"]
    page.table(
        ("baseline", "energy", "what it is"),
        [(name, si(value, "J"), notes.get(name, "")) for name, value in result["baselines"].items()],
        (1,),
    )
    for name, value in result["tops_per_watt"].items():
        operations = si(result["operations"][name], "OP")
        page.paragraph(f"{value:.3g} TOPS/W for {operations} per inference ({name} operations).", small=True)


def _assumed(page: Page, result: dict[str, Any], images: dict[str, bytes]) -> None:
    page.heading("What is assumed and what is left out")
    if any("total_J" in a for a in result["assumed"]):
        page.figure(
            images["assumed"], "The total when one assumed constant moves between its ends and the others stay."
        )
    rows = [
        (a["key"], a["value"], " to ".join(si(v, "J") for v in a.get("total_J", ())) or "not a matter of prices", a["source"])
        for a in result["assumed"]
    ]  # fmt: skip
    page.table(("assumed constant", "value", "total between its ends", "reason or source"), rows)
    for sentence in result["excluded"]:
        page.paragraph(f"Not included: {sentence}", small=True)
    page.heading("Sources")
    page.table(("constant", "source"), list(result["sources"].items()))
