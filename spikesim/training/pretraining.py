"""Pretraining as a bridge: an ANN's training gives a spiking network its start, and the training over time is short.

pipe-S, same images: a network with sharpening activations is trained as an ANN and is, at the end, the spiking network at
T = 1; its weights and running statistics are the start of the training over T steps.

    lo = min(e / 2E, 0.49)     hi = 1 - e / 2E     out = clip((x - lo) / (hi - lo), 0, 1)       e of E epochs done
    d out / d x := 1 where |x - 0.5| < 0.5                                the neuron's own surrogate, whatever e

pipe-D, event data: a 2-D ANN on still images -> the same network of LIAF neurons on events -> its LIF twin.

    v' = sigmoid(d) v (1 - s) + x;    s = 1 where v' > 0.5;    LIF sends s, LIAF sends max(v', 0)

Lin et al., "Rethinking Pretraining as a Bridge from ANNs to SNNs", IEEE TNNLS 2022. Networks: `spikesim.residual`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core.params import check, number
from ..core.seeds import Seeds
from ..errors import GraphError, ParameterError, ShapeError, must
from ..network import Network
from ..neurons import LIAF, LIF, Neuron, ParametricLIF, ToValue
from ..neurons._leaky import LeakyNeuron
from ..neurons.general import Variant
from ..residual import FIRST, LAST
from ..surrogate import Rectangular, Surrogate
from .batches import Batches
from .loop import fit
from .losses import ReadoutCrossEntropy
from .settings import Training
from .state import Epoch

THRESHOLD, DECAY, HALF_WIDTH = 0.5, 0.25, 0.5
"""Of the paper's neuron: threshold, membrane kept at a step, half width of the surrogate."""
NARROWEST = 0.49
"""Where the lower end of the ramp stops."""


