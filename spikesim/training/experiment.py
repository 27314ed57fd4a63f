"""A training run as a TOML file: which model, which data, how it is shown and asked. `[training]` is `Training`'s own.

[experiment]
model = "mynet:build"       # package.module:function -> an nn.Module, or a Network, which is then trained as such
data = "digits"             # as on the command line
steps = 10                  # of a Network: bins of a recording, or how often a frame is shown
loss = "readout"            # "readout", "membrane", "rate", "tet"; of an ANN: "cross-entropy"
augment = "affine"          # "none", "affine", "crop"
validation = 0.1            # share of the training samples that is held back
[training]
epochs = 10
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core.params import check
from ..datasets import EventDataset
from ..errors import DatasetError, ParameterError, must, nearest
from .augment import RandomAffine, RandomCrop
from .batches import Augment, Batches, RasterBatches, TensorBatches
from .losses import CrossEntropy, Loss, MembraneCrossEntropy, RateCrossEntropy, ReadoutCrossEntropy, Tet
from .tables import known_keys, must_be_tables, read_tables

ANN_LOSS = "cross-entropy"
LOSSES: dict[str, type[ReadoutCrossEntropy]] = {
    "readout": ReadoutCrossEntropy, "membrane": MembraneCrossEntropy, "rate": RateCrossEntropy, "tet": Tet
}  # fmt: skip
AUGMENTS: dict[str, Callable[[], Augment | None]] = {"none": lambda: None, "affine": RandomAffine, "crop": RandomCrop}


@dataclass(frozen=True)
class Experiment:
    """model (package.module:function), data (as on the command line), batch_size, smoothing (of the labels)

    loss, steps   see above; steps 0: an ANN, which sees whole recordings as one frame of counts
    augment       of training samples               validation   share of them held back, class by class
    largest       event counts are cut off there; 0: as they are
    """

    model: str
    data: str = "digits"
    batch_size: int = 64
    smoothing: float = 0.0
    loss: str = ""
    steps: int = 0
    augment: str = "none"
    validation: float = 0.0
    largest: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "largest"):
            check(self, name, at_least=0, integer=True)
        check(self, "batch_size", at_least=1, integer=True)
        check(self, "smoothing", at_least=0, at_most=1)
        check(self, "validation", at_least=0, below=1)
        known = list(LOSSES) if self.steps else [ANN_LOSS]
        for name, among in (("loss", ["", *known]), ("augment", list(AUGMENTS))):
            value = getattr(self, name)
            if value not in among:
                rule = f"one of {', '.join(filter(None, among))} with steps = {self.steps}"
                raise ParameterError(must(f"Experiment.{name}", rule, value, nearest(value, among)))

    def asked(self, data: Any) -> Loss:
        """The loss, for such data: recordings have their own steps, frames are shown at each."""
        if not self.steps:
            return CrossEntropy(self.smoothing)
        steps = None if isinstance(data, EventDataset) else self.steps
        return LOSSES[self.loss or "readout"](self.smoothing, steps)

    def parted(self, data: Any, seed: int) -> tuple[Any, Any | None]:
        """Training and validation samples, by classes; the same for the same seed."""
        if data.classes < 2 or len(np.unique(data.labels)) < 2:
            raise DatasetError(must("Experiment.data", "labelled with at least two classes", f"{data.name}: one class"))
        if not self.validation:
            return data, None
        from sklearn.model_selection import train_test_split

        rows = np.arange(len(data))
        try:
            kept, held = train_test_split(rows, test_size=self.validation, stratify=data.labels, random_state=seed)
        except ValueError as error:
            rule = "a share that leaves every class in both parts"
            raise ParameterError(must("Experiment.validation", rule, f"{self.validation} ({error})")) from None
        return data.subset(np.sort(kept)), data.subset(np.sort(held))

    def batches(self, data: Any, training: bool) -> Batches:
        """Batches of a part of the data, augmented where it is trained on."""
        augment = AUGMENTS[self.augment]() if training else None
        if self.steps and isinstance(data, EventDataset):
            return RasterBatches(data, self.steps, self.batch_size, augment, self.largest)
        labels = torch.as_tensor(np.array(data.labels))
        return TensorBatches(data.frames(), labels, self.batch_size, augment, np.asarray(data.sample_ids))


def read_experiment(path: Path) -> Experiment:
    """The `[experiment]` table of a TOML file; unknown or missing keys are refused."""
    tables = read_tables(path)
    must_be_tables(path, tables, ("experiment", "training"))
    found = known_keys(path, "experiment", tables.get("experiment", {}), Experiment.__dataclass_fields__)
    if "model" not in found:
        raise ParameterError(must(f"{path} [experiment] model", "package.module:function", "nothing"))
    return Experiment(**found)
