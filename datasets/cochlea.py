"""The cochlea: audio becomes recordings like those of N-TIDIGITS, 64 channels of a silicon cochlea.

    gammatone   z_k = x_k + p z_k', four times in a row, p = exp((-2 pi 1.019 B(f) + 2 pi i f) / rate),  y = Re z_4
                B(f) = 24.7 (1 + 4.37 f / 1000), the equivalent rectangular bandwidth, f log-spaced
    loudness    x_n - emphasis x_n-1, the rising response of outer and middle ear; then scaled to a root mean square of 1
    hair cell   u = max(y, 0);   drive = top ln(1 + u / half)               half-wave rectified and compressed
    neuron      m' = drive - m / tau;   spike where m reaches 1 + noise n, then m = 0, held for `refractory`
    event       channel c, time in whole µs, p = 1

The crossing is interpolated between samples, so event times are finer than those. n is a Philox word of counter (channel,
event of that channel, sample id): a recording does not depend on what else is heard.

Sources: filters: B. R. Glasberg, B. C. J. Moore, "Derivation of auditory filter shapes from notched-noise data", Hearing
Research 47, 1990; R. D. Patterson et al., "Complex sounds and auditory images", 1992; the recordings imitated: J. Anumula,
D. Neil, T. Delbruck, S.-C. Liu, "Feature representations for neuromorphic audio spike streams", Frontiers in Neuroscience
12:23, 2018. Constants: see `Cochlea`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from spikesim.core import philox
from spikesim.core.params import check
from spikesim.core.seeds import Seeds
from spikesim.errors import DatasetError, ParameterError, must

from ._ear import CHANNEL_BITS, STAGES, Bank, Heard, heard_kernel
from .audio import Audio
from .base import EventDataset

ROOM = 1 << 14
"""Events a recording is given room for at first; doubled until it fits."""
SILENT = 1e-5
"""Root mean square, of full scale, below which a recording is silence."""


@dataclass(frozen=True)
class Cochlea:
    """The filters and neurons. "fit" means fit to the one recording of N-TIDIGITS at hand (docs/cochlea.md).

    field           value       unit      source
    channels        64                    Anumula 2018; channel 0 is the lowest frequency here
    low, high       100, 3600   Hz        log-spaced; the sensor reaches some 10 kHz, audio of 8 kHz does not
    bandwidth       3.0         of ERB    fit: how alike neighbours fire; silicon filters are broad
    emphasis        0.97                  usual in speech processing
    top_hz          3000        1/s       fit
    half            1.0         of rms    fit
    tau_us          4000        µs        fit
    noise           0.2                   fit
    refractory_us   500         µs        shortest pauses of a channel in the recording
    """

    channels: int = 64
    low: float = 100.0
    high: float = 3600.0
    emphasis: float = 0.97
    bandwidth: float = 3.0
    top_hz: float = 3000.0
    half: float = 1.0
    tau_us: float = 4000.0
    noise: float = 0.2
    refractory_us: float = 500.0

    def __post_init__(self) -> None:
        check(self, "channels", at_least=1, at_most=1 << 15, integer=True)
        for name in ("low", "bandwidth", "top_hz", "half", "tau_us"):
            check(self, name, above=0)
        check(self, "high", above=self.low, unit="Hz")
        for name in ("noise", "refractory_us"):
            check(self, name, at_least=0)
        check(self, "emphasis", at_least=0, at_most=1)

    @classmethod
    def wide(cls) -> Cochlea:
        """One with a wide dynamic range, to recognise words with rather than to imitate the sensor.

        half 0.01 of rms instead of 1: loudness is compressed from 40 dB below on;   tau_us 20,000 µs instead of 4,000: what is
        soft is not leaked away;   bandwidth 1.5 instead of 3 ERB;   top_hz 300 1/s instead of 3,000, for 2.3 times the events
        Source: chosen among six on spoken digits, `benchmarks/lsm_cochleas.py` (docs/lsm.md has what it gives).
        """
        return cls(bandwidth=1.5, top_hz=300.0, half=0.01, tau_us=20_000.0)

    @property
    def frequencies(self) -> np.ndarray:
        """(channels,) Hz, rising."""
        return np.geomspace(self.low, self.high, self.channels)


def _bank(cochlea: Cochlea, rate: int) -> Bank:
    if cochlea.high >= rate / 2:
        rule = f"below half the sample rate, {rate / 2:g} Hz"
        raise ParameterError(must("Cochlea.high", rule, cochlea.high, "lower it, or take audio of a higher rate"))
    f = cochlea.frequencies
    decay = np.exp(-2 * math.pi * 1.019 * cochlea.bandwidth * 24.7 * (1 + 4.37 * f / 1000) / rate)
    turn = 2 * math.pi * f / rate
    gain = 2 * (1 - decay) ** STAGES
    per_sample = 1e6 / rate
    return Bank(
        decay * np.cos(turn), decay * np.sin(turn), gain, float(cochlea.half), cochlea.top_hz / rate,
        min(1.0, per_sample / cochlea.tau_us), float(cochlea.noise), cochlea.refractory_us / per_sample, per_sample,
    )  # fmt: skip


def listen(audio: Audio, cochlea: Cochlea, seeds: Seeds) -> EventDataset:
    """One recording of events per recording of audio: sensor (1, channels), x the channel, y 0, p 1.

    The same seeds, id and audio give the same recording. A silent recording, or one in which no channel fires, is refused:
    a reservoir cannot be shown nothing. Raises DatasetError, naming the recording.
    """
    bank, key = _bank(cochlea, audio.rate), philox.split(seeds.child("cochlea").key)
    keys = []
    for i, identity in enumerate(audio.ids):
        sound = audio[i].astype(np.float64)
        sound = np.append(sound[0], sound[1:] - cochlea.emphasis * sound[:-1])
        loudness = math.sqrt(float(np.mean(sound * sound)))
        who = Heard(*philox.split(int(identity)), *key)
        found = _recorded(sound / loudness, bank, who) if loudness > SILENT else np.zeros(0, np.int64)
        if not len(found):
            rule = "with a sound that channels fire at"
            got = f"recording {i} of rms {loudness:.2g}"
            raise DatasetError(must(f"listen.audio {audio.name}", rule, got, "leave silence out"))
        keys.append(found)
    joined = np.concatenate(keys)
    return EventDataset(
        t=joined >> CHANNEL_BITS, x=(joined & ((1 << CHANNEL_BITS) - 1)).astype(np.int16),
        y=np.zeros(len(joined), np.int16), p=np.ones(len(joined), np.uint8), offsets=np.cumsum([0, *map(len, keys)]),
        labels=audio.labels, sensor=(1, cochlea.channels), sample_ids=audio.ids, name=audio.name, split=audio.split,
        groups=audio.groups, polarity=1,
    )  # fmt: skip


def _recorded(sound: np.ndarray, bank: Bank, who: Heard) -> np.ndarray:
    """The sorted event keys of one recording."""
    out = np.empty(ROOM, np.int64)
    count = heard_kernel(sound, bank, who, out)
    while count > len(out):
        out = np.empty(2 * len(out), np.int64)
        count = heard_kernel(sound, bank, who, out)
    return np.sort(out[:count])