class SharpenedReLU(nn.Module):
    """A ramp from 0 to 1 that becomes a step at 0.5 as training goes on; its gradient stays the neuron's surrogate.

    x (N, *shape) -> (N, *shape) in 0..1. `progress` (3,) int64: steps done, steps of an epoch, epochs; it belongs to the
    state_dict, so a checkpoint knows how sharp the ramp was. See the module's text for the equation.
    """

    progress: Tensor

    def __init__(self, surrogate: Surrogate | None = None) -> None:
        super().__init__()
        self.surrogate = surrogate or Rectangular(HALF_WIDTH)
        self.register_buffer("progress", torch.tensor([0, 1, 1]))

    def ends(self) -> tuple[float, float]:
        """(lo, hi) of the ramp now."""
        steps, of_epoch, epochs = self.progress.tolist()
        half = min(steps // of_epoch, epochs) / (2 * epochs)
        return min(half, NARROWEST), 1 - half

    def forward(self, x: Tensor) -> Tensor:
        lo, hi = self.ends()
        ramp = ((x.detach() - lo) / (hi - lo)).clamp(0, 1)
        if not x.requires_grad:
            return ramp
        step = self.surrogate(x - THRESHOLD)
        return ramp + (step - step.detach())

    def extra_repr(self) -> str:
        return "{:.3g}..{:.3g}".format(*self.ends())


@dataclass(frozen=True)
class Sharpening:
    """Sharpens the ramps of a network over `epochs` of `batches` steps each: `fit`'s `constrain`, called after every step.

    A validation after epoch e sees the ramp that epoch e + 1 starts with.
    """

    epochs: int
    batches: int

    def __post_init__(self) -> None:
        check(self, "epochs", at_least=1, integer=True)
        check(self, "batches", at_least=1, integer=True)

    def start(self, model: nn.Module) -> None:
        """Put all ramps at their beginning."""
        for ramp in _ramps(model):
            ramp.progress.copy_(torch.tensor([0, self.batches, self.epochs]))

    def __call__(self, model: nn.Module) -> None:
        for ramp in _ramps(model):
            ramp.progress[0] += 1


def _ramps(model: nn.Module) -> list[SharpenedReLU]:
    return [m for m in model.modules() if isinstance(m, SharpenedReLU)]


def lif() -> LIF:
    """pipe-S's neuron: mem = 0.25 mem (1 - s) + x, s = 1 where mem > 0.5; a spike's reset has no gradient."""
    return LIF(
        DECAY, THRESHOLD, reset=ToValue(), strict=True, surrogate=Rectangular(HALF_WIDTH), detach_reset=True
    )  # fmt: skip


def cell(*, analog: bool = False, d: float = 0.5, slope: float = 0.0, surrogate: Surrogate | None = None) -> Neuron:
    """pipe-D's cell with a learned decay sigmoid(d): LIF, or LIAF where `analog`.

    slope      of what a LIAF sends for a negative membrane: 0 (ReLU), 0.2 (the paper's leaky one)
    surrogate  rectangular of half width 0.5 unless given (`Gaussian(1.0)` is the paper's other)
    """
    number("cell.d", d)
    return ParametricLIF(
        1 + math.exp(d), THRESHOLD, decay_input=False, reset=ToValue(), strict=True,
        surrogate=surrogate or Rectangular(HALF_WIDTH), variant=Variant(slope=slope) if analog else None,
    )  # fmt: skip


def twin(network: Network, activation: Callable[[], nn.Module]) -> Network:
    """A copy of the network, weights and running statistics 1:1, with every activation exchanged for a new one."""
    activations = [n for n, m in network.nodes.items() if isinstance(m, (SharpenedReLU, nn.ReLU, Neuron))]
    if not activations:
        raise GraphError(must("twin.network", "one with ReLUs, sharpened ReLUs or neurons", "one without"))
    return network.replaced(
        {n: activation() if n in activations else copy.deepcopy(m) for n, m in network.nodes.items()}
    )


def spiking(network: Network) -> Network:
    """A copy of a network of LIAF cells whose cells send their spikes: LIAF -> LIF, all weights and decays 1:1."""
    changed = {name: _sends_spikes(copy.deepcopy(module)) for name, module in network.nodes.items()}
    return network.replaced(changed)


def _sends_spikes(module: nn.Module) -> nn.Module:
    if not isinstance(module, LeakyNeuron):
        return module
    variant = replace(module.variant, slope=None, plain=1.0, times=0.0)
    if not isinstance(module, LIAF):
        module.variant = variant
        return module
    settings = {**vars(module), "variant": variant}
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return LIF.restored(settings, {k: v.detach() for k, v in tensors.items()}, dict(module.named_parameters()).keys())


@torch.no_grad()
def transfer(source: Network, target: Network, *, leave: Collection[str] = ()) -> list[str]:
    """Copy weights and running statistics of `source` to the nodes of the same name in `target`; -> the names copied.

    leave   names of nodes that keep what they have: the paper leaves out the first convolution and the last layer
            (`residual.FIRST`, `residual.LAST`). Activations have nothing to copy.
    GraphError for a node that `source` lacks, ShapeError for one of another shape, naming it.
    """
    copied = []
    for name, module in target.nodes.items():
        if name in leave or not module.state_dict() or isinstance(module, (Neuron, SharpenedReLU)):
            continue
        if name not in source.names:
            raise GraphError(must("transfer.target", "made of nodes that source has too", name, "leave it out"))
        theirs = source.node(name).state_dict()
        shapes = {k: tuple(v.shape) for k, v in theirs.items()}
        wanted = {k: tuple(v.shape) for k, v in module.state_dict().items()}
        if shapes != wanted:
            raise ShapeError(must(f"transfer.{name}", f"of shapes {wanted}", shapes, "leave it out"))
        module.load_state_dict(theirs)
        copied.append(name)
    for name in leave:
        if name not in target.names:
            raise GraphError(must("transfer.leave", "nodes of target", name))
    return copied


@torch.no_grad()
def mean_over_channels(source: Network, target: Network, name: str) -> None:
    """Give every input channel of target's convolution the mean of source's over its channels (RGB, or one grey)."""
    theirs, ours = (n.node(name).get_parameter("weight") for n in (source, target))
    if theirs.shape[0] != ours.shape[0] or theirs.shape[2:] != ours.shape[2:]:
        raise ShapeError(must(f"mean_over_channels.{name}", f"of shape {tuple(ours.shape)}", tuple(theirs.shape)))
    ours.copy_(theirs.mean(1, keepdim=True).expand_as(ours))


@dataclass(frozen=True)
class Stage:
    """A finished stage: "ann", "liaf" or "lif", its network in evaluation mode, the epochs of its training."""

    name: str
    network: Network
    history: list[Epoch]


@dataclass(frozen=True)
class PipeS:
    """pretraining of the ANN (all its epochs sharpen), finetuning of its spiking twin over `steps`; smoothing of the labels"""

    pretraining: Training
    finetuning: Training
    steps: int = 6
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        check(self, "steps", at_least=1, integer=True)


def pipe_s(ann: Network, batches: Batches, plan: PipeS, **options: Any) -> Iterator[Stage]:
    """Train `ann` (of `SharpenedReLU`s, in place), then its LIF twin over plan.steps; each stage yielded when done.

    batches   x (B, *shape) and labels
    options   seeds, validation, folder (checkpoints: a stopped run goes on), watch(stage name, epoch)
    """
    if not _ramps(ann):
        raise GraphError(must("pipe_s.ann", "a network of SharpenedReLU activations", "one without"))
    sharpening = Sharpening(plan.pretraining.epochs, len(batches))
    sharpening.start(ann)
    at_once = ReadoutCrossEntropy(plan.smoothing, 1)
    yield _stage("ann", ann, batches, at_once, plan.pretraining, constrain=sharpening, **options)
    over_time = ReadoutCrossEntropy(plan.smoothing, plan.steps)
    yield _stage("lif", twin(ann, lif).train(), batches, over_time, plan.finetuning, **options)


@dataclass(frozen=True)
class PipeD:
    """pretraining of the ANN on still images, then trainings over time as LIAF (`analog`) and LIF (`spiking`)

    leave      nodes that are not taken over from the ANN: the paper's first convolution and last layer; without the latter
               where the still images are of the same classes, nothing where they have the events' channels too
    mean_over  a convolution among them that starts from the mean over the ANN's channels; None: all are as they were drawn
    """

    pretraining: Training
    analog: Training
    spiking: Training
    leave: tuple[str, ...] = (FIRST, LAST)
    mean_over: str | None = FIRST
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        if self.mean_over is not None and self.mean_over not in self.leave:
            raise ParameterError(must("PipeD.mean_over", f"among leave = {self.leave}, or None", self.mean_over))


def pipe_d(
    ann: Network, liaf: Network, still: Batches | None, events: Batches, plan: PipeD, *,
    still_validation: Batches | None = None, validation: Batches | None = None, **options: Any,
) -> Iterator[Stage]:  # fmt: skip
    """Train the ANN on `still` (None: it is trained), the LIAF network on `events` from its weights, then its LIF twin.

    still    x (B, C, H, W)     events  x (B, T, 2, H, W)      liaf  the ANN's graph, of analog cells; filled in place
    options  seeds, folder, watch(stage name, epoch), as in `pipe_s`
    """
    if still is not None:
        at_once = ReadoutCrossEntropy(plan.smoothing, 1)
        yield _stage("ann", ann, still, at_once, plan.pretraining, validation=still_validation, **options)
    transfer(ann, liaf, leave=plan.leave)
    if plan.mean_over is not None:
        mean_over_channels(ann, liaf, plan.mean_over)
    over_time = ReadoutCrossEntropy(plan.smoothing)
    yield _stage("liaf", liaf, events, over_time, plan.analog, validation=validation, **options)
    yield _stage("lif", spiking(liaf).train(), events, over_time, plan.spiking, validation=validation, **options)


def _stage(
    name: str, network: Network, batches: Batches, loss: ReadoutCrossEntropy, training: Training, *, seeds: Seeds,
    folder: Path | None = None, watch: Callable[[str, Epoch], None] | None = None, **options: Any,
) -> Stage:  # fmt: skip
    told = None if watch is None else (lambda epoch: watch(name, epoch))
    checkpoint = None if folder is None else folder / f"{name}.safetensors"
    history = fit(
        network, batches, loss, training, seeds=seeds.child("stage", name), checkpoint=checkpoint, watch=told, **options
    )
    return Stage(name, network, list(history))
