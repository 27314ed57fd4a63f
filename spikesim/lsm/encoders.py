"""The trained baseline: recurrent spiking encoders that learn with the projections, by the same loss on the same pairs.

    (T, B, inputs) -> W_in, W_rec learned -> LIF as in the reservoir, hard reset -> counts / T -> projection

What either training costs, in multiply-accumulates of the dense products (a backward pass counted as two forward ones):

    encoder pass     E = T (inputs n + n^2)                     per recording
    projection       P = F size                                 per recording, F features
    trained          epochs x recordings x 3 (E + P)
    reservoir        recordings x E + epochs x recordings x 3 P      features are made once
    similarities     epochs x 3 recordings x batch x size           in both
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..core.raster import SparseRaster
from ..core.seeds import Seeds
from ..network import Network
from ..neurons import LIF, ToValue
from ..readout import Mean
from ..surrogate import Rectangular
from .contrastive import Contrastive
from .reservoir import Reservoir, wired


def encoder(reservoir: Reservoir, seeds: Seeds) -> Network:
    """A reservoir's network with weights that learn, from its random ones on; readout: spikes per step."""
    neuron = LIF(
        reservoir.alpha, reservoir.threshold, reset=ToValue(0.0), strict=True, detach_reset=True,
        surrogate=Rectangular(2 * reservoir.threshold),
    )  # fmt: skip
    return wired(*reservoir.matrices(seeds), neuron, Mean())


class Encoders(nn.Module):
    """Both encoders with their projections; samples are rasters (T, inputs), flat. As `contrastive.Embedding`."""

    def __init__(
        self, reservoirs: dict[str, Reservoir], steps: dict[str, int], settings: Contrastive, seeds: Seeds
    ) -> None:
        super().__init__()
        self.gelu, self.steps = settings.gelu, dict(steps)
        self.inputs = {name: r.inputs for name, r in reservoirs.items()}
        self.widths = tuple(self.steps[n] * self.inputs[n] for n in ("a", "b"))
        for name, reservoir in reservoirs.items():
            setattr(self, f"encode_{name}", encoder(reservoir, seeds.child(name)))
            setattr(self, f"norm_{name}", nn.BatchNorm1d(reservoir.neurons))
            setattr(self, f"project_{name}", nn.Linear(reservoir.neurons, settings.size))

    def side(self, name: str, x: Tensor) -> Tensor:
        """Unit vectors (N, size) of flat rasters (N, T inputs)."""
        network: Network = getattr(self, f"encode_{name}")
        output, _, _ = network(x.view(len(x), self.steps[name], self.inputs[name]).transpose(0, 1))
        z = getattr(self, f"project_{name}")(getattr(self, f"norm_{name}")(network.readout(output)))
        return functional.normalize(functional.gelu(z) if self.gelu else z, dim=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both sides of pairs."""
        a, b = x.split(self.widths, 1)
        return self.side("a", a), self.side("b", b)

    def of(self, name: str, features: np.ndarray, batch: int = 256) -> np.ndarray:
        """Unit vectors (N, size) float32 of flat rasters."""
        with torch.inference_mode():
            return torch.cat(
                [self.side(name, torch.from_numpy(f)) for f in np.split(features, range(batch, len(features), batch))]
            ).numpy()  # type: ignore[no-any-return]


def flat_rasters(batches: Any) -> np.ndarray:
    """(N, T inputs) float32 of (raster, ids) batches."""
    return np.concatenate([_flat(raster) for raster, _ in batches])


def _flat(raster: SparseRaster) -> np.ndarray:
    return raster.dense().transpose(0, 1).flatten(1).contiguous().numpy()


def training_macs(
    reservoirs: dict[str, Reservoir],
    steps: dict[str, int],
    recordings: int,
    settings: Contrastive,
    features: dict[str, int],
) -> dict[str, float]:
    """Multiply-accumulates of training: {"trained": encoders and projections, "reservoir": projections alone}."""
    epochs, size = settings.training.epochs, settings.size
    passes = sum(steps[n] * (r.inputs * r.neurons + r.neurons**2) for n, r in reservoirs.items())
    same = epochs * recordings * 3 * settings.batch * size
    own = sum(r.neurons * size for r in reservoirs.values())
    ours = sum(features[n] * size for n in reservoirs)
    return {
        "trained": float(epochs * recordings * 3 * (passes + own) + same),
        "reservoir": float(recordings * passes + epochs * recordings * 3 * ours + same),
    }
