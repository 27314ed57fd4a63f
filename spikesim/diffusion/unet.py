"""The U-Net of spiking diffusion as one Network, spiking or not: time (and class) come in as planes beside the picture.

    residual block      O = norm(conv(s2)) + shortcut(x),   s2 = act(norm(conv(act(x))) + W act(time))
    down                norm(conv stride 2 (act(x)))        up   norm(conv(nearest x2 (act(x))))
    stem                norm(conv(act(norm(conv(picture)))))
    tail                h = conv(swish(norm(x)));   h + swish(norm(conv(h))): analog, at every step
    answer              sum over t of 0.8^(T - 1 - t) h[t]

An activation stands before each convolution, so that a block adds currents, not spikes (pre-spike residual): the stream that
shortcuts and skips carry is analog. Spiking: act is an integrate-and-fire neuron, as published of threshold 1 and reset to zero,
the picture is shown at every step, norm is batch normalisation over time and batch. An ANN has the same layers and names, and
one step.

Cao et al. 2024, arXiv 2408.16467, and its code (spiking U-Net); Ho et al., NeurIPS 2020 (the U-Net of diffusion).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from ..core.params import check
from ..core.seeds import Seeds
from ..errors import ParameterError, must, nearest
from ..graph import INPUT, GraphBuilder
from ..layers import Channels, ClassEmbedding, Concat, QuantisedReLU, Reshape, TemporalScale, TimeEmbedding
from ..network import Network
from ..neurons import IF, BySubtraction
from ..readout import LeakySum, Mean
from .network_denoiser import plane_count

DECAY = 0.8
"""Of the readout, as published."""
FIRST_CLIP = 6.0
"""Where a quantised activation's threshold starts, as published."""
ACTIVATIONS: dict[str, Callable[[UNet], nn.Module]] = {
    "if": lambda unet: _spiking(unet.threshold, unet.reset),
    "relu": lambda unet: nn.ReLU(),
    "swish": lambda unet: nn.SiLU(),
    "quantised": lambda unet: _quantised(unet.levels),
}


@dataclass(frozen=True)
class UNet:
    """What a U-Net is like.

    channels, size   of the square pictures              width        channels of the first level
    multipliers      of every level: width times this    blocks       residual blocks of a level on the way down
    activation       "if" (spiking), "relu", "swish", "quantised" (`levels` above 0)
    steps            T of a spiking one; 1 otherwise     norm         "batch", or "group" (of ANNs)
    classes          that it can be asked for, 0: none   temporal     a `TemporalScale` after every convolution
    threshold        of spiking neurons                  reset        theirs: "zero", or "subtraction" (starting at half a
                                                                      threshold, so that a constant drive is rounded)
    """

    channels: int = 1
    size: int = 16
    width: int = 32
    multipliers: tuple[int, ...] = (1, 2, 2)
    blocks: int = 2
    activation: str = "if"
    steps: int = 4
    norm: str = "batch"
    classes: int = 0
    temporal: bool = False
    levels: int = 3
    threshold: float = 1.0
    reset: str = "zero"

    def __post_init__(self) -> None:
        object.__setattr__(self, "multipliers", tuple(self.multipliers))
        for name in ("channels", "size", "blocks", "steps", "levels"):
            check(self, name, at_least=1, integer=True)
        check(self, "width", at_least=2, integer=True)
        check(self, "classes", at_least=0, integer=True)
        if not self.multipliers or any(type(m) is not int or m < 1 for m in self.multipliers):
            raise ParameterError(must("UNet.multipliers", "whole numbers at least 1, one or more", self.multipliers))
        check(self, "threshold", above=0)
        for name, known in (
            ("activation", ACTIVATIONS),
            ("norm", ("batch", "group")),
            ("reset", ("zero", "subtraction")),
        ):
            value = getattr(self, name)
            if value not in known:
                raise ParameterError(must(f"UNet.{name}", f"one of {', '.join(known)}", value, nearest(value, known)))
        halved = 2 ** (len(self.multipliers) - 1)
        if self.size % halved:
            rule = f"divisible by {halved}: each of {len(self.multipliers)} levels but the first halves it"
            raise ParameterError(must("UNet.size", rule, self.size, "give another size, or fewer multipliers"))
        if self.spiking and self.norm == "group":
            raise ParameterError(must("UNet.norm", "batch for a spiking U-Net", self.norm))
        if not self.spiking and (self.steps != 1 or self.temporal):
            rule = "1, without temporal scales, for an ANN"
            raise ParameterError(
                must("UNet.steps", rule, self.steps, 'set steps = 1, or activation = "if", which spikes')
            )
        if not self.spiking and (self.threshold, self.reset) != (1.0, "zero"):
            raise ParameterError(must("UNet.threshold", "left alone, as reset is, for an ANN", self.threshold))

    @property
    def spiking(self) -> bool:
        """Whether activations are neurons."""
        return self.activation == "if"

    @property
    def planes(self) -> int:
        """Channels of what comes in: the picture's, the time, and the class where there are any."""
        return plane_count(self.channels, self.classes)

    def network(self, seeds: Seeds) -> Network:
        """The network, with weights drawn from the seeds (Xavier's uniform rule, biases 0)."""
        built = _Builder(self)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.child("unet").key & 0x7FFF_FFFF)
            output = built.whole()
            for module in built.nodes.values():
                if isinstance(module, (nn.Conv2d, nn.Linear)):
                    nn.init.xavier_uniform_(module.weight)
                    nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        return Network(
            built.nodes, built.edges, output=output, input_shape=(self.planes, self.size, self.size),
            readout=LeakySum(DECAY) if self.spiking else Mean(),
        )  # fmt: skip


