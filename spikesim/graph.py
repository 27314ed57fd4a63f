"""The graph of a network: edges, their checks, and the order of execution."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .errors import GraphError, must, nearest

INPUT = "input"
"""The name edges use for the network's input."""


@dataclass(frozen=True)
class Edge:
    """source -> target; `delay` in steps (0: in the same step)."""

    source: str
    target: str
    delay: int = 0


@dataclass(frozen=True)
class Plan:
    """Order of execution and the longest chunk that cycles allow.

    sources  edges into each node        readers  how many edges without delay leave a node, or the input
    kept     whose values are wanted after a chunk: the output's, and what delayed edges carry
    """

    order: tuple[str, ...]
    sources: Mapping[str, tuple[Edge, ...]]
    readers: Mapping[str, int]
    kept: frozenset[str]
    longest: int | None = None


class GraphBuilder:
    """Nodes and edges so far, while a network is put together."""

    def __init__(self) -> None:
        self.nodes: dict[str, nn.Module] = {}
        self.edges: list[Edge] = []

    def add(self, name: str, module: nn.Module, *sources: str) -> str:
        """A node fed by these (several add up, or join), its name."""
        self.nodes[name] = module
        self.edges += [Edge(source, name) for source in sources]
        return name


def nest(root: nn.Module, path: str, module: nn.Module) -> None:
    """Register `module` under its dotted path, with plain containers on the way."""
    *parents, leaf = path.split(".")
    at = root
    for part in parents:
        child = at._modules.get(part)
        if child is None:
            child = nn.Module()
            at._modules[part] = child
        at = child
    if leaf in at._modules:
        raise GraphError(must(f"Network.{path}", "a free name", "one that is taken", "rename the node"))
    at._modules[leaf] = module  # not add_module: a user's layer may be called "output" or "readout"


def delay_line(edge: Edge, fresh: Tensor, delayed: Mapping[Edge, Tensor]) -> Tensor:
    """The delay line of an edge: the last `delay` values (zeros before the first step), then the fresh ones (T, B, *shape)."""
    past = delayed.get(edge)
    past = fresh.new_zeros((edge.delay, *fresh.shape[1:])) if past is None else past
    return torch.cat([past, fresh])


def joins(module: nn.Module) -> bool:
    """Whether a node takes the values of its edges one by one; the others take their sum."""
    return bool(getattr(module, "joins", False))


def planned(names: tuple[str, ...], edges: tuple[Edge, ...], output: str) -> Plan:
    """Topological order over the edges without delay; a cycle without delay is refused."""
    known = {INPUT, *names}
    if len(names) + 1 != len(known):
        raise GraphError(must("Network.nodes", 'named once each and not "input"', ", ".join(names)))
    for edge in edges:
        for end in (edge.source, edge.target):
            if end not in known or edge.target == INPUT:
                raise GraphError(must("Network.edges", "between its nodes", f"{edge}", nearest(end, known)))
    if output not in names:
        raise GraphError(must("Network.output", "a node", output, nearest(output, names)))
    sources = {name: tuple(e for e in edges if e.target == name) for name in names}
    for name in names:
        if not sources[name]:
            raise GraphError(must(f"Network.{name}", "reached by an edge", "no edge", "connect or remove it"))
    direct = {n: [e.source for e in sources[n] if not e.delay and e.source != INPUT] for n in names}
    try:
        order = tuple(TopologicalSorter(direct).static_order())
    except CycleError as error:
        cycle = " -> ".join(error.args[1])
        raise GraphError(
            must("Network.edges", "without a cycle that has no delay", cycle, "give one edge delay=1")
        ) from None
    place = {name: i for i, name in enumerate((INPUT, *order))}
    back = [e.delay for e in edges if e.delay and place[e.source] >= place[e.target]]
    readers = Counter({name: 0 for name in known})
    readers.update(e.source for e in edges if not e.delay)
    kept = frozenset([output, *(e.source for e in edges if e.delay)])
    return Plan(order, sources, readers, kept, min(back) if back else None)


class Row(NamedTuple):
    """Nodes one after the other, the last of them the output.

    order  their names, without those that loops run through
    loops  node that is fed back -> the delayed edge out of it, whose target feeds it at once
    """

    order: tuple[str, ...]
    loops: dict[str, Edge]


def in_a_row(plan: Plan, output: str) -> Row | None:
    """The nodes as a row where each has the one before as its only source, but for loops over one node; else None."""
    edges = [e for name in plan.order for e in plan.sources[name]]
    loops: dict[str, Edge] = {}
    for name in plan.order:
        before, after = plan.sources[name], [e for e in edges if e.source == name]
        if len(before) == 1 and before[0].delay and [(e.target, e.delay) for e in after] == [(before[0].source, 0)]:
            loops[before[0].source] = before[0]
    around = {edge.target for edge in loops.values()}
    order = tuple(name for name in plan.order if name not in around)
    last = INPUT
    for name in order:
        if [(e.source, e.delay) for e in plan.sources[name] if e.source not in around] != [(last, 0)]:
            return None
        last = name
    fed = sum(len(plan.sources[name]) > 1 for name in order)
    return Row(order, loops) if last == output and fed == len(loops) else None
