"""The residual network of the pretraining paper as a `Network`: one graph for the ANN, its LIAF and its LIF twin.

    stem       conv - BN - neuron                                    (7 x 7, stride 2, no pool, as in the paper)
    block      neuron( BN conv neuron BN conv x  +  x, or BN conv 1x1 x )
    output     mean over the map - linear, read out as the mean over time

A network runs stateless layers on (T * B, ...) at once, so `nn.BatchNorm2d` normalises over time and batch together (tdBN);
its scale starts at the threshold.

Lin et al., "Rethinking Pretraining as a Bridge from ANNs to SNNs", IEEE TNNLS 2022; tdBN: Zheng et al. 2021.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from .core.params import number
from .errors import ParameterError, must
from .graph import INPUT, GraphBuilder
from .network import Network

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
"""Blocks of the four stages."""
WIDTHS = (64, 128, 256, 512)
FIRST, LAST = "stem.conv", "classifier"
"""Names of the layers that a transfer to other data leaves out."""

Activation = Callable[[], nn.Module]
"""Makes one activation: `nn.ReLU`, a `SharpenedReLU`, a neuron."""


def residual_network(
    shape: tuple[int, int, int], classes: int, activation: Activation, *, blocks: tuple[int, ...] = BLOCKS["resnet18"],
    widths: tuple[int, ...] = WIDTHS, stem: tuple[int, int] = (7, 2), first_stride: int = 2, threshold: float = 0.5,
) -> Network:  # fmt: skip
    """The network for inputs of `shape` (C, H, W) at every step.

    blocks, widths  of every stage: blocks of two convolutions, channels       stem   (kernel, stride)
    first_stride    of the first stage; the others halve the map               threshold  where normalisations' scales start
    Weights are drawn by torch's own rules. Node names do not depend on `activation` or C.
    """
    number("residual_network.threshold", threshold, above=0)
    if len(blocks) != len(widths) or not blocks or min(*blocks, *widths) < 1:
        rule = "a number of blocks and channels, at least 1, for every stage"
        raise ParameterError(must("residual_network.blocks, widths", rule, (tuple(blocks), tuple(widths))))
    made = _Graph(activation, threshold)
    at, channels = made.normalised("stem", INPUT, shape[0], widths[0], stem[0], stem[1]), widths[0]
    at = made.add("stem.neuron", activation(), at)
    for stage, (count, width) in enumerate(zip(blocks, widths)):
        for block in range(count):
            stride = 1 if block else first_stride if stage == 0 else 2
            at, channels = made.block(f"stages.{stage}.{block}", at, channels, width, stride), width
    at = made.add("flat", nn.Flatten(), made.add("pool", nn.AdaptiveAvgPool2d(1), at))
    made.add(LAST, nn.Linear(channels, classes), at)
    return Network(made.nodes, made.edges, input_shape=shape)


class _Graph(GraphBuilder):
    """With the parts of a residual network."""

    def __init__(self, activation: Activation, threshold: float) -> None:
        super().__init__()
        self.activation, self.threshold = activation, threshold

    def normalised(self, name: str, source: str, inputs: int, outputs: int, kernel: int, stride: int) -> str:
        """conv - BN; the name of the BN."""
        norm = nn.BatchNorm2d(outputs)
        nn.init.constant_(norm.weight, self.threshold)
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        return self.add(f"{name}.norm", norm, self.add(f"{name}.conv", conv, source))

    def block(self, name: str, source: str, inputs: int, outputs: int, stride: int) -> str:
        """Two convolutions beside a shortcut (1 x 1 where shapes differ); the name of the last neuron."""
        at = self.normalised(f"{name}.first", source, inputs, outputs, 3, stride)
        at = self.add(f"{name}.first.neuron", self.activation(), at)
        at = self.normalised(f"{name}.second", at, outputs, outputs, 3, 1)
        same = stride == 1 and inputs == outputs
        beside = source if same else self.normalised(f"{name}.shortcut", source, inputs, outputs, 1, stride)
        return self.add(f"{name}.neuron", self.activation(), at, beside)
