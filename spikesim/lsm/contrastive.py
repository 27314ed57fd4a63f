"""Two modalities in one space: a trainable projection each, drawn together by a symmetric contrastive loss.

    z_a = n(phi(W_a f_a + b_a)),   z_b likewise;   n(z) = z / |z|, phi = GELU or the identity
    S_ij = z_a,i . z_b,j / temperature                      of the pairs i of a batch, each of one class
    loss = (H(P, softmax_j S) + H(P', softmax_i S)) / 2     H: mean cross-entropy over rows
    P_ij = [i = j]                                          plain (Radford et al., "Learning transferable visual models from
                                                            natural language supervision", ICML 2021)
    P_ij = [y_i = y_j] / sum_j [y_i = y_j]                  class-aware (Khosla et al., "Supervised contrastive learning",
                                                            NeurIPS 2020)

Features are standardised by training samples: raw spike counts are all positive, so that all of them point the same way.
Pairs are drawn anew each epoch: every sample once, its partner at random from the other modality's samples of its class.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..core.params import check
from ..core.seeds import Seeds
from ..errors import DatasetError, ParameterError, must
from ..training.batches import Batch
from ..training.loop import fit
from ..training.losses import Loss
from ..training.settings import Training
from .probe import Standard


@dataclass(frozen=True)
class Contrastive:
    """size of the space, temperature, class_aware, gelu (after the projection), batch pairs, dropout of features

    training   epochs, rate, optimiser; `fit`'s
    """

    size: int = 64
    temperature: float = 0.1
    class_aware: bool = True
    gelu: bool = False
    batch: int = 256
    dropout: float = 0.0
    training: Training = Training(
        epochs=20, learning_rate=3e-3, weight_decay=1e-3, schedule="cosine", optimiser="adamw"
    )

    def __post_init__(self) -> None:
        for name in ("size", "batch"):
            check(self, name, at_least=1, integer=True)
        check(self, "temperature", above=0)
        check(self, "dropout", at_least=0, below=1)


@dataclass(frozen=True, eq=False)
class Side:
    """One modality's samples: features (N, F) float32, labels (N,)."""

    features: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or len(self.features) != len(self.labels) or not len(self.labels):
            got = f"{self.features.shape} and {len(self.labels)} labels"
            raise DatasetError(must("Side.features", "(N, F), one label each, N above 0", got))

    def of(self, classes: Any) -> Side:
        """The samples of these classes."""
        rows = np.isin(self.labels, list(classes))
        if not rows.any():
            rule, got = "among the labels of both modalities", f"{sorted(classes)}, labels {np.unique(self.labels)}"
            raise DatasetError(must("classes", rule, got))
        return Side(self.features[rows], self.labels[rows])


