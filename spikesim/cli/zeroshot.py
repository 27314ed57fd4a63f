"""`spikesim zeroshot FILE.toml`: the whole zero-shot study of two modalities; a run that was stopped goes on.

OUT/zeroshot.json, retrieval.png, embedding.png, pairs.png, energy.png        OUT/parts   what is finished
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .common import Json, Out, Root, Seed, Threads, finish, limited, note


def zeroshot(
    file: Annotated[Path, typer.Argument(help="TOML with [zeroshot] (a, b, ...), a table for each modality, [match].")],
    out: Out = Path("zeroshot-out"),
    data: Root = None,
    seed: Seed = 0,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Match two kinds of recordings through random reservoirs: seen and unseen classes, chips, energy. Run again to resume."""
    from ..core.files import folder, write_json, written
    from ..core.seeds import Seeds
    from ..lsm.settings import read_zero_shot
    from ..lsm.study import Study
    from ..report.zero_shot import figures

    settings = read_zero_shot(file)
    folder(out, "--out")
    with written(out / "experiment.toml") as temporary:
        temporary.write_text(file.read_text())
    with limited(threads):
        result = Study(settings, Seeds(seed), out, data, note).run()
    for name, figure in figures(result).items():
        with written(out / f"{name}.png") as temporary:
            figure.savefig(temporary, format="png", dpi=150)
    write_json(out / "zeroshot.json", result)
    finish(result, [*lines(result), f"written: {out}"], as_json)


def lines(result: dict[str, Any]) -> list[str]:
    """The study on one screen."""
    found = [f"{name}: {_data(row)}" for name, row in result["data"].items()]
    found += ["linear probes           reservoir   events alone   chance   samples, features"]
    for name, row in result["probe"].items():
        found.append(
            f"  {name:<20} {_percent(row['reservoir']['accuracy'])} {_percent(row['events']['accuracy']):>13} "
            f"{_percent(row['chance']):>9}   {row['samples']}, {row['features']}"
        )
    seen = result["seen"]
    found.append(f"matches, classes {seen['classes']}   reservoir   events alone   prototypes   chance")
    for name, row in seen["reservoir"].items():
        found.append(
            f"  {name:<20} {_percent(row['mean'])} ± {100 * row['sd']:.1f} {_percent(seen['events'][name]['mean']):>12} "
            f"{_percent(seen['reservoir_prototypes'][name]['mean']):>12} {_percent(seen['chance'][name]):>9}"
        )
    unseen, pairs = result["unseen"], result["pairs"]
    found += [
        f"unseen classes {unseen['unseen']}: {_percent(unseen['last']['mean'])} over {unseen['runs']} seeds (chance "
        f"{_percent(unseen['chance'])}); choosing epoch and seed on test: {_percent(unseen['best_of_all'])}",
        f"all pairs unseen in turn, {pairs['chosen']} (chosen on validation pairs): {_percent(pairs['held_out_mean'])} over "
        f"{pairs['held_out_pairs']} pairs, chance 50 %"
        + (f", p = {pairs['p']:.3f} against {len(pairs['null'])} shuffles of names" if pairs["null"] else ""),
        "few labelled samples: "
        + ", ".join(f"{k}: {_percent(row['mean'])}" for k, row in result["few_shots"]["mean"].items())
        + " (chance 50 %)",
    ]
    if "groups" in result:
        found.append(
            "a group held out: " + ", ".join(f"{k} {_percent(v)}" for k, v in result["groups"]["mean"].items())
        )
    found += _chips(result.get("chips"))
    if "encoders" in result:
        row = result["encoders"]
        got = ", ".join(f"{name} {_percent(value)}" for name, value in row["accuracy"].items())
        found.append(
            f"trained encoders: {got}; training takes {row['seconds']['ratio']:.0f} times the seconds and "
            f"{row['macs']['ratio']:.0f} times the multiply-accumulates"
        )
    return found


def _data(row: dict[str, Any]) -> str:
    source = f" ({row['source']})" if "source" in row else ""
    copies = f" and {row['copies']} warped copies" if row["copies"] else ""
    return f"{row['kind']} {row['name']}{source}, {row['train']}{copies} to train on, {row['test']} judged, {row['inputs']} inputs"


def _chips(row: dict[str, Any] | None) -> list[str]:
    if row is None:
        return []
    found = []
    for name in (key for key in row if " to " in key):
        gap, chips = row[name]["gap_points"], row[name]["chip_accuracy"]
        interval = "" if gap["ci95"] is None else f" ({gap['ci95'][0]:+.2f} to {gap['ci95'][1]:+.2f})"
        found.append(
            f"{chips['n']} chips of {row['macro']}, {name}: {_percent(chips['mean'])}, {gap['mean']:+.2f} points{interval}"
        )
    for name, energy in row["energy"].items():
        found.append(
            f"  {name}: {1e6 * energy['energy_J']['total']:.3g} uJ a recording on the chip, "
            f"{1e6 * energy['baselines']['dense_gpu_peak_int8']:.3g} uJ on a graphics card at its peak"
        )
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
