"""IIR-SNN: an ANN's weights retrained as a spiking network at T = 5, then 4, 3, 2, and 1 step.

    U_l <- lambda_l U_l + W_l o_{l-1};    o_l = 1 where U_l / V_l > 1;    U_l <- U_l - V_l o_l

The image is the input current at every step (direct encoding); the last layer accumulates without leak or spike, and the
loss is the cross-entropy of what it has at the end. lambda_l (from 1, kept at most 1) and V_l are one learned number each per
layer. V_l starts, layer by layer through the spiking network as far as it has thresholds, at the largest over time of the 90th
percentile of W_l o_{l-1} over a batch. Every stage starts from the weights, thresholds and leaks of the one before.

Chowdhury, Rathi, Roy: "One Timestep is All You Need", arXiv 2110.05929; ECCV 2022. Its reinforcement learning is not here.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..conversion.calibration import Calibration
from ..conversion.capture import capture
from ..conversion.draft import SPIKING, Draft
from ..conversion.fold_batch_norm import FoldBatchNorm
from ..core.params import check
from ..core.seeds import Seeds
from ..errors import ConversionError, ParameterError, must
from ..graph import INPUT, Edge
from ..network import Network
from ..neurons import NormalisedLIF
from ..readout import Sum
from ..surrogate import Surrogate, Triangular
from .batches import Batches
from .loop import Watch, WatchSteps, fit
from .losses import MembraneCrossEntropy
from .settings import Training
from .state import Epoch

POOLS = (nn.AvgPool2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d)
SILENT = 0.1
"""Threshold of a layer whose percentile is not above 0."""
LEAST = 1e-3
"""Smallest threshold that training may reach."""
PIECE = 8
"""Steps that are run at a time while thresholds are looked for."""


def listed(value: Any) -> tuple[Any, ...]:
    """What a file says of every stage: a list, or of one stage a number."""
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


@dataclass(frozen=True)
class Schedule:
    """stages       numbers of steps, falling
    training     of each stage                 epochs   of each stage, in place of those of `training`; empty: these
    percentile   of the drive, for the first thresholds, over `steps` steps of `samples` inputs
    dropout      after every neuron that no pool follows; one mask for all steps of a sample
    smoothing    of the labels
    """

    training: Training
    stages: tuple[int, ...] = (5, 4, 3, 2, 1)
    percentile: float = 90.0
    steps: int = 100
    samples: int = 256
    dropout: float = 0.2
    smoothing: float = 0.0
    epochs: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("stages", "epochs"):
            object.__setattr__(self, name, listed(getattr(self, name)))
        falling = all(a > b for a, b in zip(self.stages, self.stages[1:]))
        whole = all(isinstance(t, int) and t >= 1 for t in self.stages)
        if not self.stages or not whole or not falling:
            raise ParameterError(must("Schedule.stages", "falling numbers of steps, at least 1", list(self.stages)))
        counts = all(isinstance(e, int) and e >= 1 for e in self.epochs)
        if self.epochs and (len(self.epochs) != len(self.stages) or not counts):
            rule = f"{len(self.stages)} numbers of epochs, one for each stage, at least 1"
            raise ParameterError(must("Schedule.epochs", rule, list(self.epochs)))
        check(self, "percentile", above=0, at_most=100)
        check(self, "steps", at_least=1, integer=True)
        check(self, "samples", at_least=1, integer=True)
        check(self, "dropout", at_least=0, below=1)
        check(self, "smoothing", at_least=0, at_most=1)

    @property
    def trainings(self) -> list[Training]:
        """Of each stage, in order."""
        epochs = self.epochs or [self.training.epochs] * len(self.stages)
        return [replace(self.training, epochs=count) for count in epochs]


@dataclass(frozen=True)
class Stage:
    """A finished stage: its T, the network (plain LIF neurons, evaluation mode), and the epochs of its training."""

    steps: int
    network: Network
    history: list[Epoch]


def spiking_twin(
    ann: nn.Module, calibration: Any, *, dropout: float = 0.0, surrogate: Surrogate | None = None
) -> Network:
    """A network with the ANN's weights (batch normalisations folded in) and a `NormalisedLIF` for every ReLU, to be trained.

    ann          anything `convert` can read, whose ReLUs have no ceiling; never changed
    calibration  a few of its inputs (N, *shape)
    Thresholds are 1 until `initialise_thresholds`. ConversionError as `convert`, and where the output is no linear layer or a
    normalisation cannot be folded.
    """
    data = Calibration(calibration, next(ann.parameters(), torch.empty(0)).device)
    draft = FoldBatchNorm()(capture(ann, data.first, data))
    nodes, edges = dict[str, nn.Module](), list[Edge]()
    after: dict[str, str] = {INPUT: INPUT}
    for node in draft.nodes:
        edges += [Edge(after[source], node.name) for source in node.sources]
        nodes[node.name], after[node.name] = _spiking(node.module, node.path, surrogate), node.name
        if dropout and _is_followed_by_weights(draft, node.name):
            nodes[f"{node.name}_dropout"], after[node.name] = nn.Dropout(dropout), f"{node.name}_dropout"
            edges.append(Edge(node.name, after[node.name]))
    if not isinstance(nodes[draft.output], nn.Linear):
        rule = "a linear layer, which accumulates"
        raise ConversionError(must("ann's output", rule, type(nodes[draft.output]).__name__))
    return Network(nodes, edges, output=draft.output, input_shape=draft.input_shape, readout=Sum())


def _spiking(module: nn.Module, path: str, surrogate: Surrogate | None) -> nn.Module:
    if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
        rule = "a normalisation right behind a convolution or linear layer"
        raise ConversionError(must(f"ann.{path}", rule, "one that cannot be folded", "normalise after weights"))
    if isinstance(module, SPIKING):
        if not isinstance(module, nn.ReLU):
            raise ConversionError(must(f"ann.{path}", "a ReLU without a ceiling", type(module).__name__))
        slope = surrogate or Triangular()
        return NormalisedLIF(learn=("leak", "threshold"), detach_reset=True, surrogate=slope)
    return copy.deepcopy(module).requires_grad_(True)


def _is_followed_by_weights(draft: Draft, name: str) -> bool:
    """Whether a neuron's readers are layers with weights, not pools."""
    users = draft.users(name)
    return isinstance(draft.node(name).module, nn.ReLU) and bool(users) and not any(
        isinstance(user.module, POOLS) for user in users
    )  # fmt: skip


