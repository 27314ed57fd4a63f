"""A trained denoiser and all that sampling needs to know, as a folder: `network.json`, `network.safetensors`, `diffusion.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .. import checkpoint
from ..core.files import read_json, write_json
from ..core.ledger import Ledger
from ..core.params import check
from ..errors import ArtefactError, ParameterError, ShapeError, must, nearest
from ..fingerprint import fingerprint
from ..network import Network
from .denoiser import must_be_answer
from .network_denoiser import NetworkDenoiser, plane_count
from .schedule import CosineBetas, LinearBetas, Schedule
from .threshold_guidance import with_thresholds

FORMAT = 1
SCHEDULES: dict[str, type[LinearBetas | CosineBetas]] = {"linear": LinearBetas, "cosine": CosineBetas}
RANGE = (-1.0, 1.0)
"""Of pictures, black to white."""


@dataclass(frozen=True)
class Description:
    """What a model was trained on, and how it was noised.

    channels, size   of pictures in -1..1     data      their name         classes   that it can be asked for
    schedule         "linear" or "cosine"     noise_steps                  steps     T of a spiking network, 1 of an ANN
    answer           what the network predicts: "noise" or "velocity" (`denoiser.py`)
    """

    channels: int
    size: int
    data: str
    steps: int
    classes: int = 0
    schedule: str = "linear"
    noise_steps: int = 1000
    answer: str = "noise"

    def __post_init__(self) -> None:
        for name in ("channels", "size", "steps", "noise_steps"):
            check(self, name, at_least=1, integer=True)
        check(self, "classes", at_least=0, integer=True)
        if self.schedule not in SCHEDULES:
            rule = f"one of {', '.join(SCHEDULES)}"
            raise ParameterError(must("diffusion.schedule", rule, self.schedule, nearest(self.schedule, SCHEDULES)))
        must_be_answer("diffusion", self.answer)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a picture."""
        return self.channels, self.size, self.size

    def whole_schedule(self) -> Schedule:
        """Of all steps that training drew from."""
        return SCHEDULES[self.schedule](self.noise_steps).schedule()


@dataclass(frozen=True, eq=False)
class DiffusionModel:
    """A network that predicts noise or velocity, and what it was trained on; `chip`: the content hash of the chip that it is on."""

    network: Network
    about: Description
    chip: str = ""

    def denoiser(
        self,
        *,
        threshold: float | Mapping[str, float] = 1.0,
        ids: np.ndarray | None = None,
        ledger: Ledger | None = None,
    ) -> NetworkDenoiser:
        """What samplers ask. threshold: all neurons' times this, or some layers' by name (`with_thresholds`)."""
        network = self.network if threshold == 1.0 else with_thresholds(self.network, threshold)
        velocity = self.about.whole_schedule() if self.about.answer == "velocity" else None
        return NetworkDenoiser(network, self.about.steps, self.about.classes, None, ids, ledger, velocity)

    def with_network(self, network: Network, steps: int | None = None, chip: str = "") -> DiffusionModel:
        """Another network of the same pictures: converted, tuned or on a chip; T where it changed."""
        return DiffusionModel(network, replace(self.about, steps=steps or self.about.steps), chip)

    @property
    def fingerprint(self) -> str:
        """A short text that is another one when the network is."""
        return self.chip or fingerprint(network=self.network)

    def save(self, path: str | Path) -> Path:
        """Write the folder."""
        where = checkpoint.save(self.network, path)
        write_json(where / "diffusion.json", {"format": FORMAT, **asdict(self.about)})
        return where

    @classmethod
    def load(cls, path: str | Path) -> DiffusionModel:
        """The model of a folder that `save` wrote, or of a training's output. ArtefactError where it is none."""
        where = Path(path)
        where = where / "model" if (where / "model" / "diffusion.json").exists() else where
        if not (where / "diffusion.json").exists():
            rule = "a folder that `spikesim train` of a [diffusion] TOML wrote"
            raise ArtefactError(must("model", rule, str(where), "train one"))
        about = read_json(where / "diffusion.json")
        known = {f.name for f in fields(Description)}
        if isinstance(about, dict):
            about = {"answer": "noise", **about}  # files of before there were others
        if not isinstance(about, dict) or about.get("format") != FORMAT or set(about) != {"format", *known}:
            rule = f"format {FORMAT} with {', '.join(sorted(known))}"
            raise ArtefactError(must(str(where / "diffusion.json"), rule, about, "save it with this version"))
        model = cls(checkpoint.load(where), Description(**{k: about[k] for k in known}))
        d = model.about
        takes, wanted = model.network.input_shape, (plane_count(d.channels, d.classes), d.size, d.size)
        if takes is not None and tuple(takes) != wanted:
            raise ArtefactError(must(str(where / "network.json"), f"of input {wanted}, as diffusion.json says", takes))
        model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model


def pictures(x: Tensor, size: int) -> Tensor:
    """Images (N, C, H, W) in 0..1 -> (N, C, size, size) in -1..1, resized by area where they shrink (bilinear, antialiased)."""
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise ShapeError(must("diffusion.data", "images (N, 1 or 3, H, W)", tuple(x.shape)))
    low, high = (float(end) for end in (x.min(), x.max())) if x.numel() else (0.0, 0.0)
    if not (low >= 0 and high <= 1):
        raise ParameterError(must("diffusion.data", "images in 0..1", f"{low:g} to {high:g}", "divide bytes by 255"))
    if x.shape[2:] != (size, size):
        x = functional.interpolate(x, (size, size), mode="bilinear", antialias=True)
    return (x * 2 - 1).clamp(*RANGE)


def as_bytes(x: Tensor) -> Any:
    """Pictures in -1..1 -> uint8 numpy array of the same shape, rounded."""
    return ((x.clamp(*RANGE) + 1) * 127.5).round().to(torch.uint8).numpy()
