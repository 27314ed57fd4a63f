"""Reservoir: inputs and recurrence through fixed random weights into leaky neurons with a hard reset.

    m_t = alpha m_{t-1} (1 - s_{t-1}) + W_in x_t + W_rec s_{t-1};      s_t = 1 where m_t > threshold

It is a `Network` of three nodes ("in", "back", "n"), so that every engine runs it, `ss.save` keeps it and `hardware.deploy`
maps it; formed cells become a chip's cells as they are (`Reservoir.chip`).

Source: the liquid state machine of N. Lin et al., "Resistive memory-based zero-shot liquid state machine for multimodal
event data learning" (Nature Computational Science, 2025; arXiv 2307.00771), as in the group's later released code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..core.params import check
from ..core.seeds import Seeds
from ..errors import ParameterError, must, nearest
from ..hardware.chips import Chip
from ..hardware.deployment import deploy
from ..hardware.macro import Macro
from ..network import INPUT, Edge, Network
from ..neurons import LIF, ToValue
from ..readout import Readout, Sum
from .weights import Formed, Gaussian, Weights

INWARD, BACK, NEURONS = "in", "back", "n"
MICROSIEMENS = {"in": 6.61329, "back": 6.67268}
"""Standard deviations of the published reservoir's weights."""
PUBLISHED = {
    "nmnist": (256, 0.9, 5.0, 0.07), "ntidigits": (64, 0.97, 5.3, 0.08),
    "image": (256, 0.9, 5.0, 0.3), "audio": (64, 0.97, 5.3, 0.1),
}  # fmt: skip
"""Inputs, alpha, threshold and scale per microsiemens of the published set-ups; each has 200 neurons."""


@dataclass(frozen=True)
class Reservoir:
    """inputs (whatever their shape, flat), neurons, alpha (membrane left after a step), threshold

    input_std, loop_std       standard deviation of W_in and W_rec, in the units of the threshold
    input_weights, loop_weights   where they come from: `Gaussian`, `Formed`, `Given`
    input_share, loop_share   share of connections that are there
    spectral_radius           W_rec is scaled to it; 0: `loop_std` says how strong it is
    """

    inputs: int
    neurons: int = 200
    alpha: float = 0.9
    threshold: float = 5.0
    input_std: float = 0.46
    loop_std: float = 0.46
    input_weights: Weights = Gaussian()
    loop_weights: Weights = Gaussian()
    input_share: float = 1.0
    loop_share: float = 1.0
    spectral_radius: float = 0.0

    def __post_init__(self) -> None:
        for name in ("inputs", "neurons"):
            check(self, name, at_least=1, integer=True)
        check(self, "alpha", at_least=0, at_most=1)
        check(self, "threshold", above=0)
        for name in ("input_std", "loop_std", "spectral_radius"):
            check(self, name, at_least=0)
        for name in ("input_share", "loop_share"):
            check(self, name, at_least=0, at_most=1)

    @classmethod
    def published(cls, task: str, **changes: Any) -> Reservoir:
        """The set-up of a published task: "nmnist", "ntidigits", or "image" and "audio" of the zero-shot match."""
        if task not in PUBLISHED:
            rule = f"one of {', '.join(PUBLISHED)}"
            raise ParameterError(must("Reservoir.published.task", rule, task, nearest(task, PUBLISHED)))
        inputs, alpha, threshold, scale = PUBLISHED[task]
        stds = scale * MICROSIEMENS[INWARD], scale * MICROSIEMENS[BACK]
        return replace(cls(inputs, 200, alpha, threshold, *stds), **changes)

    def matrices(self, seeds: Seeds) -> tuple[Tensor, Tensor]:
        """W_in (inputs, neurons) and W_rec (neurons, neurons), float32, rows are sources."""
        inward, back = (self._drawn(node, seeds) for node in (INWARD, BACK))
        return torch.from_numpy((inward * self._scale(INWARD, seeds)).astype(np.float32)), torch.from_numpy(
            (back * self._scale(BACK, seeds)).astype(np.float32)
        )

    def network(self, seeds: Seeds) -> Network:
        """The reservoir as a network whose output is its spikes, (T, B, inputs) -> (T, B, neurons); readout: their sum."""
        neuron = LIF(self.alpha, self.threshold, reset=ToValue(0.0), strict=True)
        return wired(*self.matrices(seeds), neuron, Sum()).eval().requires_grad_(False)

    def chip(self, macro: Macro, seeds: Seeds, *, calibration: Tensor | None = None, **options: Any) -> Chip:
        """An emulated chip of `macro` that holds the reservoir: formed cells as they formed, other weights programmed.

        calibration   inputs (T, B, inputs) that set converter ranges
        """
        measured: dict[str, np.ndarray] = {}
        scales: dict[str, float] = {}
        for node in (INWARD, BACK):
            weights = self._weights(node)
            if isinstance(weights, Formed):
                shape = self._shape(node)
                here = seeds.child(node)
                measured[node] = weights.pairs(shape, self._there(node, shape, here), here.child("weights").generator())
                scales[node] = self._scale(node, seeds) / weights.deviation
        return deploy(
            self.network(seeds),
            macro,
            seeds=seeds,
            calibration=calibration,
            measured=measured,
            scales=scales,
            **options,
        )

    def _weights(self, node: str) -> Weights:
        return self.input_weights if node == INWARD else self.loop_weights

    def _shape(self, node: str) -> tuple[int, int]:
        return (self.inputs if node == INWARD else self.neurons), self.neurons

    def _there(self, node: str, shape: tuple[int, int], seeds: Seeds) -> np.ndarray:
        share = self.input_share if node == INWARD else self.loop_share
        return np.ones(shape, bool) if share == 1 else seeds.child("there").generator().random(shape) < share

    def _drawn(self, node: str, seeds: Seeds) -> np.ndarray:
        shape, here = self._shape(node), seeds.child(node)
        return self._weights(node).draw(shape, self._there(node, shape, here), here.child("weights").generator())

    def _scale(self, node: str, seeds: Seeds) -> float:
        if node == INWARD:
            return self.input_std
        if not self.spectral_radius:
            return self.loop_std
        radius = float(np.abs(np.linalg.eigvals(self._drawn(BACK, seeds))).max())
        if not radius:
            raise ParameterError(must("Reservoir.spectral_radius", "0 where nothing feeds back", self.spectral_radius))
        return self.spectral_radius / radius


def wired(inward: Tensor, back: Tensor, neuron: LIF, readout: Readout) -> Network:
    """Inputs and recurrence through matrices (inputs, neurons) and (neurons, neurons) into neurons, which are the output."""
    nodes = {INWARD: _linear(inward), BACK: _linear(back), NEURONS: neuron}
    edges = [Edge(INPUT, INWARD), Edge(INWARD, NEURONS), Edge(NEURONS, BACK, 1), Edge(BACK, NEURONS)]
    return Network(nodes, edges, output=NEURONS, readout=readout, input_shape=(len(inward),))


def _linear(weight: Tensor) -> nn.Linear:
    """A linear layer without bias of a matrix (inputs, outputs)."""
    linear = nn.Linear(weight.shape[0], weight.shape[1], bias=False)
    linear.weight = nn.Parameter(weight.T.contiguous())
    return linear
