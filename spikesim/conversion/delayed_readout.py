"""DelayedReadout: the first steps, in which deep layers have nothing to say yet, are left out of the answer."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..core.params import check
from ..readout import DelayedMean
from .draft import Draft


@dataclass(frozen=True)
class DelayedReadout:
    """The answer is the mean of the outputs after the first `skip` steps. Bu et al., CVPR 2025."""

    skip: int

    def __post_init__(self) -> None:
        check(self, "skip", at_least=0, integer=True, unit="steps")

    def __call__(self, draft: Draft) -> Draft:
        return replace(draft, readout=DelayedMean(self.skip))
