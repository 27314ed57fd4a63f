"""`spikesim convert MODEL --calibrate DATA --test DATA --steps 1,8,32`: an ANN into a spiking network, and its cost."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import DATA_HELP, Json, Out, Root, Seed, Threads, finish, limited, note, progress, read_parts, steps_list
from .models import ANN_HELP, read_ann

if TYPE_CHECKING:
    import numpy as np

    from ..conversion import ConversionReport
    from ..evaluation import Evaluation
    from ..network import Network

CLOSE = 0.005
"""The accuracy that a network may lose and still be called as good as its ANN."""

COSTED = 32
"""Test samples that spikes and synaptic operations are counted on."""


def convert(
    model: Annotated[str, typer.Argument(help=ANN_HELP)],
    calibrate: Annotated[str, typer.Option(help=f"Calibration data. {DATA_HELP}")] = "digits",
    test: Annotated[str, typer.Option(help=f"Test data. {DATA_HELP}")] = "digits",
    weights: Annotated[Path | None, typer.Option(help=".safetensors, .npz, or a torch file of tensors.")] = None,
    steps: Annotated[str, typer.Option(help="Time steps to report, like 1,8,32.")] = "1,8,32",
    recipe: Annotated[str, typer.Option(help="Conversion recipe.")] = "auto",
    samples: Annotated[int, typer.Option(help="Calibration samples to use; 0 takes all.")] = 512,
    nir: Annotated[Path | None, typer.Option(help="Also write the network of the largest T to this .nir file.")] = None,
    out: Out = Path("converted"),
    data: Root = None,
    seed: Seed = 0,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Convert a trained ANN, report what it lost at each T, and save the networks."""
    from ..conversion.recipe import recipe_of
    from ..core.files import folder, write_json
    from ..evaluation import evaluate_ann

    started, wanted = time.perf_counter(), steps_list(steps)
    recipe_of(recipe)
    ann, transform = read_ann(model, weights)
    folder(out, "--out")
    if nir is not None:
        folder(nir.parent, "--nir")
    train, tested = read_parts(calibrate, test, data)
    learn = _some(transform(train), samples, seed)  # a transform may take statistics of the whole training part
    held_out = transform(tested)
    del train, tested
    with limited(threads):
        reference = evaluate_ann(ann, held_out)
        networks = _networks(ann, learn, wanted, recipe)
        exchange = None if nir is None else _exchanged(networks, held_out)
        runs = _evaluated(networks, held_out, seed)
        early = _early(networks[max(networks)][0], learn, held_out, runs[max(networks)], max(networks), seed)
        costs = {t: _cost(network, held_out, t) for t, (network, _) in networks.items()}
    result = _result(reference, networks, runs, costs) | early
    saved = _saved(out, networks)
    if nir is not None:
        from ..interop.nir import write_graph

        saved, result["nir"] = [*saved, write_graph(exchange, nir)], str(nir)
    result["seconds"] = time.perf_counter() - started
    write_json(out / "convert.json", result)
    _drawn(out / "convert.png", result)
    finish(result, [*_lines(result, networks), f"saved in {', '.join(map(str, saved))}"], as_json)


def _some(data: Any, samples: int, seed: int) -> Any:
    """`samples` rows drawn from `seed`; all where there are no more."""
    import numpy as np

    if not samples or len(data) <= samples:
        return data
    return data.subset(np.sort(np.random.default_rng(seed).permutation(len(data))[:samples]))


def _networks(ann: Any, learn: Any, wanted: list[int], recipe: str) -> dict[int, tuple[Network, ConversionReport]]:
    """T -> (network, report): one for all where the recipe does not depend on T."""
    import spikesim as ss

    from ..conversion.recipe import STEADY

    if recipe in STEADY:
        return dict.fromkeys(wanted, ss.convert(ann, calibration=learn, recipe=recipe))
    with progress(len(wanted), "converting") as advance:
        found = {}
        for t in wanted:
            found[t] = ss.convert(ann, calibration=learn, recipe=recipe, steps=t)
            advance()
    return found


def _evaluated(
    networks: dict[int, tuple[Network, ConversionReport]], held_out: Any, seed: int
) -> dict[int, Evaluation]:
    from ..core.seeds import Seeds
    from ..evaluation import evaluate

    with progress(len(networks), "testing") as advance:
        runs = {}
        for t, (network, _) in networks.items():
            runs[t] = evaluate(network, held_out, steps=t, seeds=Seeds(seed))
            advance()
    return runs


def _early(network: Network, learn: Any, held_out: Any, whole: Evaluation, steps: int, seed: int) -> dict[str, Any]:
    """The largest T with early exit, by leads chosen on the calibration data; nothing where a run cannot be cut."""
    from ..core.seeds import Seeds
    from ..early_exit import chosen_lead, evaluate_early
    from ..evaluation import paired_gap

    if network.uncut or steps == 1:
        return {}
    rule = chosen_lead(network, learn, steps=steps, seeds=Seeds(seed))
    found = evaluate_early(network, held_out, rule, steps=steps, seeds=Seeds(seed))
    gap, error = paired_gap(whole.right, found.right)
    about = {"steps": steps, "mean_steps": found.mean_steps, "accuracy": found.accuracy}
    leads = [lead if math.isfinite(lead) else None for lead in rule.leads]  # None: no exit there
    return {"early_exit": {**about, "gap": {"mean": gap, "standard_error": error}, "leads": leads}}


