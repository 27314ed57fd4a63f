"""Training a diffusion model as a TOML file: `[diffusion]` beside `[training]` (`spikesim.training.Training`'s own).

[diffusion]
data = "mnist"              # images: as on the command line, or "digits"
size = 16                   # pixels, to which they are resized
activation = "if"           # "if" (spiking), "relu", "swish", "quantised"
steps = 4                   # T of a spiking network
conditional = true          # learn the classes
answer = "noise"            # what it predicts: or "velocity"
start = "OUT-OF-ANOTHER"    # weights to start from: of an ANN of the same layers, or without temporal scales
teacher = "OUT-OF-ANOTHER"  # learn what this model answers, not the noise that was drawn
[training]
epochs = 10
ema = 0.999
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.params import check
from ..core.seeds import Seeds
from ..datasets import load, load_images
from ..errors import ArtefactError, ParameterError, must
from ..network import Network
from ..training import Epoch, Step, Training, fit
from ..training.tables import known_keys, must_be_tables, read_tables
from .model import Description, DiffusionModel, pictures
from .training import DenoisingLoss, NoisedBatches, warm_start
from .unet import UNet, readout_gain


@dataclass(frozen=True)
class DiffusionExperiment:
    """A run: the U-Net (`UNet`; its channels and classes are the data's), data and how it is noised, batches (`NoisedBatches`).

    answer       "noise", or "velocity" (`denoiser.py`)
    limit        first training images that are used, 0: all      validation   images held back from them
    conditional  whether classes are learned                       start        folder of a model to start from, "": none
    teacher      folder of a model of any layers whose answers are learned, "": none
    """

    net: UNet = UNet()
    data: str = "digits"
    conditional: bool = False
    schedule: str = "linear"
    noise_steps: int = 1000
    answer: str = "noise"
    batch_size: int = 64
    per_epoch: int = 0
    without: float = 0.1
    flip: bool = False
    limit: int = 0
    validation: int = 0
    start: str = ""
    teacher: str = ""

    def __post_init__(self) -> None:
        check(self, "limit", at_least=0, integer=True)
        check(self, "validation", at_least=0, integer=True)
        self.about(1, 0)  # what it refuses is refused before any work

    @classmethod
    def of(cls, **settings: Any) -> DiffusionExperiment:
        """The run of such settings, those of its U-Net among them, as a TOML's `[diffusion]` has them."""
        net = {name: settings.pop(name) for name in NET if name in settings}
        return cls(UNet(**net), **settings)

    @classmethod
    def from_toml(cls, path: Path) -> DiffusionExperiment:
        """The `[diffusion]` table; unknown keys and wrong kinds are refused."""
        tables = read_tables(path)
        must_be_tables(path, tables, ("diffusion", "training"))
        kinds = {f.name: f.default for f in fields(cls) if f.name != "net"} | NET
        found = known_keys(path, "diffusion", tables.get("diffusion", {}), kinds)
        for name, value in found.items():
            if not _is(value, kinds[name]):
                raise ParameterError(must(f"{path} [diffusion] {name}", f"of the kind of {kinds[name]!r}", value))
        return cls.of(**found)

    def about(self, channels: int, classes: int) -> Description:
        """What sampling is to know of a model of such pictures."""
        net = self.net
        return Description(
            channels, net.size, self.data, net.steps, classes, self.schedule, self.noise_steps, self.answer
        )

    def run(
        self, training: Training, *, seeds: Seeds, root: Path | None = None, checkpoint: Path | None = None,
        watch: Callable[[Epoch], None] | None = None, watch_steps: Callable[[Step], None] | None = None,
    ) -> tuple[DiffusionModel, list[Epoch]]:  # fmt: skip
        """Train; a run that was stopped goes on from `checkpoint`. The result has averaged weights where `ema` asks."""
        images, labels, classes = training_images(self.data, self.net.size, limit=self.limit, root=root)
        about = self.about(images.shape[1], classes if self.conditional else 0)
        network = replace(self.net, channels=about.channels, classes=about.classes).network(seeds.child("weights"))
        self._start(network, about)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        schedule, held = about.whole_schedule(), self.validation
        if held >= len(images):
            rule = f"below {len(images)}, the training images"
            raise ParameterError(must("DiffusionExperiment.validation", rule, held))
        options: dict[str, Any] = {"classes": about.classes, "without": self.without, "answer": self.answer}
        batches = NoisedBatches(
            images[held:], schedule, self.batch_size, labels[held:], per_epoch=self.per_epoch, flip=self.flip,
            teacher=self._teacher(about), **options,
        )  # fmt: skip
        validation = NoisedBatches(images[:held], schedule, self.batch_size, labels[:held], **options) if held else None
        history = fit(
            network, batches, DenoisingLoss(about.steps), training, seeds=seeds, validation=validation,
            checkpoint=checkpoint, watch=watch, watch_steps=watch_steps,
        )  # fmt: skip
        return DiffusionModel(network.requires_grad_(False), about), history

    def _start(self, network: Network, about: Description) -> None:
        """Its weights; ArtefactError where it has other layers or answers."""
        if not self.start:
            return
        begun = DiffusionModel.load(self.start)
        if begun.about.answer != self.answer:
            rule = f"a model that answers {self.answer}, as this one"
            raise ArtefactError(must("DiffusionExperiment.start", rule, begun.about.answer, "set answer alike"))
        warm_start(network, begun.network, readout_gain(about.steps) / readout_gain(begun.about.steps))

    def _teacher(self, about: Description) -> Callable[..., Tensor] | None:
        """Its answers; ArtefactError where it learned other pictures, classes, noise or answers."""
        if not self.teacher:
            return None
        model = DiffusionModel.load(self.teacher)
        theirs = replace(model.about, steps=about.steps, data=about.data)
        if theirs != about:
            other = ", ".join(f"{n} {v}" for n, v in vars(theirs).items() if v != getattr(about, n))
            rule = "a model of the same pictures, classes, schedule and answer"
            raise ArtefactError(
                must("DiffusionExperiment.teacher", rule, other, "train one alike, or set these as it has them")
            )
        model.network.requires_grad_(False)
        return model.denoiser().answer


NET = {f.name: f.default for f in fields(UNet) if f.name not in ("channels", "classes")}
"""Settings of a U-Net that data do not decide, and their defaults."""


def training_images(data: str, size: int, *, limit: int = 0, root: Path | None = None) -> tuple[Tensor, Tensor, int]:
    """Training pictures (N, C, size, size) in -1..1 of the data set called so, their labels (N,), the number of classes.

    limit   the first so many, 0: all         ShapeError for what are no images of one or three channels
    """
    found = load_images("digits").arrays() if data == "digits" else load(data, root=root)
    found = found if found.split is None else found.part("train")
    if limit:
        found = found.subset(range(min(limit, len(found))))
    return pictures(found.frames(), size), torch.tensor(found.labels), found.classes


def _is(value: Any, default: Any) -> bool:
    """Whether a value of a TOML file is of a default's kind."""
    if isinstance(default, tuple):
        return isinstance(value, list)
    if isinstance(default, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is type(default)
