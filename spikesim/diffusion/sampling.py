"""Sampling from a model by the name of a sampler, into a folder where finished pictures stay.

OUT/parts/pictures-FIRST.npy   finished batches, float32 in -1..1 (a stopped run goes on behind them)
OUT/parts/frames.npy           the first pictures on their way from noise, uint8
OUT/parts/settings.json        what they were made with: another run's pictures are not mixed in
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.files import folder, read_json, write_array, write_json
from ..core.ledger import Ledger
from ..core.params import check, number
from ..core.seeds import Seeds
from ..errors import ArtefactError, ParameterError, must, nearest
from ..fingerprint import fingerprint
from .denoiser import Denoiser, Guided
from .model import RANGE, DiffusionModel, as_bytes
from .network_denoiser import NetworkDenoiser
from .noise import Noise
from .samplers import (
    Reverse,
    analytic_reverse,
    ddim_reverse,
    ddpm_reverse,
    dpm_solver2,
    image_to_image,
    inpaint,
    mean_squared_noise,
    sampled,
)
from .schedule import Schedule

SAMPLERS = ("ddim", "ddpm", "analytic", "dpm-solver-2")
BATCH = 64
FRAMES, SHOWN = 40, 16
"""Frames that are kept of the way, of so many pictures."""


@dataclass(frozen=True)
class Sampling:
    """How pictures are made.

    sampler, steps   one of `SAMPLERS`; calls of the denoiser (dpm-solver-2: rounded down to 2 n + 1)
    threshold        all thresholds times this, or {layer: factor} (`threshold_guidance.py`)
    labels           classes in turn: picture i is of labels[i mod len]; none: unconditional
    guidance         scale of classifier-free guidance, 1: none
    """

    sampler: str = "ddim"
    steps: int = 50
    threshold: float | dict[str, float] = 1.0
    labels: tuple[int, ...] = ()
    guidance: float = 1.0
    clip: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        if self.sampler not in SAMPLERS:
            rule = f"one of {', '.join(SAMPLERS)}"
            raise ParameterError(must("sample.sampler", rule, self.sampler, nearest(self.sampler, SAMPLERS)))
        check(self, "steps", at_least=3 if self.sampler == "dpm-solver-2" else 1, integer=True)
        factors = self.threshold.values() if isinstance(self.threshold, dict) else (self.threshold,)
        for factor in factors:
            number("sample.threshold", factor, above=0, remedy="1 leaves thresholds as they were trained")
        check(self, "guidance", at_least=0)
        if self.guidance != 1 and not self.labels:
            raise ParameterError(must("sample.guidance", "1 without labels", self.guidance, "name classes"))

    def reverse(self, schedule: Schedule, squared: np.ndarray | None = None) -> Reverse:
        """Steps of the samplers that ask once a step; `squared` is what "analytic" needs (`mean_squared_noise`)."""
        if self.sampler == "analytic":
            if squared is None:
                raise ParameterError(must("sample.sampler", "given training pictures for analytic", "none"))
            return analytic_reverse(schedule, squared, data_range=RANGE)
        return ddpm_reverse(schedule) if self.sampler == "ddpm" else ddim_reverse(schedule)


@dataclass(frozen=True, eq=False)
class Given:
    """A picture (C, H, W) that all others start from: made again by a share of the steps (`strength`), or filled in
    around the pixels that stay (`known` (1 or C, H, W) bool), every step `repeats` times."""

    image: Tensor
    strength: float = 0.5
    known: Tensor | None = None
    repeats: int = 4

    def __post_init__(self) -> None:
        check(self, "strength", above=0, at_most=1)
        check(self, "repeats", at_least=1, integer=True)

    def sampled(self, denoiser: Denoiser, reverse: Reverse, noise: Noise, **options: Any) -> Tensor:
        """One picture for each of the noise's."""
        images = self.image.expand(len(noise.images), *self.image.shape)
        if self.known is None:
            return image_to_image(denoiser, reverse, noise, images, self.strength, **options)
        return inpaint(denoiser, reverse, noise, images, self.known[None], repeats=self.repeats, **options)


