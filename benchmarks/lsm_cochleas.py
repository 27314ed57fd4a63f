"""What a cochlea with a wider dynamic range gives for spoken digits, above all those of a speaker who was never heard.

    SPIKESIM_SHARED=FOLDER python -m benchmarks lsm_cochleas       FOLDER holds fsdd.npz

Recordings as counts of events in 129 bins; features are square roots of counts by fifths of the word, of events or of a
reservoir's spikes; a ridge reads them. For each speaker in turn: trained on all takes of the other four, judged once on all of
theirs. Cochlea and penalty are chosen without that speaker: each of the four is left out of training in turn and judged, and
what is best in the mean is taken. "first" is the first of what is chosen among, "fit" (the cochlea that imitates N-TIDIGITS) or
"mel", its penalty chosen likewise. `COCHLEAS` are those that were tried, in one round, on all five speakers: that round is what
the choice within four cannot undo. Beside them a mel spectrum of the audio and its cepstrum, the usual features of speech, by
fifths and read by the same ridge.

known   trained on takes 15 to 49 of all speakers, penalty chosen on takes 10 to 14, judged on takes 0 to 9
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import spikesim as ss
from benchmarks.harness import resumed
from benchmarks.lsm_speakers import Choice, LeftOut, Row
from benchmarks.lsm_speech import COUNTS, TUNED
from spikesim.datasets.audio import Audio, read_fsdd
from spikesim.datasets.base import TEST, TRAIN, VALIDATION, EventDataset
from spikesim.datasets.cochlea import Cochlea, listen
from spikesim.lsm.extraction import event_counts, features
from spikesim.lsm.probe import best_ridge, form_of
from spikesim.statistics import wilson

COCHLEAS = {
    "fit": Cochlea(),
    "sharp": Cochlea(bandwidth=1.5),
    "soft": Cochlea(half=0.1, top_hz=1000.0),
    "softer": Cochlea(half=0.01, top_hz=600.0),
    "wide": Cochlea.wide(),
    "wider": replace(Cochlea.wide(), half=0.001),
}
WINDOWS, PENALTIES = 5, (10.0, 100.0, 1e3, 1e4, 3e4)
CASES: list[Row] = [
    {"neurons": None, "seed": 0},
    {"neurons": 0, "seed": 0},
    *({"neurons": 200, "seed": seed} for seed in range(3)),
    *({"neurons": 1000, "seed": seed} for seed in range(3)),
    *({"neurons": 4000, "seed": seed} for seed in range(3)),
]
"""None: no cochlea at all, a mel spectrum and its cepstrum. 0: the events themselves, of every cochlea. Reservoirs hear "fit" and
"wide"."""
BANDS, LENGTH, EVERY = 40, 200, 80
"""Of the mel spectrum: triangles from 60 Hz to half the rate, samples of a frame (of 256 with zeros), and between frames."""


def measure() -> list[Row]:
    """A row for every case."""
    audio = read_fsdd(Path(os.environ["SPIKESIM_SHARED"]) / "fsdd.npz")
    heard = {name: listen(audio, cochlea, ss.Seeds(0)) for name, cochlea in COCHLEAS.items()}
    return resumed("lsm_cochleas", CASES, lambda case: measured(case, heard, audio))


def measured(case: Row, heard: dict[str, EventDataset], audio: Audio | None = None) -> Row:
    """Accuracies of one case on recordings with a split and groups, as each cochlea heard them, or as the audio is."""
    data: Any
    if case["neurons"] is None:
        assert audio is not None
        spectra = mel_spectra(audio)
        x, data = {"mel": spectra, "cepstrum": cepstra(spectra)}, audio
    else:
        ways = [way for way in heard if not case["neurons"] or way in ("fit", "wide")]
        x, data = {way: np.sqrt(_counts(case, heard[way])) for way in ways}, heard["fit"]
    labels, groups, split = (np.asarray(part) for part in (data.labels, data.groups, data.split))
    form = form_of(next(iter(x.values())))
    moments = {
        way: {n: form.of(x[way][groups == n], labels[groups == n], 10) for n in sorted(set(groups.tolist()))}
        for way in x
    }
    judge = LeftOut(moments, x, labels, groups)
    choices: list[Choice] = [(way, penalty) for way in x for penalty in PENALTIES]
    by_speaker = {}
    for name in judge.rows:
        mean = judge.without(name, choices)
        best = max(choices, key=lambda c: mean[c])
        plain = max((c for c in choices if c[0] == next(iter(x))), key=lambda c: mean[c])
        by_speaker[name] = {
            "first": judge.right(plain, {name}, name), "chosen": judge.right(best, {name}, name), "cochlea": best[0],
            "penalty": best[1],
        }  # fmt: skip
    found: Row = {"by_speaker": by_speaker, "known": {way: _known(x[way], labels, split) for way in x}}
    for way in ("first", "chosen"):
        found[way] = float(np.mean([row[way] for row in by_speaker.values()]))
        found[f"{way}_ci95"] = wilson(found[way], len(labels))
    events = {way: len(heard[way].t) / len(labels) for way in x if way in heard}
    size = next(iter(x.values())).shape[1]
    return {**found, "events": events, "size": size, "chance": 0.1, "samples": len(labels)}


def mel_spectra(audio: Audio) -> np.ndarray:
    """(N, WINDOWS BANDS) float32: ln of a mel spectrum's energies, their means over fifths of each recording."""
    mel = np.linspace(_mel(60), _mel(audio.rate / 2), BANDS + 2)
    edges, f = 700 * (10 ** (mel / 2595) - 1), np.fft.rfftfreq(256, 1 / audio.rate)
    low, middle, high = (edges[i : BANDS + i, None] for i in range(3))
    bank = np.maximum(0, np.minimum((f - low) / (middle - low), (high - f) / (high - middle)))
    found = []
    for i in range(len(audio.ids)):
        sound = np.append(audio[i][0], audio[i][1:] - 0.97 * audio[i][:-1])
        sound = np.pad(sound, (0, max(0, LENGTH + (WINDOWS - 1) * EVERY - len(sound))))
        frames = np.lib.stride_tricks.sliding_window_view(sound, LENGTH)[::EVERY]
        energies = np.log(np.abs(np.fft.rfft(frames * np.hamming(LENGTH), 256)) ** 2 @ bank.T + 1e-8)
        found.append(np.concatenate([part.mean(0) for part in np.array_split(energies, WINDOWS)]))
    return np.array(found, np.float32)


