"""Audio: spoken digits and WAV files, what is mixed down and brought to another rate, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from spikesim import datasets
from spikesim.core.seeds import Seeds
from spikesim.datasets.audio import Audio, Resampled, read_fsdd, read_wav
from spikesim.datasets.cochlea import Cochlea, listen
from spikesim.errors import DatasetError, ParameterError


def tone(hz: float, rate: int = 8000, seconds: float = 0.2) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate).astype(np.float32) / 2


def digits(path: Path, takes: tuple[int, ...] = (0, 9, 10, 14, 15, 49), kind: type = np.int16) -> Path:
    """A file like fsdd.npz."""
    samples = [(tone(300 + 100 * i) * 32767).astype(kind) for i in range(len(takes))]
    np.savez(
        path, samples=np.concatenate(samples), offsets=np.cumsum([0, *map(len, samples)]), labels=np.arange(len(takes)),
        speaker=np.array(["ann", "bo"] * 3)[: len(takes)], take=np.array(takes, np.int16), sample_rate=8000,
    )  # fmt: skip
    return path


def test_takes_make_the_split(tmp_path: Path) -> None:
    audio = read_fsdd(digits(tmp_path / "fsdd.npz"))
    assert audio.split is not None and audio.split.tolist() == [1, 1, 2, 2, 0, 0] and audio.rate == 8000
    assert np.allclose(audio[2], tone(500), atol=1e-4) and len(audio) == 6
    with pytest.raises(DatasetError, match=r"samples must be int16, got int32"):
        read_fsdd(digits(tmp_path / "wide.npz", kind=np.int32))


def test_spoken_digits_by_name_are_what_the_cochlea_hears(tmp_path: Path) -> None:
    path = digits(tmp_path / "fsdd.npz")
    data = datasets.load("fsdd", root=tmp_path)
    heard = listen(read_fsdd(path), Cochlea(), Seeds(0))
    wide = datasets.load("fsdd", root=tmp_path, cochlea=Cochlea.wide())
    assert isinstance(wide, datasets.EventDataset)
    assert wide.t.tolist() == listen(read_fsdd(path), Cochlea.wide(), Seeds(0)).t.tolist() != heard.t.tolist()
    assert isinstance(data, datasets.EventDataset) and data.name == "fsdd"
    assert data.t.tolist() == heard.t.tolist() and data.x.tolist() == heard.x.tolist()
    assert data.groups is not None and data.groups.tolist() == ["ann", "bo"] * 3
    assert data.part("validation").labels.tolist() == [2, 3] and data.part("test").groups.tolist() == ["ann", "bo"]
    assert datasets.available(tmp_path)["fsdd"] == str(path)
    found = datasets.summary("fsdd", root=tmp_path)
    assert (found["train"], found["test"], found["validation"], found["groups"]) == (2, 2, 2, 2)
    assert datasets.describe(path) == found


def test_stereo_of_a_higher_rate_is_mixed_down_and_resampled(tmp_path: Path) -> None:
    left = (tone(1000, 44_100) * 32767).astype(np.int16)
    wavfile.write(tmp_path / "x.wav", 44_100, np.stack([left, left // 2], 1))
    with pytest.warns(Resampled) as caught:
        data = datasets.load(tmp_path / "x.wav")
    said = [str(warning.message) for warning in caught]
    assert said == ["x.wav: 2 channels mixed down to one", "x: 44100 Hz brought to 8000 Hz"]
    with pytest.warns(Resampled):
        audio = read_wav(tmp_path / "x.wav").at(8000)
    assert audio.rate == 8000 and abs(len(audio.samples) - 1600) <= 1
    middle = audio[0][200:1400]
    assert np.allclose(middle, 0.75 * tone(1000)[200:1400], atol=0.01)
    assert isinstance(data, datasets.EventDataset) and len(data) == 1 and data.sensor == (1, 64)
    assert data.t.tolist() == listen(audio, Cochlea(), Seeds(0)).t.tolist()


@pytest.mark.parametrize("kind,scale,shift", [(np.int16, 32767, 0), (np.int32, 2**31 - 200, 0), (np.uint8, 127, 128)])
def test_every_depth_of_a_wav_has_full_scale_one(tmp_path: Path, kind: type, scale: int, shift: int) -> None:
    wavfile.write(tmp_path / "x.wav", 8000, (tone(400).astype(np.float64) * scale + shift).astype(kind))
    assert np.allclose(read_wav(tmp_path / "x.wav")[0], tone(400), atol=0.01)
    wavfile.write(tmp_path / "y.wav", 8000, tone(400))
    assert np.array_equal(read_wav(tmp_path / "y.wav")[0], tone(400))


def test_audio_that_is_none_is_refused(tmp_path: Path) -> None:
    wavfile.write(tmp_path / "nan.wav", 8000, np.where(np.arange(500) == 99, np.float32(np.nan), tone(400)[:500]))
    with pytest.raises(DatasetError, match=r"nan\.wav: Audio\.samples must be finite, got nan at sample 99"):
        read_wav(tmp_path / "nan.wav")
    wavfile.write(tmp_path / "short.wav", 8000, tone(400)[:31])
    with pytest.raises(
        DatasetError, match=r"short\.wav: Audio\.offsets must be rising .* at least 32 long, got shortest 31"
    ):
        read_wav(tmp_path / "short.wav")
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(DatasetError, match=r"text\.wav must be a WAV file that can be read") as caught:
        datasets.load(tmp_path / "text.wav")
    assert "\n" not in str(caught.value)
    with pytest.raises(DatasetError, match=r"none\.wav must be a WAV file that can be read"):
        read_wav(tmp_path / "none.wav")


def test_a_rate_too_low_for_the_highest_channel_is_refused(tmp_path: Path) -> None:
    wavfile.write(tmp_path / "slow.wav", 4000, tone(400, 4000))
    with pytest.raises(ParameterError, match=r"Cochlea\.high must be below half the sample rate, 2000 Hz, got 3600"):
        datasets.load(tmp_path / "slow.wav")


def test_the_same_rate_is_the_same_audio() -> None:
    audio = Audio(tone(300), np.array([0, 1600]), np.zeros(1, int), 8000, np.zeros(1, int))
    assert audio.at(8000) is audio
