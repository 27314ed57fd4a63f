"""The demo's folder: PNGs and one self-contained report.html."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..core.files import written
from ..report import energy as drawn
from ..report import figures
from ..report.html import Page, png
from ..units import si


def write_report(result: dict[str, Any], out: Path) -> None:
    """Write every figure as a PNG and the report with all of them into `out`."""
    summary, images = result["summary"], _figures(result)
    for name, image in images.items():
        with written(out / f"{name}.png") as temporary:
            temporary.write_bytes(image)
    page = Page("spikesim demo: from recordings to joules")
    _headline(page, summary)
    _conversion_part(page, result, images)
    _hardware_part(page, result, images)
    page.write(out / "report.html")


def _figures(result: dict[str, Any]) -> dict[str, bytes]:
    from spikesim import hardware

    from ..hardware.study import averaged
    from .demo import MACRO

    summary, pictures = result["summary"], result["pictures"]
    steps = {int(t): a for t, a in summary["snn_accuracy"].items()}
    errors = {int(t): g["standard_error"] for t, g in summary["gap"].items()}
    spikes = {k.removeprefix("spikes:"): v for k, v in pictures.items() if k.startswith("spikes:")}
    chip = hardware.deploy(result["network"], hardware.load_macro(MACRO), seeds=result["seeds"].child("chip", 0))
    node = next(iter(chip.crossbars))
    positive, negative = chip.conductances(node)
    energy = summary["energy_J"]
    return {
        "accuracy": png(figures.accuracy_against_steps(steps, summary["ann_accuracy"], summary["chance"], errors)),
        "raster": png(figures.spike_raster(spikes)),
        "membranes": png(
            figures.membrane_traces(
                pictures["traces"], pictures["trace_spikes"], pictures["trace_thresholds"], next(iter(spikes))
            )
        ),
        "conductances": png(figures.conductance_map(positive, negative, node)),
        "energy": png(figures.energy_by_component(energy["by_component"], energy["low"], energy["high"])),
        "layers": png(drawn.joules_by_layer(averaged(result["chips"])["tree"])),
        "baselines": png(figures.energy_beside_baselines(energy["total"], summary["baselines"])),
        "chips": png(
            figures.chip_spread([c["accuracy"] for c in result["chips"]], summary["chip"]["ideal_accuracy"])
        ),
    }  # fmt: skip


def _headline(page: Page, summary: dict[str, Any]) -> None:
    last = max(summary["snn_accuracy"], key=int)
    chip, energy = summary["chip_accuracy"], summary["energy_J"]
    page.paragraph(
        f"{summary['data']}: {summary['samples']} recordings tested ({summary['protocol']}); "
        f"always naming the commonest class would be right on {100 * summary['chance']:.1f} %."
    )
    page.cards(
        [
            ("ANN accuracy", f"{100 * summary['ann_accuracy']:.2f} %"),
            (f"SNN accuracy, T = {last}", f"{100 * summary['snn_accuracy'][last]:.2f} %"),
            (f"mean of {chip['n']} chips, T = {summary['chip']['steps']}", f"{100 * chip['mean']:.2f} %"),
            ("energy per inference", si(energy["total"], "J")),
            ("latency per inference", si(summary["latency_s"], "s")),
        ]
    )


def _conversion_part(page: Page, result: dict[str, Any], images: dict[str, bytes]) -> None:
    from .demo_study import REPEATS

    summary = result["summary"]
    page.heading("Convert and simulate")
    page.figure(images["accuracy"], "Accuracy against time steps. T is the number of bins a recording is cut into.")
    rows = [
        (
            t,
            f"{100 * a:.2f}",
            f"{100 * summary['gap'][t]['mean']:+.2f}",
            f"{100 * summary['gap'][t]['standard_error']:.2f}",
        )
        for t, a in summary["snn_accuracy"].items()
    ]
    page.table(("T", "SNN accuracy (%)", "SNN − ANN (points)", "paired s.e."), rows, (0, 1, 2, 3))
    page.paragraph(
        "A separate baseline, not a simulation of the recordings: the whole frame of counts shown at every one of "
        f"{REPEATS} steps gives {100 * summary['repeated_frame_accuracy']:.2f} %.",
        small=True,
    )
    layers = result["folds"][0]["layers"]
    first = result["folds"][0]
    page.paragraph(
        f"Layers of the first network, on its calibration data. Recipe: {first['recipe']}; {first['reason']}."
    )
    head = list(layers[0])
    page.table(head, [[_short(layer[key]) for key in head] for layer in layers])
    page.figure(images["raster"], "Spikes of one recording, up to 60 neurons of each layer.")
    page.figure(
        images["membranes"],
        "Membranes of four neurons of the first layer that spike at about every fourth step, same recording.",
    )


def _hardware_part(page: Page, result: dict[str, Any], images: dict[str, bytes]) -> None:
    summary = result["summary"]
    where = summary["chip"]
    page.heading("Emulated chips")
    page.paragraph(
        f"{where['chips']} chips of the macro {where['macro']}, each with its own programming errors and read noise, on "
        f"{where['samples']} recordings at T = {where['steps']}."
    )
    page.figure(images["chips"], "Accuracy of each chip; the spread between chips is the programming error's.")
    page.figure(
        images["conductances"], "Programmed conductances of the first layer: trained weights as differential pairs."
    )
    page.heading("Energy")
    page.figure(
        images["energy"],
        "Mean energy per inference by component, counted on the run and priced from the macro's table.",
    )
    page.figure(images["layers"], "The same by layer, in the order of execution.")
    page.figure(images["baselines"], "The same run by other means. None of these knows an array, a wire or a clock.")
    page.paragraph(result["board"])
    page.heading("What is assumed and what is left out")
    assumed = [(row["key"], row["value"], row["source"]) for row in summary["assumed"]]
    page.table(("assumed constant", "value", "reason or source"), assumed)
    for sentence in summary["excluded"]:
        page.paragraph(f"Not included: {sentence}", small=True)


def _short(value: Any) -> str:
    """A table cell: three digits for numbers."""
    if isinstance(value, (float, np.floating)):
        return f"{value:.3g}"
    return ", ".join(_short(v) for v in value) if isinstance(value, (list, tuple)) else str(value)