def cepstra(spectra: np.ndarray) -> np.ndarray:
    """(N, WINDOWS 12) of (N, WINDOWS BANDS) spectra: coefficients 1 to 12 of each window's cosine transform."""
    from scipy.fft import dct

    found: np.ndarray = dct(spectra.reshape(-1, WINDOWS, BANDS), axis=2, norm="ortho")[:, :, 1:13]
    return found.reshape(len(spectra), -1)


def _mel(hertz: float) -> float:
    return 2595 * float(np.log10(1 + hertz / 700))


def _counts(case: Row, data: Any) -> np.ndarray:
    if not case["neurons"]:
        return event_counts(data, COUNTS, windows=WINDOWS)
    reservoir = replace(TUNED, neurons=case["neurons"])
    return features(reservoir.network(ss.Seeds(case["seed"])), data, COUNTS, windows=WINDOWS).values


def _known(x: np.ndarray, labels: np.ndarray, split: np.ndarray) -> float:
    train, valid, test = (np.flatnonzero(split == part) for part in (TRAIN, VALIDATION, TEST))
    kept = form_of(x[train]).of(x[train], labels[train], 10)
    penalty = best_ridge(kept, x[valid], labels[valid], PENALTIES)
    return float((kept.ridge(penalty)(x[test]) == labels[test]).mean())
