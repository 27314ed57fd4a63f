"""Audio with labels: recordings of one sample rate, end to end; spoken digits, and single WAV files.

FSDD, the Free Spoken Digit Dataset (Z. Jackson et al., Zenodo, 2018; CC BY-SA 4.0): English digits at 8 kHz, fifty takes
of each by every speaker. Takes 0 to 9 are for test, 10 to 14 for validation, 15 to 49 for training.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spikesim.core.params import number
from spikesim.errors import DatasetError, must

from .base import TEST, TRAIN, VALIDATION

TEST_TAKES, VALIDATION_TAKES = 10, 15
FIELDS = {"samples", "offsets", "labels", "speaker", "take", "sample_rate"}
SHORTEST = 32
"""Samples that a recording has at least."""
RATE = 8000
"""Samples per second of the spoken digits."""


class Resampled(UserWarning):
    """Audio was mixed down or brought to another rate."""


@dataclass(frozen=True, eq=False)
class Audio:
    """Recordings of one rate.

    samples   (n,) float32, -1..1, end to end     offsets  (N + 1,) int64: recording i is offsets[i]:offsets[i + 1]
    labels    (N,) int64                          rate     samples per second
    ids       (N,) int64                          groups   (N,) str, who spoke, or None
    split     (N,) uint8, 0 training, 1 test, 2 validation, or None
    """

    samples: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    rate: int
    ids: np.ndarray
    groups: np.ndarray | None = None
    split: np.ndarray | None = None
    name: str = "audio"

    def __post_init__(self) -> None:
        number("Audio.rate", self.rate, at_least=1, integer=True, unit="Hz")
        samples, lengths = np.asarray(self.samples), np.diff(self.offsets)
        if samples.ndim != 1 or samples.dtype != np.float32:
            raise DatasetError(must("Audio.samples", "(n,) float32", f"{samples.dtype} {samples.shape}"))
        if not (finite := np.isfinite(samples)).all():
            first = int(np.argmin(finite))
            raise DatasetError(must("Audio.samples", "finite", f"{samples[first]} at sample {first}"))
        if not len(lengths) or self.offsets[0] != 0 or self.offsets[-1] != len(samples) or lengths.min() < SHORTEST:
            rule = f"rising from 0 to the {len(samples)} samples, each recording at least {SHORTEST} long"
            raise DatasetError(must("Audio.offsets", rule, f"shortest {min(lengths, default='none')}"))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> np.ndarray:
        """The samples of one recording."""
        return self.samples[self.offsets[i] : self.offsets[i + 1]]

    def at(self, rate: int) -> Audio:
        """The same at another rate, by polyphase filtering; warns when that changes anything."""
        if rate == self.rate:
            return self
        from scipy.signal import resample_poly

        warnings.warn(f"{self.name}: {self.rate} Hz brought to {rate} Hz", Resampled, stacklevel=2)
        common = math.gcd(rate, self.rate)
        parts = [
            resample_poly(self[i], rate // common, self.rate // common).astype(np.float32) for i in range(len(self))
        ]
        offsets = np.cumsum([0, *map(len, parts)])
        return Audio(np.concatenate(parts), offsets, self.labels, rate, self.ids, self.groups, self.split, self.name)


def is_audio(names: set[str]) -> bool:
    """Are these the arrays of a file of spoken digits."""
    return names >= FIELDS


def read_fsdd(path: Path) -> Audio:
    """The spoken digits in an .npz with samples (int16), offsets, labels, speaker, take, sample_rate."""
    with np.load(path, allow_pickle=False) as file:
        samples, offsets, labels = file["samples"], file["offsets"].astype(np.int64), file["labels"].astype(np.int64)
        speaker, take, rate = file["speaker"], file["take"], int(file["sample_rate"])
    if samples.dtype != np.int16:
        raise DatasetError(must(f"{path} samples", "int16", samples.dtype.name))
    split = np.where(take < TEST_TAKES, TEST, np.where(take < VALIDATION_TAKES, VALIDATION, TRAIN)).astype(np.uint8)
    return Audio(
        samples.astype(np.float32) / np.float32(32768), offsets, labels, rate, np.arange(len(labels)), speaker, split, "fsdd"
    )  # fmt: skip


def is_wav(path: Path) -> bool:
    """Does the file at `path` begin as WAV files do."""
    with Path(path).open("rb") as file:
        head = file.read(12)
    return head[:4] == b"RIFF" and head[8:] == b"WAVE"


def read_wav(path: Path, label: int = 0) -> Audio:
    """One WAV file, channels mixed down (which is said)."""
    from scipy.io import wavfile

    path = Path(path)
    try:
        rate, samples = wavfile.read(path)
    except (OSError, ValueError) as error:
        raise DatasetError(must(str(path), "a WAV file that can be read", str(error))) from None
    scale = 1.0 if samples.dtype.kind == "f" else float(np.iinfo(samples.dtype).max) + 1
    heard = samples.astype(np.float32) / np.float32(scale)
    if samples.dtype == np.uint8:
        heard = 2 * heard - 1
    if heard.ndim == 2:
        warnings.warn(f"{path.name}: {heard.shape[1]} channels mixed down to one", Resampled, stacklevel=2)
        heard = heard.mean(1)
    try:
        return Audio(
            heard, np.array([0, len(heard)]), np.array([label]), int(rate), np.zeros(1, np.int64), name=path.stem
        )
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from None
