"""The cochlea: kernel and reference, recordings that depend on nothing else, what tones and silence give."""

from __future__ import annotations

import numpy as np
import pytest

from spikesim.core import philox
from spikesim.core.seeds import Seeds
from spikesim.datasets import EventDataset
from spikesim.datasets._ear import CHANNEL_BITS, Heard, heard_kernel, heard_reference
from spikesim.datasets.audio import Audio
from spikesim.datasets.cochlea import ROOM, Cochlea, _bank, listen
from spikesim.errors import DatasetError, ParameterError

RATE = 8000


def audio(*sounds: np.ndarray, ids: list[int] | None = None, rate: int = RATE) -> Audio:
    samples = np.concatenate(sounds).astype(np.float32)
    n, offsets = len(sounds), np.cumsum([0, *map(len, sounds)])
    groups = np.array([f"who {i % 2}" for i in range(n)])
    return Audio(samples, offsets, np.arange(n), rate, np.arange(n) if ids is None else np.array(ids), groups)


def tone(hz: float, seconds: float = 0.2, rate: int = RATE) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate) / 2


def speechlike(seed: int, seconds: float = 0.2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    parts = [rng.uniform(0.1, 1) * tone(hz, seconds) for hz in rng.uniform(120, 3400, 6)]
    return np.sum(parts, 0) / 4 + rng.normal(0, 0.02, int(RATE * seconds))


def same(a: EventDataset, b: EventDataset) -> bool:
    return a.t.tolist() == b.t.tolist() and a.x.tolist() == b.x.tolist()


@pytest.mark.parametrize("changed", [{}, {"noise": 0.0}, {"refractory_us": 0.0, "channels": 5, "noise": 0.9}])
def test_the_kernel_equals_its_reference(changed: dict[str, float]) -> None:
    bank = _bank(Cochlea(**{"channels": 9} | changed), RATE)  # type: ignore[arg-type]
    who = Heard(*philox.split(2**40 + 5), *philox.split(Seeds(3).key))
    sound = speechlike(1, 0.06)
    sound /= sound.std()
    for room in (4000, 3):
        fast, slow = np.zeros(room, np.int64), np.zeros(room, np.int64)
        assert (count := heard_kernel(sound, bank, who, fast)) == heard_reference(sound, bank, who, slow) > 10
        np.testing.assert_array_equal(fast, slow)
    assert count < 4000


def test_a_recording_does_not_depend_on_what_else_is_heard() -> None:
    sounds, ids = [speechlike(i) for i in range(4)], [7, 2**33, 0, 12]
    together = listen(audio(*sounds, ids=ids), Cochlea(), Seeds(5))
    assert together.groups is not None and together.groups.tolist() == ["who 0", "who 1"] * 2
    for i in (2, 0, 1, 3):
        alone = listen(audio(sounds[i], ids=[ids[i]]), Cochlea(), Seeds(5))
        assert same(alone, together.subset([i]))
    assert not same(listen(audio(sounds[0], ids=[8]), Cochlea(), Seeds(5)), together.subset([0]))
    assert not same(listen(audio(sounds[0], ids=[7]), Cochlea(), Seeds(6)), together.subset([0]))


def test_a_long_recording_gets_the_room_it_needs() -> None:
    busy, sound = Cochlea(top_hz=20_000.0, refractory_us=0.0, noise=0.0), speechlike(2, 0.5)
    long = listen(audio(sound), busy, Seeds(0))
    assert len(long.t) > ROOM
    bank, every = _bank(busy, RATE), np.empty(4 * len(long.t), np.int64)
    emphasised = np.float32(sound).astype(np.float64)
    emphasised = np.append(emphasised[0], emphasised[1:] - busy.emphasis * emphasised[:-1])
    emphasised /= np.sqrt(np.mean(emphasised**2))
    count = heard_kernel(emphasised, bank, Heard(*philox.split(0), *philox.split(Seeds(0).child("cochlea").key)), every)
    assert (np.sort(every[:count]) >> CHANNEL_BITS).tolist() == long.t.tolist()


@pytest.mark.parametrize("channel", [12, 30, 50, 60])
def test_a_tone_fires_its_own_channel_most(channel: int) -> None:
    heard = listen(audio(tone(Cochlea().frequencies[channel], 0.5)), Cochlea(bandwidth=1.0, noise=0.05), Seeds(0))
    counts = np.bincount(heard.x, minlength=64)
    assert abs(counts.argmax() - channel) <= 1 and counts.max() > 5 * counts[abs(np.arange(64) - channel) > 20].mean()


def test_loudness_is_normalised() -> None:
    sound = speechlike(3)
    quiet, loud = (listen(audio(sound * scale), Cochlea(), Seeds(1)) for scale in (0.125, 1))
    assert same(quiet, loud) and len(loud.t) > 100


def test_a_channel_keeps_its_pause() -> None:
    cochlea = Cochlea(refractory_us=3000.0, top_hz=20_000.0)
    stream = listen(audio(speechlike(4)), cochlea, Seeds(0))[0][0]
    pauses = np.concatenate([np.diff(stream.t[stream.x == c]) for c in range(64)])
    free = listen(audio(speechlike(4)), Cochlea(refractory_us=0.0, top_hz=20_000.0), Seeds(0))[0][0]
    shortest = min(np.diff(free.t[free.x == c]).min(initial=10**6) for c in range(64))
    assert len(pauses) > 100 and pauses.min() >= 2999 and shortest < 1000


@pytest.mark.parametrize("level", [0.0, 1e-6])
def test_silence_is_refused_in_one_line(level: float) -> None:
    with pytest.raises(DatasetError, match=r"listen\.audio audio must be with a sound .*recording 1 of rms") as caught:
        listen(audio(speechlike(0), level * speechlike(1)), Cochlea(), Seeds(0))
    assert "\n" not in str(caught.value)


def test_settings_that_are_none_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"Cochlea\.high must be below half the sample rate, 4000 Hz, got 5000"):
        listen(audio(speechlike(0)), Cochlea(high=5000.0), Seeds(0))
    for name, value in (
        ("channels", 0),
        ("low", 0.0),
        ("high", 50.0),
        ("half", 0.0),
        ("noise", -1.0),
        ("tau_us", np.nan),
    ):
        with pytest.raises(ParameterError, match=rf"Cochlea\.{name} must be"):
            Cochlea(**{name: value})
    with pytest.raises(DatasetError, match=r"Audio\.samples must be"):
        audio(np.full(100, np.nan))


def test_frequencies_rise() -> None:
    f = Cochlea().frequencies
    assert (
        f[0] == pytest.approx(100) and f[-1] == pytest.approx(3600) and np.allclose(np.diff(np.log(f)), np.log(36) / 63)
    )


def test_emphasis_is_a_share() -> None:
    for value in (-0.1, 1.5, float("nan")):
        with pytest.raises(ParameterError, match=r"Cochlea.emphasis must be a number at least 0 and at most 1"):
            Cochlea(emphasis=value)


def test_a_wide_cochlea_hears_what_is_soft() -> None:
    """A tone and one a hundredth as loud: the default is silent at the soft one, the wide one is not."""
    time = np.arange(4000) / 8000
    loud, soft = np.sin(2 * np.pi * 500 * time), 0.01 * np.sin(2 * np.pi * 2000 * time)
    near = np.argmin(np.abs(Cochlea().frequencies - 2000))
    heard = [listen(audio(loud + soft), cochlea, Seeds(0)) for cochlea in (Cochlea(), Cochlea.wide())]
    counts = [np.bincount(data.x, minlength=64)[near - 2 : near + 3].sum() for data in heard]
    assert counts[0] == 0 and counts[1] > 20