class Embedding(nn.Module):
    """Two projections: `embedding(side, features)`, side "a" or "b", gives unit vectors (N, size)."""

    def __init__(self, a: np.ndarray, b: np.ndarray, settings: Contrastive) -> None:
        super().__init__()
        self.gelu = settings.gelu
        self.widths = a.shape[1], b.shape[1]
        for name, features in (("a", a), ("b", b)):
            standard = Standard.of(features)
            self.register_buffer(f"mean_{name}", torch.from_numpy(standard.mean))
            self.register_buffer(f"per_{name}", torch.from_numpy(standard.per))
            setattr(self, f"project_{name}", nn.Linear(features.shape[1], settings.size))
        self.drop = nn.Dropout(settings.dropout)

    def side(self, name: str, x: Tensor) -> Tensor:
        """Unit vectors of features (N, F)."""
        mean, per = getattr(self, f"mean_{name}"), getattr(self, f"per_{name}")
        z = getattr(self, f"project_{name}")(self.drop((x - mean) * per))
        return functional.normalize(functional.gelu(z) if self.gelu else z, dim=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both sides of pairs (N, F_a + F_b)."""
        a, b = x.split(self.widths, 1)
        return self.side("a", a), self.side("b", b)

    def of(self, name: str, features: np.ndarray) -> np.ndarray:
        """Unit vectors (N, size) float32 of features (N, F)."""
        with torch.inference_mode():
            return self.side(name, torch.from_numpy(np.ascontiguousarray(features, np.float32))).numpy()  # type: ignore[no-any-return]


@dataclass(frozen=True)
class SymmetricLoss(Loss):
    """The loss above; its scores say of each pair which class the nearest b of the batch has."""

    temperature: float
    class_aware: bool
    classes: int

    def __call__(self, model: nn.Module, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        a, b = model(x)
        scores = a @ b.T / self.temperature
        same = (labels[:, None] == labels[None]).to(scores) if self.class_aware else torch.eye(len(labels)).to(scores)
        target = same / same.sum(1, keepdim=True)
        loss = functional.cross_entropy(scores, target) + functional.cross_entropy(scores.T, target)
        nearest = labels[scores.detach().argmax(1)]
        return loss / 2, functional.one_hot(nearest, self.classes).to(scores)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Batches of pairs of one class each."""

    a: Side
    b: Side
    batch: int

    def __len__(self) -> int:
        return -(-sum(self._counts().values()) // self.batch)

    def _counts(self) -> dict[int, int]:
        return {c: max(int((s.labels == c).sum()) for s in (self.a, self.b)) for c in classes_of(self.a, self.b)}

    def epoch(self, seeds: Seeds) -> Iterator[Batch]:
        """All samples once, partners at random; the order drawn from the seeds."""
        generator = seeds.generator()
        rows = [
            np.stack([_filled(s.labels, c, n, generator) for s in (self.a, self.b)], 1)
            for c, n in self._counts().items()
        ]
        pairs = generator.permutation(np.concatenate(rows))
        for start in range(0, len(pairs), self.batch):
            i, j = pairs[start : start + self.batch].T
            x = torch.from_numpy(np.concatenate([self.a.features[i], self.b.features[j]], 1))
            yield Batch(x, torch.from_numpy(self.a.labels[i].astype(np.int64)), i)


def _filled(labels: np.ndarray, of: int, count: int, generator: np.random.Generator) -> np.ndarray:
    """`count` rows of one class: all of them in random order, again and again."""
    rows = np.flatnonzero(labels == of)
    return np.concatenate([generator.permutation(rows) for _ in range(-(-count // len(rows)))])[:count]


def classes_of(a: Side, b: Side) -> list[int]:
    """Classes that both modalities have."""
    return sorted(set(np.unique(a.labels).tolist()) & set(np.unique(b.labels).tolist()))


def trained(
    a: Side, b: Side, settings: Contrastive, *, seeds: Seeds, model: Any = None, watch: Any = None
) -> Any:  # fmt: skip
    """Train both projections on training samples. DatasetError where modalities share fewer than two classes.

    model   what learns, in place of an `Embedding` of the features: `encoders.Encoders`
    watch   called with (epoch, embedding) after every epoch
    """
    shared = classes_of(a, b)
    if len(shared) < 2:
        found = f"{np.unique(a.labels).tolist()} and {np.unique(b.labels).tolist()}"
        raise DatasetError(must("trained.labels", "of at least two classes that both modalities have", found))
    if settings.batch < 2:
        raise ParameterError(must("Contrastive.batch", "at least 2 pairs", settings.batch))
    a, b = a.of(shared), b.of(shared)
    torch.manual_seed(seeds.child("projections").key & 0x7FFF_FFFF)
    embedding = Embedding(a.features, b.features, settings) if model is None else model
    loss = SymmetricLoss(settings.temperature, settings.class_aware, max(shared) + 1)

    def after(epoch: Any) -> None:
        if watch is not None:
            watch(epoch.number, embedding)

    fit(embedding, Pairs(a, b, settings.batch), loss, settings.training, seeds=seeds, watch=after)
    return embedding
