"""Resets: what a spike does to the membrane."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


class Reset:
    """Abstract: what a spike does to the membrane. `delayed` makes it act at the next step."""

    delayed: bool = False

    def numbers(self, threshold: Tensor) -> tuple[Tensor, Tensor]:
        """(scale, shift) of v = h - s (scale h + shift)."""
        raise NotImplementedError


@dataclass(frozen=True)
class BySubtraction(Reset):
    """Soft reset: v = h - s threshold, so that charge above the threshold is kept."""

    delayed: bool = False

    def numbers(self, threshold: Tensor) -> tuple[Tensor, Tensor]:
        return threshold.new_zeros(()), threshold


@dataclass(frozen=True)
class ToValue(Reset):
    """Hard reset: v = value where the neuron spiked."""

    value: float = 0.0
    delayed: bool = False

    def numbers(self, threshold: Tensor) -> tuple[Tensor, Tensor]:
        return threshold.new_ones(()), threshold.new_full((), -self.value)


@dataclass(frozen=True)
class NoReset(Reset):
    """The membrane is left as it is."""

    def numbers(self, threshold: Tensor) -> tuple[Tensor, Tensor]:
        return threshold.new_zeros(()), threshold.new_zeros(())