@torch.no_grad()
def initialise_thresholds(
    network: Network, x: Tensor, *, steps: int = 100, percentile: float = 90.0
) -> dict[str, float]:
    """Set every `NormalisedLIF`'s threshold, layer by layer through the network as it spikes so far; -> what was set.

        V_l = max over t of the k-th smallest of W_l o_{l-1}(t),   k = 1 + round(percentile (n - 1) / 100)

    n values at a step: all samples x (B, *shape) and neurons. A layer for which that is not above 0 gets 0.1.
    """
    network.eval()
    found = {}
    for name in network.order:
        neuron = network.node(name)
        if isinstance(neuron, NormalisedLIF):
            found[name] = _largest_percentile(_drive_of(network, name), x, steps, percentile)
            neuron.threshold.fill_(found[name])
    return found


def _drive_of(network: Network, name: str) -> Network:
    """The part of a network that the drive of a node comes from."""
    wanted, before = {name}, [e for e in network.edges if e.target == name]
    for node in reversed(network.order):
        if node in wanted:
            wanted.update(e.source for e in network.edges if e.target == node)
    kept = {n: network.node(n) for n in network.order if n in wanted and n != name}
    edges = [e for e in network.edges if e.target in kept]
    edges += [replace(e, target="drive") for e in before]
    return Network({**kept, "drive": nn.Identity()}, edges, output="drive", input_shape=network.input_shape).eval()


def _largest_percentile(part: Network, x: Tensor, steps: int, percentile: float) -> float:
    largest, state, done = 0.0, None, 0
    while done < steps:
        piece = min(PIECE, steps - done)
        drive, state, _ = part(x.expand(piece, *x.shape), state)
        flat = drive.flatten(1)
        k = 1 + round(percentile / 100 * (flat.shape[1] - 1))
        largest = max(largest, float(flat.kthvalue(k, 1).values.max()))
        done += piece
    return largest or SILENT


@torch.no_grad()
def constrain(network: nn.Module) -> None:
    """Leaks within 0 and 1, thresholds at least 0.001: after every step."""
    for module in network.modules():
        if isinstance(module, NormalisedLIF):
            module.leak.clamp_(0, 1)
            module.threshold.clamp_(min=LEAST)


def plain(network: Network) -> Network:
    """The trained network for everybody else: `LIF` neurons of threshold 1 with a gain, no dropout, evaluation mode."""
    dropped = {n: next(e.source for e in network.edges if e.target == n) for n in network.names if _drops(network, n)}
    nodes: dict[str, nn.Module] = {}
    for name, module in network.nodes.items():
        if name not in dropped:
            nodes[name] = module.as_lif() if isinstance(module, NormalisedLIF) else copy.deepcopy(module)
    edges = [replace(e, source=dropped.get(e.source, e.source)) for e in network.edges if e.target not in dropped]
    made = Network(
        nodes, edges, output=network.output, input_shape=network.input_shape, readout=network.readout, dt=network.dt
    )
    return made.eval().requires_grad_(False)


def _drops(network: Network, name: str) -> bool:
    return isinstance(network.node(name), nn.Dropout)


def retrain(
    ann: nn.Module, batches: Batches, schedule: Schedule, x: Tensor, *, seeds: Seeds, validation: Batches | None = None,
    folder: Path | None = None, watch: Callable[[int, Epoch], None] | None = None, watch_steps: WatchSteps | None = None,
) -> Iterator[Stage]:  # fmt: skip
    """All stages of the schedule, one after the other, each yielded when it is done.

    ann       trained; never changed          batches   x (B, *shape) and labels
    x         inputs (N, *shape) that the first thresholds are measured on, the first `schedule.samples` of them
    folder    where every stage keeps a checkpoint: a run that was stopped goes on in the middle of a stage
    """
    network = spiking_twin(ann, x, dropout=schedule.dropout)
    first = _checkpoint(folder, schedule.stages[0])
    if first is None or not first.exists():
        initialise_thresholds(network, x[: schedule.samples], steps=schedule.steps, percentile=schedule.percentile)
    for steps, training in zip(schedule.stages, schedule.trainings):
        told: Watch | None = None if watch is None else (lambda epoch, steps=steps: watch(steps, epoch))  # type: ignore[misc]
        history = fit(
            network, batches, MembraneCrossEntropy(schedule.smoothing, steps), training,
            seeds=seeds.child("stage", steps), validation=validation, checkpoint=_checkpoint(folder, steps), watch=told,
            watch_steps=watch_steps, constrain=constrain,
        )  # fmt: skip
        yield Stage(steps, plain(network), list(history))


def _checkpoint(folder: Path | None, steps: int) -> Path | None:
    return None if folder is None else folder / f"stage-{steps}.safetensors"