def _cost(network: Network, held_out: Any, steps: int) -> dict[str, float]:
    """Spikes and synaptic operations per inference, on the first test samples."""
    import numpy as np

    from ..core.ledger import Action, Ledger
    from ..evaluation import evaluate

    ledger = Ledger()
    some = held_out.subset(np.arange(min(COSTED, len(held_out))))
    evaluate(network, some, steps=steps, ledger=ledger, batch=len(some))
    spikes, adds, macs = (ledger.count(a) for a in (Action.spike_hop, Action.digital_add, Action.digital_mac))
    return {"spikes": spikes / ledger.samples, "operations": (adds + macs) / ledger.samples}


def _result(
    reference: Evaluation,
    networks: dict[int, tuple[Network, ConversionReport]],
    runs: dict[int, Evaluation],
    costs: dict[int, dict[str, float]],
) -> dict[str, Any]:
    from ..evaluation import paired_gap

    gaps = {t: paired_gap(reference.right, run.right) for t, run in runs.items()}
    last = networks[max(networks)][1]
    close = [t for t, (gap, _) in gaps.items() if gap >= -CLOSE]
    return {
        "ann_accuracy": reference.accuracy,
        "snn_accuracy": {str(t): run.accuracy for t, run in runs.items()},
        "gap": {str(t): {"mean": mean, "standard_error": error} for t, (mean, error) in gaps.items()},
        "agreement": {str(t): _same(reference.scores, run.scores) for t, run in runs.items()},
        "cost": {str(t): cost for t, cost in costs.items()},
        "close_from": next((t for t in sorted(close) if all(u in close for u in runs if u >= t)), None),
        "samples": len(reference.labels), "chance": _chance(reference.labels), "recipe": last.recipe,
        "recipes": {str(t): report.recipe for t, (_, report) in networks.items()},
        "float_operators": list(last.float_operators), "layers": last.to_json()["layers"],
    }  # fmt: skip


def _chance(labels: np.ndarray) -> float:
    """Share of the commonest label: what always answering it would get."""
    import numpy as np

    return float(np.unique(labels, return_counts=True)[1].max() / len(labels))


def _same(first: np.ndarray, second: np.ndarray) -> float:
    """Share of samples with the same answer."""
    return float((first.argmax(1) == second.argmax(1)).mean())


def _saved(out: Path, networks: dict[int, tuple[Network, ConversionReport]]) -> list[Path]:
    """The network of the largest T in `out`, those of other T in out/T<k> where they are others."""
    import spikesim as ss

    largest = networks[max(networks)][0]
    others = {t: network for t, (network, _) in networks.items() if network is not largest}
    return [ss.save(largest, out), *(ss.save(network, out / f"T{t}") for t, network in sorted(others.items()))]


def _exchanged(networks: dict[int, tuple[Network, ConversionReport]], held_out: Any) -> Any:
    """The NIR graph of the largest T (for recordings: bound to it), refused here before any time is spent on testing."""
    import warnings

    from ..interop.nir import ForeignReading, to_nir

    steps = max(networks)
    network = networks[steps][0].bound(steps) if hasattr(held_out, "raster") else networks[steps][0]
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always", ForeignReading)
        graph = to_nir(network)
    for remark in remarks:
        note(f"nir: {remark.message}")
    return graph


def _lines(result: dict[str, Any], networks: dict[int, tuple[Network, ConversionReport]]) -> list[str]:
    lines = [
        str(networks[max(networks)][1]),
        "",
        f"ANN {100 * result['ann_accuracy']:.2f} % on {result['samples']} test samples",
    ]
    head = "     T     SNN      against the ANN     same answer      spikes    operations per inference"
    rows = [
        f"{t:>6}  {100 * result['snn_accuracy'][t]:6.2f} %  {100 * gap['mean']:+6.2f} ± {100 * gap['standard_error']:.2f} points"
        f"  {100 * result['agreement'][t]:10.2f} %  {result['cost'][t]['spikes']:10,.0f}  {result['cost'][t]['operations']:12,.0f}"
        for t, gap in result["gap"].items()
    ]
    close = result["close_from"]
    said = (
        f"within {100 * CLOSE:g} point from T = {close}"
        if close
        else f"not within {100 * CLOSE:g} point at any of these T"
    )
    early = result.get("early_exit")
    ended = (
        f"early exit: {100 * early['accuracy']:.2f} %, {100 * early['gap']['mean']:+.2f} ± "
        f"{100 * early['gap']['standard_error']:.2f} points, after {early['mean_steps']:.1f} of {early['steps']} steps on average"
    ) if early else ""  # fmt: skip
    return [*lines, head, *rows, said, *([ended] if ended else [])]


def _drawn(path: Path, result: dict[str, Any]) -> None:
    from ..core.files import written
    from ..report.figures import conversion_loss
    from ..report.html import png

    snn = {int(t): value for t, value in result["snn_accuracy"].items()}
    errors = {int(t): gap["standard_error"] for t, gap in result["gap"].items()}
    image = png(conversion_loss(snn, result["ann_accuracy"], result["chance"], errors, result["layers"]))
    with written(path) as temporary:
        temporary.write_bytes(image)
