"""`python -m benchmarks.table_lsm`: tables of docs/lsm.md, from results `lsm_vision.jsonl`, `lsm_speech.jsonl`,
`lsm_speakers.jsonl`, `lsm_cochleas.jsonl`, `zeroshot.json`, `zeroshot_tuned.json`.

The last two are those of `spikesim zeroshot benchmarks/studies/zeroshot.toml` and `zeroshot_tuned.toml`, seed 0.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import RESULTS
from benchmarks.table import filled, results
from benchmarks.table_strangers import markdown

PAGE = Path(__file__).parents[1] / "docs" / "lsm.md"
WAYS = ("real", "emulated", "both", "both_cross_entropy", "emulated_to_emulated")
Row = dict[str, Any]


def vision(rows: list[Row]) -> str:
    """A line per set-up and features, means over seeds."""
    lines = []
    for setup, features in dict.fromkeys((row["setup"], row["features"]) for row in rows):
        mine = [row for row in rows if (row["setup"], row["features"]) == (setup, features)]
        cells = [share([row[way] for row in mine]) if way in mine[0] else "" for way in WAYS]
        lines.append([f"{setup}, {features}", str(mine[0]["size"]), *cells])
    head = [
        "",
        "features",
        "real",
        "emulated",
        "both",
        "both, cross-entropy",
        "emulated → emulated",
    ]
    return markdown(head, lines)


def speech(rows: list[Row]) -> str:
    """A line per set-up and features, means over seeds."""
    lines = []
    for setup, features in dict.fromkeys((row["setup"], row["features"]) for row in rows):
        mine = [row for row in rows if (row["setup"], row["features"]) == (setup, features)]
        keys = ("known", "known_cross_entropy", "held_out")
        cells = [share([row[key] for row in mine]) if key in mine[0] else "" for key in keys]
        lines.append([f"{setup}, {features}", str(mine[0]["size"]), *cells])
    return markdown(["", "features", "known speakers", "known, cross-entropy", "speaker held out"], lines)


def speakers(rows: list[Row]) -> str:
    """A line per set-up and features, means over seeds: without copies, with them, and the better one by the choice."""
    lines = []
    for setup, features in dict.fromkeys((row["setup"], row["features"]) for row in rows):
        mine = [row for row in rows if (row["setup"], row["features"]) == (setup, features)]
        cells = [share([row[way] for row in mine]) for way in ("none", "warped", "chosen")]
        gains = [100 * (r["warped"] - r["none"]) for row in mine for r in row["by_speaker"].values()]
        lines.append([f"{setup}, {features}", str(mine[0]["size"]), *cells, f"{min(gains):+.1f} to {max(gains):+.1f}"])
    head = ["", "features", "without copies", "with warped copies", "as chosen", "single speakers' gains, points"]
    return markdown(head, lines)


def cochleas(rows: list[Row]) -> str:
    """A line per size, means over seeds: first the default cochlea, second the wide one, and what is chosen without the speaker."""
    lines = []
    for neurons in dict.fromkeys(row["neurons"] for row in rows):
        mine = [row for row in rows if row["neurons"] == neurons]
        ways = ("mel", "cepstrum") if neurons is None else ("fit", "wide")
        cells = [share([row["known"][way] for row in mine]) for way in ways]
        cells += [share([row[way] for row in mine]) for way in ("first", "chosen")]
        who = [row["chosen"] for found in mine for row in found["by_speaker"].values()]
        name = "mel spectrum, cepstrum" if neurons is None else f"{neurons} neurons" if neurons else "events"
        lines.append([name, str(mine[0]["size"]), *cells, f"{100 * min(who):.0f} to {100 * max(who):.0f} %"])
    known, new = "known speakers, ", "speaker held out, "
    head = ["", "features", f"{known}first", f"{known}second", f"{new}first", f"{new}chosen", "single speakers"]
    return markdown(head, lines)


def share(values: list[float]) -> str:
    """Percent, and the spread over seeds where there are some."""
    text = f"{100 * np.mean(values):.1f} %"
    return text + f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else text


def match(study: Row) -> str:
    """A line per direction: seen classes."""
    seen, chips = study["seen"], study["chips"]
    lines = []
    for name, row in seen["reservoir"].items():
        gap = chips[name]["gap_points"]
        lines.append([
            name, f"{100 * row['mean']:.1f} % ± {100 * row['sd']:.1f}", f"{100 * seen['events'][name]['mean']:.1f} %",
            f"{100 * seen['reservoir_prototypes'][name]['mean']:.1f} %", f"{100 * seen['chance'][name]:.1f} %",
            f"{100 * study['encoders']['accuracy'][name]:.1f} %", f"{100 * study['groups']['mean'][name]:.1f} %",
            f"{100 * chips[name]['chip_accuracy']['mean']:.1f} %",
            f"{gap['mean']:+.2f} ({gap['ci95'][0]:+.2f} to {gap['ci95'][1]:+.2f})",
        ])  # fmt: skip
    head = [
        "", "reservoir", "events alone", "prototypes", "chance", "trained encoders", "speaker held out",
        f"{chips[next(iter(seen['reservoir']))]['chip_accuracy']['n']} chips", "gap, points",
    ]  # fmt: skip
    return markdown(head, lines)


def tuned(study: Row) -> str:
    """A line per direction: seen classes."""
    seen = study["seen"]
    lines = [
        [
            name, f"{100 * row['mean']:.1f} % ± {100 * row['sd']:.1f}", f"{100 * seen['events'][name]['mean']:.1f} %",
            f"{100 * seen['reservoir_prototypes'][name]['mean']:.1f} %", f"{100 * seen['chance'][name]:.1f} %",
            f"{100 * study['groups']['mean'][name]:.1f} %",
        ] for name, row in seen["reservoir"].items()
    ]  # fmt: skip
    return markdown(["", "reservoir", "events alone", "prototypes", "chance", "speaker held out"], lines)


def ways(study: Row) -> str:
    """A line per way of bringing unseen classes together."""
    pairs = study["pairs"]
    lines = [
        [name, f"{100 * pairs['on_validation_pairs'][name]:.1f} %", f"{100 * value:.1f} %"]
        for name, value in pairs["means"].items()
    ]
    return markdown(["way", f"{len(pairs['validation_pairs'])} validation pairs", "all 45 pairs"], lines)


def sweeps(study: Row) -> str:
    """A line per value: mean gap of both directions on a few chips."""
    lines = []
    for key, rows in study["chips"]["sweeps"].items():
        for row in rows:
            cells = [f"{row[name]['gap_points']['mean']:+.1f}" for name in row if name != "value"]
            reached = [f"{100 * row[name]['chip_accuracy']['mean']:.1f} %" for name in row if name != "value"]
            lines.append([key, f"{row['value']:g}", ", ".join(reached), ", ".join(cells)])
    return markdown(["", "value", "matches on chips (both directions)", "gap to the ideal twin, points"], lines)


if __name__ == "__main__":
    found, large = (json.loads((RESULTS / f"{name}.json").read_text()) for name in ("zeroshot", "zeroshot_tuned"))
    pages = {
        "vision": vision(results("lsm_vision")), "speech": speech(results("lsm_speech")), "match": match(found),
        "tuned": tuned(large), "speakers": speakers(results("lsm_speakers")),
        "cochleas": cochleas(results("lsm_cochleas")), "ways": ways(found), "sweeps": sweeps(found),
    }  # fmt: skip
    for marker, text in pages.items():
        filled(PAGE, marker, text)
