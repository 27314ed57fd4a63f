"""The fair comparison: the ANN behind a converted network, on the same chip, cells, mapping and converters.

Its activations are ReLU(h) / theta, which the time mean of the spikes approaches; they reach the 1-bit drivers as b bit
planes, one after the other, once instead of T times. Everything else is the chip's own: programmed cells, read noise,
converters, whose ranges are set again on the ANN's own calibration inputs. Each activation is compared with 0 (an
addition) and moved to the next layer as b bits.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from spikesim.core.ledger import Action, Key, Ledger
from spikesim.core.params import number
from spikesim.datasets.base import ArrayDataset, EventDataset
from spikesim.errors import ParameterError, must
from spikesim.evaluation import evaluate
from spikesim.network import Network
from spikesim.neurons import IF, GradedIF, Neuron, SignedIF
from spikesim.readout import Mean

from .calibration import Calibration
from .chips import Chip
from .cost.price import price
from .cost.report import EnergyReport
from .crossbar import Programmed
from .deployment import drives_of, ranged
from .tally import Tally

BITS = (8, 4)
"""Bits of the ANN's inputs that a spiking network is compared with."""


class Rectifier(nn.Module):
    """y = ReLU(x) / threshold: what a neuron's spikes come to in the time mean."""

    threshold: Tensor

    def __init__(self, threshold: Tensor) -> None:
        super().__init__()
        self.register_buffer("threshold", torch.as_tensor(threshold).detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x) / self.threshold


def has_ann(network: Network) -> bool:
    """Whether a network came from an ANN and has neurons that its ReLUs became."""
    neurons = [m for m in network.nodes.values() if isinstance(m, Neuron)]
    return network.conversion is not None and all(isinstance(m, (IF, SignedIF, GradedIF)) for m in neurons)


def ann_of(network: Network) -> Network:
    """The ANN that a converted network came from, its thresholds folded into the weights: shown a frame, for one step.

    Raises ParameterError for a network that was not converted or has other neurons.
    """
    if not has_ann(network):
        rule = "a converted one with IF, SignedIF or GradedIF neurons"
        raise ParameterError(must("ann_of.network", rule, "another", "its ANN is not known"))
    bound = network.bound(1)
    neurons = {n: Rectifier(m.threshold) for n, m in bound.nodes.items() if isinstance(m, Neuron)}  # type: ignore[arg-type]
    return bound.replaced(neurons, readout=Mean())


def ann_on_chip(chip: Chip, *, bits: int) -> Chip:
    """The chip with its ANN in place of its spiking network, inputs of `bits` bits, ranges set on calibration inputs.

    Raises ParameterError for networks without ANN or calibration inputs, and for bits outside 1 to 16.
    """
    number("ann_on_chip.bits", bits, at_least=1, at_most=16, integer=True)
    kept = chip.source.calibration
    if kept is None:
        raise ParameterError(must("ann_on_chip.chip", "of a network that kept calibration inputs", "none"))
    network, ann, x = ann_of(chip.network), ann_of(chip.source), Calibration(kept[None], 1)
    nodes = {name: node for name, node in network.nodes.items() if isinstance(node, Programmed)}
    drives = drives_of(ann, list(nodes), x, bits)
    driven = {name: node.with_crossbar(drive=drives[name]) for name, node in nodes.items()}
    return ranged(replace(chip, network=network.replaced(driven), source=ann), x)[0]


def estimate_ann(chip: Chip, data: EventDataset | ArrayDataset, *, bits: int = 8) -> EnergyReport:
    """Accuracy and joules of the ANN on the chip's own arrays. data: frames (recordings: their frames of counts)."""
    ann = ann_on_chip(chip, bits=bits)
    frames = ArrayDataset(data.frames(), np.asarray(data.labels))
    ledger, tally = Ledger(), Tally()
    found = evaluate(ann.watched(tally), frames, steps=1, ledger=ledger)
    edges = [(e.source, e.target) for e in ann.network.edges if not e.delay]
    return price(
        ledger + _activations(ann, frames, ledger.samples, bits), chip.macro, steps=1, order=ann.network.order,
        edges=edges, accuracy=found.accuracy, clipped=tally.clipped_share(),
    )  # fmt: skip


def _activations(ann: Chip, frames: ArrayDataset, samples: int, bits: int) -> Ledger:
    """One comparison and `bits` bits moved for every activation of every inference; adds no samples."""
    shapes, found = ann.source.shapes(frames.x[None, :1]), Ledger()
    for name, node in ann.network.nodes.items():
        if isinstance(node, Rectifier):
            count = int(np.prod(shapes[name]))
            for action, each in ((Action.digital_add, count), (Action.bits_bus, count * bits)):
                found.total[Key(name, "", action)] = each * samples
                found.squares[Key(name, "", action)] = each**2 * samples
    return found
