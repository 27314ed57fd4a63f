"""FittedReadout: how many of the first steps are left out of the answer, by the output's error on calibration inputs."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..core.params import check
from ..engine import run
from .assembly import assemble
from .delayed_readout import DelayedReadout
from .draft import Draft

SHARES = (0.0, 0.125, 0.25, 0.375)
"""Shares of T that are tried."""

TRIED = 64
"""Calibration inputs that they are tried on."""


@dataclass(frozen=True)
class FittedReadout:
    """DelayedReadout(k) with k = argmin |mean of outputs k+1..T - ANN| among shares of T = `steps`, 0 among them.

    Deep layers say nothing in the first steps and too much later, when they catch up. Recordings are read whole: their
    bins sum to what the ANN would have seen.
    """

    steps: int

    def __post_init__(self) -> None:
        check(self, "steps", at_least=1, integer=True, unit="steps")

    def __call__(self, draft: Draft) -> Draft:
        if draft.calibration.recordings:
            return draft
        x = draft.calibration.sample(TRIED)
        with torch.no_grad():
            wanted = next(value for node, value in draft.replay(x) if node.name == draft.output)
            output = run(assemble(draft, ""), x, steps=self.steps).output
        skips = sorted({int(share * self.steps) for share in SHARES})
        off = {k: float((output[k:].mean(0) - wanted).norm()) for k in skips}
        return DelayedReadout(min(off, key=off.__getitem__))(draft)