TAIL = ("tail.conv", "tail.again.norm")
"""Nodes whose weights and biases say how large the answer is."""


def readout_gain(steps: int) -> float:
    """What the readout of T = steps makes of an output that is 1 at every step."""
    return float(sum(DECAY**t for t in range(steps)))


_BLOCK = re.compile(r"stem|time|class|tail|middle\.\d+|(down|up)\.\d+\.\w+")


def block_of(name: str) -> str | None:
    """The block that a node of a U-Net belongs to by its name ("down.0.1", "middle.0", "stem", "tail" ...), else None."""
    found = _BLOCK.match(name)
    return None if found is None else found[0]


def _spiking(threshold: float, reset: str) -> IF:
    by_subtraction = reset == "subtraction"
    return IF(threshold, reset=BySubtraction(), initial=threshold / 2) if by_subtraction else IF.spikingjelly(threshold)


def _quantised(levels: int) -> QuantisedReLU:
    made = QuantisedReLU(levels)
    nn.init.constant_(made.threshold, FIRST_CLIP)
    return made


class _Builder(GraphBuilder):
    """The parts; each method adds nodes and gives the name of the last."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.unet, self.embedded = unet, 4 * unet.width

    def whole(self) -> str:
        u = self.unet
        picture = self.add("picture", Channels(0, u.channels), INPUT)
        self.time()
        at = self.convolved("stem.first", picture, u.channels, u.width)
        at, width = self.activated("stem.second", at, u.width, u.width), u.width
        skips = [(at, width)]
        for level, multiplier in enumerate(u.multipliers):
            for block in range(u.blocks):
                at, width = self.block(f"down.{level}.{block}", at, width, u.width * multiplier), u.width * multiplier
                skips.append((at, width))
            if level < len(u.multipliers) - 1:
                at = self.activated(f"down.{level}.halved", at, width, width, stride=2)
                skips.append((at, width))
        for block in range(2):
            at = self.block(f"middle.{block}", at, width, width)
        for level in reversed(range(len(u.multipliers))):
            for block in range(u.blocks + 1):
                skip, more = skips.pop()
                name, wanted = f"up.{level}.{block}", u.width * u.multipliers[level]
                at = self.block(name, self.add(f"{name}.joined", Concat(), at, skip), width + more, wanted)
                width = wanted
            if level:
                at = self.activated(f"up.{level}.doubled", at, width, width, doubled=True)
        return self.tail(at, width)

    def time(self) -> None:
        """The embedding that blocks read, behind its last activation."""
        u, size = self.unet, self.embedded
        plane = self.add("time.plane", Channels(u.channels, u.channels + 1), INPUT)
        at = self.add("time.waves", TimeEmbedding(u.width), plane)
        at = self.add("time.swish", nn.SiLU(), self.add("time.first", nn.Linear(u.width, size), at))
        parts = [self.add("time.second", nn.Linear(size, size), at)]
        if u.classes:
            plane = self.add("class.plane", Channels(u.channels + 1, u.channels + 2), INPUT)
            parts.append(self.add("class.embedding", ClassEmbedding(u.classes, size), plane))
        self.add("time.active", nn.SiLU(), *parts)

    def norm(self, channels: int) -> nn.Module:
        if self.unet.norm == "batch":
            return nn.BatchNorm2d(channels)
        groups = next(n for n in (8, 4, 2, 1) if channels % n == 0)
        return nn.GroupNorm(groups, channels)

    def conv(self, name: str, source: str, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> str:
        """conv - [temporal scale]."""
        at = self.add(f"{name}.conv", nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), source)
        return self.add(f"{name}.scale", TemporalScale(self.unet.steps), at) if self.unet.temporal else at

    def convolved(self, name: str, source: str, inputs: int, outputs: int, stride: int = 1) -> str:
        """conv - norm."""
        return self.add(f"{name}.norm", self.norm(outputs), self.conv(name, source, inputs, outputs, 3, stride))

    def activated(
        self, name: str, source: str, inputs: int, outputs: int, *, stride: int = 1, doubled: bool = False,
        beside: tuple[str, ...] = (),
    ) -> str:  # fmt: skip
        """act - [nearest upsampling] - conv - norm; `beside` is added before the activation."""
        at = self.add(f"{name}.neuron", ACTIVATIONS[self.unet.activation](self.unet), source, *beside)
        if doubled:
            at = self.add(f"{name}.doubled", nn.Upsample(scale_factor=2, mode="nearest"), at)
        return self.convolved(name, at, inputs, outputs, stride)

    def block(self, name: str, source: str, inputs: int, outputs: int) -> str:
        """A pre-spike residual block."""
        at = self.activated(f"{name}.first", source, inputs, outputs)
        time = self.add(f"{name}.time.linear", nn.Linear(self.embedded, outputs), "time.active")
        time = self.add(f"{name}.time.map", Reshape((outputs, 1, 1)), time)
        at = self.activated(f"{name}.second", at, outputs, outputs, beside=(time,))
        beside = source if inputs == outputs else self.conv(f"{name}.shortcut", source, inputs, outputs, 1)
        return self.add(f"{name}.sum", nn.Identity(), at, beside)

    def tail(self, source: str, width: int) -> str:
        """norm - swish - conv, and what a second one makes of it added."""
        channels = self.unet.channels
        at = self.add("tail.swish", nn.SiLU(), self.add("tail.norm", self.norm(width), source))
        at = self.conv("tail", at, width, channels)
        again = self.convolved("tail.again", at, channels, channels)
        return self.add("tail.sum", nn.Identity(), at, self.add("tail.again.swish", nn.SiLU(), again))
