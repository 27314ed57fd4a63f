"""Readouts: how a network's output over time becomes one answer. A network carries its own; accuracy uses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from .core.params import check
from .errors import ParameterError, must


class Readout:
    """Abstract: output (T, B, ...) -> answer (B, ...). Subclasses are frozen dataclasses with a `kind` for files."""

    kind: ClassVar[str]

    def __call__(self, output: Tensor) -> Tensor:
        raise NotImplementedError

    def of_counts(self, counts: Tensor, steps: int) -> Tensor | None:
        """The same from how often each output spiked, (B, ...); None where counts alone do not say it."""
        return None


@dataclass(frozen=True)
class Mean(Readout):
    """(1/T) sum of the outputs: what a converted network's logits are read by."""

    kind: ClassVar[str] = "mean"

    def __call__(self, output: Tensor) -> Tensor:
        return output.mean(0)

    def of_counts(self, counts: Tensor, steps: int) -> Tensor:
        return counts / steps


@dataclass(frozen=True)
class Sum(Readout):
    """Sum of the outputs: spike counts of spiking outputs, accumulated current otherwise."""

    kind: ClassVar[str] = "sum"

    def __call__(self, output: Tensor) -> Tensor:
        return output.sum(0)

    def of_counts(self, counts: Tensor, steps: int) -> Tensor:
        return counts


@dataclass(frozen=True)
class DelayedMean(Readout):
    """Mean of the outputs after the first `skip` steps, over at least the last one."""

    skip: int = 0
    kind: ClassVar[str] = "delayed_mean"

    def __post_init__(self) -> None:
        check(self, "skip", at_least=0, integer=True, unit="steps")

    def __call__(self, output: Tensor) -> Tensor:
        return output[min(self.skip, output.shape[0] - 1) :].mean(0)


@dataclass(frozen=True)
class LeakySum(Readout):
    """sum over t of decay^(T - 1 - t) times the output: a leaky membrane that never spikes, at the end of the run."""

    decay: float = 0.8
    kind: ClassVar[str] = "leaky_sum"

    def __post_init__(self) -> None:
        check(self, "decay", above=0, at_most=1)

    def __call__(self, output: Tensor) -> Tensor:
        answer = output[0]
        for at in output[1:]:
            answer = self.decay * answer + at
        return answer


READOUTS: dict[str, type[Readout]] = {r.kind: r for r in (Mean, Sum, DelayedMean, LeakySum)}


def readout_of(kind: str, **options: float) -> Readout:
    """The readout called `kind`, as a file names it."""
    if kind not in READOUTS:
        raise ParameterError(must("Readout.kind", f"one of {', '.join(READOUTS)}", kind))
    return READOUTS[kind](**options)  # type: ignore[arg-type]
