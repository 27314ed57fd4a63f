"""From a network to a chain of stages, where it is one: linear node, neurons, pool, linear node, neurons, ...

Anything else (residual adds, norms, signed neurons, crossbars) runs node by node in `network.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..core.raster import SparseRaster
from ..graph import Edge, Row
from ..layers import SparseLinear, SumPool2d
from ..neurons._leaky import LeakyNeuron
from .base import Stage
from .convolution import ConvolutionStage, paddings
from .dense import DenseStage
from .packed import Bits
from .recurrent import RecurrentStage
from .sparse import SparseStage

EVENTS = ".events"
"""Ending of a recording's name that asks for a SparseRaster."""


class SumStage:
    """A summing or averaging pool: every event moves to its window, worth `value`; there is no state."""

    def __init__(self, name: str, in_shape: tuple[int, ...], side: int, value: float) -> None:
        channels, high, wide = in_shape[0], in_shape[1] // side, in_shape[2] // side
        c, y, x = np.indices(in_shape)
        inside = (y < high * side) & (x < wide * side)
        self.name, self.in_shape, self.value = name, in_shape, np.float32(value)
        self.out_shape = (channels, high, wide)
        self.table = np.where(inside, (c * high + y // side) * wide + x // side, -1).ravel().astype(np.int32)
        self.drops, self.side = not inside.all(), side

    def run(
        self, x: SparseRaster | Tensor, states: Mapping[Any, Any], *, always: bool
    ) -> tuple[SparseRaster | Tensor, dict[Any, Any]]:
        """The events relabelled."""
        if isinstance(x, Tensor):
            summed = nn.functional.avg_pool2d(x.flatten(0, 1), self.side, divisor_override=1)
            return (summed * float(self.value)).unflatten(0, x.shape[:2]), {}
        ptr, idx, val = x.ptr, self.table[x.idx], x.val
        if self.drops:
            kept = idx >= 0
            ptr = np.concatenate([[0], np.cumsum(kept)])[ptr]
            idx, val = idx[kept], None if val is None else val[kept]
        if self.value != 1:
            val = np.full(idx.size, self.value) if val is None else val * self.value
        return SparseRaster.trusted(ptr, idx, val, x.steps, self.out_shape), {}


class Program:
    """A chain of stages that takes events and gives the spikes of its last one.

    outputs   node names whose spikes leave a stage        modules   of all stages
    narrow    whether there is a stage that can keep its weights in fewer bits
    """

    def __init__(self, stages: list[Stage | SumStage]) -> None:
        self.stages = stages
        spiking = [stage for stage in stages if isinstance(stage, Stage)]
        self.outputs = frozenset(stage.out_name for stage in spiking)
        self.modules = [module for stage in spiking for module in stage.modules]
        self.narrow = any(type(stage) is DenseStage for stage in spiking)
        self.largest = max(max(prod(s.in_shape), prod(s.neuron_shape)) for s in spiking)

    def can_record(self, names: Collection[str]) -> bool:
        """Whether all of these are spikes that leave a stage."""
        return {name.removesuffix(EVENTS) for name in names} <= self.outputs

    def run(
        self, x: Tensor | SparseRaster, states: Mapping[Any, Any], *, always: bool, keep: Collection[str],
        budget_mb: float,
    ) -> tuple[Tensor | Bits, dict[Any, Any], dict[str, Any]]:  # fmt: skip
        """(T, B, *shape) -> output of the last stage, {neuron node: its state, delayed edge: `Past`}, {kept node: its spikes}.

        Samples go through in parts whose largest activation, were it dense, would take 64 times `budget_mb`: bits and lists
        take less.
        """
        steps, batch = (x.steps, x.batch) if isinstance(x, SparseRaster) else x.shape[:2]
        part = max(1, int(budget_mb * 2**24 / (steps * self.largest)))
        if part >= batch:
            return self._run(x, states, always, keep)
        done = []
        for at in range(0, batch, part):
            end = min(batch, at + part)
            here = x.samples(at, end) if isinstance(x, SparseRaster) else x[:, at:end]
            mine = {name: type(state)(*(p[at:end] for p in state)) for name, state in states.items()}
            done.append(self._run(here, mine, always, keep))
        outputs, after, kept = zip(*done)
        joined = {name: type(after[0][name])(*map(torch.cat, zip(*(a[name] for a in after)))) for name in after[0]}
        recorded = {name: _side_by_side([k[name] for k in kept]) for name in kept[0]}
        return torch.cat([as_tensor(output) for output in outputs], 1), joined, recorded

    def _run(
        self, x: Tensor | SparseRaster | Bits, states: Mapping[Any, Any], always: bool, keep: Collection[str]
    ) -> tuple[Tensor | Bits, dict[Any, Any], dict[str, Any]]:
        after: dict[Any, Any] = dict(states)
        kept: dict[str, Any] = {}
        for stage in self.stages:
            given = x.lists() if isinstance(x, Bits) else x
            if isinstance(given, Tensor):
                given = given.reshape(*given.shape[:2], *stage.in_shape)
            x, changed = stage.run(given, states, always=always)
            after |= changed
            if isinstance(stage, Stage):
                if stage.out_name in keep:
                    kept[stage.out_name] = as_tensor(x)
                if stage.out_name + EVENTS in keep:
                    kept[stage.out_name + EVENTS] = (
                        x.lists() if isinstance(x, Bits) else SparseRaster.from_dense(as_tensor(x))
                    )
        return x if isinstance(x, Bits) else as_tensor(x), after, kept


def _side_by_side(parts: list[Any]) -> Any:
    """Batches one beside the other."""
    if isinstance(parts[0], Tensor):
        return torch.cat(parts, 1)
    starts = np.cumsum([0, *(part.idx.size for part in parts)])
    ptr = np.concatenate([[0], *(part.ptr[1:] + start for part, start in zip(parts, starts))])
    idx = np.concatenate([part.idx for part in parts])
    graded = any(part.val is not None for part in parts)
    val = np.concatenate([np.ones(p.idx.size, np.float32) if p.val is None else p.val for p in parts])
    return SparseRaster.trusted(ptr, idx, val if graded else None, parts[0].steps, parts[0].shape)


def as_tensor(x: Tensor | SparseRaster | Bits) -> Tensor:
    """(T, B, *shape) float32."""
    return x if isinstance(x, Tensor) else x.dense()


def compiled(
    nodes: Mapping[str, nn.Module], row: Row, shape: tuple[int, ...], rows: torch.dtype = torch.float32
) -> Program | None:
    """The program of nodes in a row for inputs of `shape`, or None where a node has no place in a stage.

    rows  what fully connected stages keep their weights in
    """
    stages: list[Stage | SumStage] = []
    names, at = list(row.order), tuple(shape)
    while names:
        name = names.pop(0)
        module = nodes[name]
        if isinstance(module, nn.Flatten) and module.start_dim == 1 and module.end_dim == -1:
            at = (prod(at),)
            continue
        side = _window(module, (SumPool2d, nn.AvgPool2d)) if len(at) == 3 else 0
        if side:
            stages.append(SumStage(name, at, side, 1.0 if isinstance(module, SumPool2d) else 1 / side**2))
        elif names and _plain(nodes[names[0]]) and _linear(module, at):
            stages.append(_stage(nodes, name, names, at, row.loops, rows))
        else:
            return None
        at = stages[-1].out_shape
    if sum(getattr(stage, "loop", None) is not None for stage in stages) != len(row.loops):
        return None
    return Program(stages) if stages and isinstance(stages[-1], Stage) else None


def _stage(
    nodes: Mapping[str, nn.Module], before: str, names: list[str], at: tuple[int, ...], loops: Mapping[str, Edge],
    rows: torch.dtype,
) -> Stage:  # fmt: skip
    """The stage of a linear node and the neurons at the head of `names`; takes them, and a max pool after them."""
    name, module = names.pop(0), nodes[before]
    neuron: Any = nodes[name]
    if isinstance(module, SparseLinear):
        around = nodes[loops[name].target] if name in loops else None
        if around is None or isinstance(around, SparseLinear):
            return SparseStage(name, module, neuron, at, before, around, loops.get(name))
    if isinstance(module, nn.Linear) and name in loops and type(nodes[loops[name].target]) is nn.Linear:
        return RecurrentStage(name, module, neuron, at, nodes[loops[name].target], loops[name])
    if isinstance(module, nn.Linear):
        return DenseStage(name, module, neuron, at, rows)
    assert isinstance(module, nn.Conv2d)
    pool = _window(nodes[names[0]], (nn.MaxPool2d,)) if names else 0
    stage = ConvolutionStage(name, module, neuron, at, (module.out_channels, *_reach(module, at)), pool or 1)
    if pool:
        stage.out_name = names.pop(0)
    return stage


def _plain(module: nn.Module) -> bool:
    """Whether a node is neurons of the plain equation."""
    return isinstance(module, LeakyNeuron) and module.plain


def _linear(module: nn.Module, at: tuple[int, ...]) -> bool:
    """Whether a node is a linear one that has a kernel, for inputs of shape `at`."""
    if isinstance(module, SparseLinear) or type(module) is nn.Linear:
        return at == (module.in_features,)
    if type(module) is not nn.Conv2d or len(at) != 3 or at[0] != module.in_channels:
        return False
    return module.padding_mode == "zeros" and min(_reach(module, at)) > 0


def _reach(module: nn.Conv2d, at: tuple[int, ...]) -> tuple[int, int]:
    """Output rows and columns of a convolution."""
    before = paddings(module)
    after = [d * (k - 1) - p for d, k, p in zip(module.dilation, module.kernel_size, before)]
    pads = [2 * p if module.padding != "same" else p + q for p, q in zip(before, after)]
    sizes = [
        (n + pad - d * (k - 1) - 1) // s + 1
        for n, pad, d, k, s in zip(at[1:], pads, module.dilation, module.kernel_size, module.stride)
    ]
    return sizes[0], sizes[1]


def _window(module: nn.Module, kinds: tuple[type, ...]) -> int:
    """The side of a pool of one of these kinds with square windows side by side, 0 for anything else."""
    if type(module) not in kinds:
        return 0
    m: Any = module
    sides = {*_pair(m.kernel_size), *_pair(m.kernel_size if m.stride is None else m.stride)}
    odd = _pair(getattr(m, "padding", 0)) != (0, 0) or _pair(getattr(m, "dilation", 1)) != (1, 1)
    divided = getattr(m, "divisor_override", None)
    return sides.pop() if len(sides) == 1 and not odd and not getattr(m, "ceil_mode", False) and not divided else 0


def _pair(n: Any) -> tuple[int, int]:
    return (n, n) if isinstance(n, int) else tuple(n)
