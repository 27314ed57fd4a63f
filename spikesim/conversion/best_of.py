"""BestOf: of several ways to finish a draft, the one whose output errs least on calibration inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..core.params import check
from ..engine import run
from ..errors import ParameterError, must
from .assembly import assemble
from .delayed_readout import DelayedReadout
from .draft import Draft

SHARES = (0.0, 0.125, 0.25, 0.375)
"""Shares of T that the readout may leave out."""

TRIED = 64
"""Calibration inputs that the ways are tried on."""

Way = tuple[Callable[[Draft], Draft], ...]


@dataclass(frozen=True)
class BestOf:
    """argmin over ways and k of |mean of outputs k+1..T - ANN|, k among shares of T = `steps`, 0 among them.

    Deep layers say nothing in the first steps and too much later, when they catch up: a `DelayedReadout` may help.
    Recordings are read whole: their bins sum to what the ANN would have seen.
    ways  tuples of steps
    """

    steps: int
    ways: tuple[Way, ...]

    def __post_init__(self) -> None:
        check(self, "steps", at_least=1, integer=True, unit="steps")
        if not self.ways:
            raise ParameterError(must("BestOf.ways", "one or more tuples of steps", self.ways))

    def __call__(self, draft: Draft) -> Draft:
        x = draft.calibration.sample(TRIED)
        skips = [0] if draft.calibration.recordings else sorted({int(share * self.steps) for share in SHARES})
        best, least = draft, float("inf")
        with torch.no_grad():
            wanted = next(value for node, value in draft.replay(x) if node.name == draft.output)
            for way in self.ways:
                done = draft
                for step in way:
                    done = step(done)
                output = run(assemble(done, ""), x, steps=self.steps).output
                for k in skips:
                    off = float((output[k:].mean(0) - wanted).norm())
                    if off < least:
                        best, least = DelayedReadout(k)(done) if k else done, off
        return best
