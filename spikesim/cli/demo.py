"""`spikesim demo`: the main job end to end, from recordings to a report with joules."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DatasetError, must
from .common import Json, Out, Seed, finish, progress

if TYPE_CHECKING:
    import numpy as np

MACRO, BOARD = "taox40-projected", "taox40"


def demo(
    data: Annotated[
        Path | None, typer.Option(help="Folder with real N-MNIST; without it, emulated recordings.")
    ] = None,
    out: Out = Path("demo-out"),
    chips: Annotated[int, typer.Option(help="Emulated chips.")] = 8,
    seed: Seed = 0,
    threads: Annotated[int, typer.Option(help="Processes to use; results do not depend on it.")] = 2,
    as_json: Json = False,
) -> None:
    """Train a small CNN on event recordings, convert, simulate, deploy on emulated chips, price, report."""
    from ..core.files import folder, write_json
    from ..core.params import number
    from ..core.seeds import Seeds
    from ..datasets import load

    started = time.perf_counter()
    number("--chips", chips, at_least=1, integer=True, remedy="the number of chips to emulate")
    number("--threads", threads, at_least=1, integer=True, remedy="the number of processes to use")
    folder(out, "--out")
    recordings = load("digits" if data is None else str(data))
    result = _study(recordings, Seeds(seed), out, chips, threads)
    from .demo_report import write_report

    write_report(result, out)
    result["summary"]["seconds"] = time.perf_counter() - started
    result["summary"]["versions"] = _versions()
    write_json(out / "summary.json", result["summary"])
    finish(result["summary"], _lines(result["summary"], out), as_json)


def _splits(recordings: Any) -> tuple[list[tuple[np.ndarray, np.ndarray]], str]:
    """The fixed split of the embedded data, or five stratified folds of real recordings."""
    if getattr(recordings, "sensor", None) != (34, 34):
        got = f"{recordings.name}, sensor {getattr(recordings, 'sensor', 'none')}"
        raise DatasetError(
            must("--data", "recordings of a 34 x 34 sensor", got, "the demo's network is made for N-MNIST")
        )
    if recordings.name == "digits":
        train, test = (recordings.indices(part) for part in ("train", "test"))
        return [(train, test)], f"fixed split, {len(train)} train / {len(test)} test"
    return recordings.folds(5), "out-of-fold over 5 fixed stratified folds"


def run_job(recordings: Any, function: Any, arguments: tuple[Any, ...]) -> Any:
    """One job of a mixed list."""
    return function(recordings, *arguments)


def done(value: Any, advance: Any) -> Any:
    """`value`, after the progress bar has moved."""
    advance()
    return value


def _study(recordings: Any, seeds: Any, out: Path, chips: int, workers: int) -> dict[str, Any]:
    from ..checkpoint import load as load_network
    from ..jobs import parallel_map
    from .demo_study import chip_of_fold, run_fold, sample_run

    splits, protocol = _splits(recordings)
    epochs = 40 if len(splits) > 1 else 20
    fold_jobs = [(rows, k, epochs, seeds, out) for k, rows in enumerate(splits)]
    first, later = fold_jobs[:workers], fold_jobs[workers:]
    shared = (recordings,)  # the same in both calls, so that the workers of the first serve the second
    with progress(len(splits) + chips, "training and converting") as advance:
        folds = [done(fold, advance) for fold in parallel_map(run_fold, first, shared=shared, workers=workers)]
        # Chips need the first network only: they fill the processes beside the folds that are left.
        chip_jobs = [(splits[0][1], out, MACRO, k, seeds, BOARD) for k in range(chips)]
        mixed = [(run_fold, job) for job in later] + [(chip_of_fold, job) for job in chip_jobs]
        rest = [done(found, advance) for found in parallel_map(run_job, mixed, shared=shared, workers=workers)]
    network, test = load_network(out / "network-0"), recordings.subset(splits[0][1])
    folds, found = folds + rest[: len(later)], rest[len(later) :]
    return {
        "summary": _summary(recordings, protocol, folds, found, chips),
        "folds": folds, "chips": found, "network": network, "pictures": sample_run(network, test, seeds),
        "seeds": seeds, "board": _board_price(found[0]),
    }  # fmt: skip


def _summary(recordings: Any, protocol: str, folds: list[Any], found: list[Any], chips: int) -> dict[str, Any]:
    import numpy as np

    from ..evaluation import paired_gap
    from ..hardware.study import averaged
    from ..statistics import chip_accuracy
    from .demo_study import CHIP_STEPS, STEPS

    ann = np.concatenate([f["ann_right"] for f in folds])
    snn = {str(t): np.concatenate([f["snn_right"][str(t)] for f in folds]) for t in STEPS}
    gaps = {t: paired_gap(ann, right) for t, right in snn.items()}
    chip = averaged(found)
    return {
        "data": recordings.name, "protocol": protocol, "samples": len(ann), "chance": _chance(recordings.labels),
        "ann_accuracy": float(ann.mean()),
        "snn_accuracy": {t: float(right.mean()) for t, right in snn.items()},
        "gap": {t: {"mean": mean, "standard_error": error} for t, (mean, error) in gaps.items()},
        "repeated_frame_accuracy": float(np.concatenate([f["repeated_right"] for f in folds]).mean()),
        "chip": {"macro": MACRO, "steps": CHIP_STEPS, "fold": 0, "samples": folds[0]["samples"], "chips": chips,
                 "ideal_accuracy": float(np.mean(folds[0]["snn_right"][str(CHIP_STEPS)]))},
        "chip_accuracy": chip_accuracy([f["accuracy"] for f in found]),
        "energy_J": chip["energy_J"], "latency_s": chip["latency_s"], "baselines": chip["baselines"],
        "assumed": chip["assumed"], "excluded": chip["excluded"],
    }  # fmt: skip


def _chance(labels: Any) -> float:
    """Accuracy of always naming the commonest class."""
    import numpy as np

    return float(np.bincount(np.asarray(labels)).max() / len(labels))


def _board_price(chip: dict[str, Any]) -> str:
    """One sentence that puts the published board's price beside the projected macro's, for the same counted run."""
    from ..units import si

    return (
        f"The same run priced on the published board ({BOARD}) costs {si(chip['board_J'], 'J')} per inference against "
        f"{si(chip['report']['energy_J']['total'], 'J')} on {MACRO}: the board converts every column in an external "
        "analog-to-digital converter, at up to 60 nJ and 20 µs each, where the projection has an 8-bit converter on chip."
    )


def _versions() -> dict[str, str]:
    import platform
    from importlib.metadata import version

    packages = ("spikesim", "torch", "numpy", "numba", "scikit-learn")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _lines(summary: dict[str, Any], out: Path) -> list[str]:
    from ..units import si

    snn = "  ".join(f"T={t} {100 * a:.1f}" for t, a in summary["snn_accuracy"].items())
    last = max(summary["gap"], key=int)
    gap, chip, energy = summary["gap"][last], summary["chip_accuracy"], summary["energy_J"]
    low, high = (si(energy[k], "J") for k in ("low", "high"))
    return [
        f"{summary['data']}: {summary['samples']} recordings tested, {summary['protocol']}; chance {100 * summary['chance']:.1f} %",
        f"ANN {100 * summary['ann_accuracy']:.2f} %",
        f"SNN (%) {snn}",
        f"gap SNN - ANN at T = {last}: {100 * gap['mean']:+.2f} ± {100 * gap['standard_error']:.2f} points (paired)",
        f"{chip['n']} chips of {MACRO}: {100 * chip['mean']:.2f} % (worst {100 * chip['worst']:.2f} %), "
        f"ideal {100 * summary['chip']['ideal_accuracy']:.2f} %, on {summary['chip']['samples']} recordings at "
        f"T = {summary['chip']['steps']}",
        f"energy {si(energy['total'], 'J')} per inference ({low} to {high} over what is assumed)",
        *[f"  beside it, {name}: {si(value, 'J')}" for name, value in summary["baselines"].items()],
        f"report: {out / 'report.html'}   {summary['seconds']:.0f} s",
    ]
