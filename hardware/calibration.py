"""Calibration: inputs that are shown to a chip before it is used, and how a network is bound while it sees them.

Recordings are rasters of T bins whose entry is bound to T (`Network.bound`), as `run` binds it; frames are shown whole at
every step, as `run(network, x, steps=T)` shows them, with the entry as the ANN has it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spikesim.core.seeds import Seeds
from spikesim.errors import ParameterError, must
from spikesim.network import Network

STEPS = 16
"""Steps over which stored calibration inputs are spread when the network is not bound to a number of steps."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """x (T, B, *shape); `steps`, for which a converted network that is not bound yet is bound: T, or 1 for frames, which are the
    same at every step."""

    x: Tensor
    steps: int

    def bound(self, network: Network) -> Network:
        """The network as it is to be when it sees x."""
        unbound = network.conversion is not None and network.conversion.steps is None
        return network.bound(self.steps) if unbound else network


def calibration_of(network: Network, given: Tensor | None, seeds: Seeds, owner: str) -> Calibration | None:
    """The given inputs (T, B, *shape), or those that conversion kept, over time; None without any.

    Kept counts of recordings are split over the steps at random, frames are repeated; of a tensor (`Conversion.counts` None) whole
    numbers are taken for counts, but not those that are all 0 or 1: pictures in black and white.
    ParameterError for given inputs that are no tensor (T, B, *shape) of finite numbers.
    """
    if given is not None:
        if not isinstance(given, (Tensor, np.ndarray)) or given.ndim < 3 or 0 in given.shape:
            got = f"{type(given).__name__} {tuple(getattr(given, 'shape', ()))}".replace(" ()", "")
            raise ParameterError(
                must(f"{owner}.calibration", "a tensor (T, B, *shape), not empty", got, "time comes first")
            )
        x = torch.as_tensor(given).float()
        if not torch.isfinite(x).all():
            raise ParameterError(must(f"{owner}.calibration", "finite", float(x[~torch.isfinite(x)][0])))
        return Calibration(x, 1 if bool((x == x[0]).all()) else len(x))
    kept = network.calibration
    if kept is None:
        return None
    steps = (network.conversion.steps if network.conversion else None) or STEPS
    counted = network.conversion.counts if network.conversion is not None else None
    if counted is None:
        counted = torch.equal(kept, kept.round()) and bool((kept >= 0).all()) and bool((kept > 1).any())
    if not counted:
        return Calibration(kept.expand(steps, *kept.shape).contiguous(), 1)
    counts = kept.numpy().astype(np.int64)
    generator = seeds.child("calibration").generator()
    split = generator.multinomial(counts.ravel(), np.full(steps, 1 / steps)).T
    return Calibration(torch.from_numpy(split.reshape(steps, *counts.shape).astype(np.float32)), steps)