@dataclass(frozen=True, eq=False)
class Sampler:
    """A model and how it is sampled from.

    seeds   of noise                squared   see `Sampling.reverse`, of `few()`
    given   a picture to start from                ledger    counts what the network does
    Picture i depends on its number alone: not on which others are made with it (to the rounding of the network's sums).
    """

    model: DiffusionModel
    sampling: Sampling
    seeds: Seeds
    squared: np.ndarray | None = None
    given: Given | None = None
    ledger: Ledger | None = None
    _plain: NetworkDenoiser = field(init=False)

    def __post_init__(self) -> None:
        about, wanted = self.model.about, self.sampling
        number(
            "sample.steps", wanted.steps, at_most=about.noise_steps, integer=True,
            remedy=f"the model learned {about.noise_steps} steps",
        )  # fmt: skip
        if wanted.labels and not about.classes:
            raise ParameterError(must("sample.labels", "none: the model learned no classes", list(wanted.labels)))
        for label in wanted.labels:
            number("sample.labels", label, at_least=0, below=about.classes, integer=True)
        if self.given is not None and wanted.sampler == "dpm-solver-2":
            raise ParameterError(
                must("sample.sampler", "ddim, ddpm or analytic, to start from a picture", wanted.sampler)
            )
        object.__setattr__(self, "_plain", self.model.denoiser(threshold=wanted.threshold, ledger=self.ledger))

    def denoiser(self, images: range) -> Denoiser:
        """What is asked for these pictures."""
        return self._asked(replace(self._plain, ids=np.arange(images.start, images.stop)))

    def _asked(self, plain: NetworkDenoiser) -> Denoiser:
        if self.sampling.guidance == 1:
            return plain
        return Guided(plain, self.sampling.guidance, torch.tensor(self.model.about.classes))

    def few(self) -> Schedule:
        """The schedule that is sampled with."""
        return self.model.about.whole_schedule().fewer(self.sampling.steps)

    def measured(self, data: Tensor, labels: Tensor | None = None) -> np.ndarray:
        """What the analytic sampler needs, from training pictures (N, C, H, W), and their classes (N,) where some are asked for."""
        if self.sampling.labels and labels is None:
            raise ParameterError(must("sample.measured.labels", "given, where classes are asked for", None))
        given, asked = labels if self.sampling.labels else None, self._asked(replace(self._plain, ids=None))
        return mean_squared_noise(asked, self.few(), data, seeds=self.seeds.child("analytic"), condition=given)

    def condition(self, images: range) -> Tensor | None:
        """(B,) classes of these pictures."""
        labels = self.sampling.labels
        return torch.tensor([labels[i % len(labels)] for i in images]) if labels else None

    def __call__(self, images: range, watch: Callable[[int, Tensor], None] | None = None) -> Tensor:
        """Pictures (B, C, H, W) of these numbers, in -1..1."""
        noise, denoiser = Noise(self.seeds, images, self.model.about.shape), self.denoiser(images)
        options: dict[str, Any] = {
            "clip": RANGE if self.sampling.clip else None, "condition": self.condition(images), "watch": watch
        }  # fmt: skip
        if self.sampling.sampler == "dpm-solver-2":
            half, whole = (self.sampling.steps - 1) // 2, self.model.about.whole_schedule()
            made = dpm_solver2(denoiser, whole, noise, half, **options)
        else:
            reverse = self.sampling.reverse(self.few(), self.squared)
            made = (self.given.sampled if self.given else sampled)(denoiser, reverse, noise, **options)
        return made.clamp(*RANGE).contiguous()

    def calls(self, count: int, out: Path | None = None) -> int:
        """How often `into` calls its watch for so many pictures, less those that are finished in the folder `out`."""
        each = self.sampling.steps
        if self.sampling.sampler == "dpm-solver-2":
            each = (each - 1) // 2
        elif self.given is not None and self.given.known is None:
            each = math.ceil(self.given.strength * each)
        done = (
            0
            if out is None
            else sum(self._kept(out / "parts", low, count) is not None for low in range(0, count, BATCH))
        )
        return each * (math.ceil(count / BATCH) - done)

    def into(self, out: Path, count: int, watch: Callable[[], None] | None = None) -> tuple[Tensor, np.ndarray]:
        """`count` pictures (N, C, H, W), and frames (F, M, C, H, W) uint8 of the first ones' way, batch by batch into a folder.

        watch   called after every step of every batch. A run that was stopped goes on; ArtefactError where the folder
        holds pictures of other settings.
        """
        number("sample.n", count, at_least=1, integer=True)
        parts = folder(out / "parts")
        self._must_match(parts / "settings.json")
        made = []
        for low in range(0, count, BATCH):
            images, found = range(low, min(low + BATCH, count)), self._kept(parts, low, count)
            made.append(self._made(images, _part(parts, low), watch) if found is None else found)
        return torch.cat(made), np.load(parts / "frames.npy", allow_pickle=False)

    def _kept(self, parts: Path, low: int, count: int) -> Tensor | None:
        """The finished batch from picture `low` on; None where there is none of that size (of a run that asked for fewer)."""
        path = _part(parts, low)
        if not path.exists():
            return None
        try:
            found = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ArtefactError(must(str(path), "pictures of this run", str(error), "delete it")) from None
        wanted = (min(BATCH, count - low), *self.model.about.shape)
        return torch.from_numpy(found) if found.shape == wanted else None

    def _made(self, images: range, path: Path, watch: Callable[[], None] | None) -> Tensor:
        frames: list[np.ndarray] = []
        every = max(1, self.sampling.steps // FRAMES)

        def seen(step: int, x: Tensor) -> None:
            if images.start == 0 and step % every == 0:
                frames.append(as_bytes(x[:SHOWN]))
            if watch is not None and step:
                watch()

        found = self(images, seen)
        if frames:
            last = as_bytes(found[:SHOWN])
            kept = frames[:-1] if np.array_equal(frames[-1], last) else frames
            write_array(path.with_name("frames.npy"), np.stack([*kept, last]))
        write_array(path, found.numpy())
        return found

    def _must_match(self, path: Path) -> None:
        made_with: dict[str, Any] = {
            "model": self.model.fingerprint, "about": asdict(self.model.about),
            "sampling": asdict(self.sampling), "seed": [self.seeds.root, *self.seeds.path],
        }  # fmt: skip
        made_with["sampling"]["labels"] = list(self.sampling.labels)
        if self.given is not None:
            known = None if self.given.known is None else self.given.known.numpy()
            parts = {"image": self.given.image.numpy(), "known": known, "strength": self.given.strength}
            made_with["given"] = fingerprint(**parts)
        if path.exists() and read_json(path) != made_with:
            rule = "empty, or of the same model, sampler, seed and settings"
            raise ArtefactError(must("sample.out", rule, str(path.parent), "choose another folder, or delete it"))
        write_json(path, made_with)


def _part(parts: Path, low: int) -> Path:
    """The file of the batch from picture `low` on."""
    return parts / f"pictures-{low:06d}.npy"
