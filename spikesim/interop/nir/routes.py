"""Edges of a graph, rewired: nodes that pass values on taken out, cycles given the step they need."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from ...errors import GraphError, must
from ...graph import INPUT, Edge


def without(edges: Iterable[Edge], passing: Iterable[str]) -> list[Edge]:
    """The edges with the `passing` nodes taken out: each way through one becomes an edge, delays added up."""
    left = list(edges)
    for name in passing:
        into, out = [e for e in left if e.target == name], [e for e in left if e.source == name]
        if any(e.source == name for e in into):
            raise GraphError(must(f"nir.{name}", "no loop of its own", "an edge from it to itself", "remove it"))
        left = [e for e in left if name not in (e.source, e.target)]
        left += [Edge(a.source, b.target, a.delay + b.delay) for a in into for b in out]
    return left


def without_cycles(edges: Iterable[Edge], sending: Collection[str], start: str = INPUT) -> list[Edge]:
    """The edges with a delay of one step in every cycle that has none.

    It goes on the edge out of the first of the `sending` (spiking) nodes that the cycle meets, seen from the input:
    what a neuron sends round comes a step later, and the weights on the way round work at every step.
    """
    left = list(edges)
    while cycle := _cycle(left, start):
        late = next((edge for edge in cycle if edge.source in sending), cycle[-1])
        left[left.index(late)] = replace(late, delay=1)
    return left


def _cycle(edges: list[Edge], start: str) -> list[Edge]:
    """The first cycle without delay that a search in depth from `start` closes, from the node where it is entered."""
    out: dict[str, list[Edge]] = {start: []}
    for edge in edges:
        if not edge.delay:
            out.setdefault(edge.source, []).append(edge)
    done: set[str] = set()
    for root in out:
        path: list[Edge] = []
        stack, on_path = [(root, iter(out[root]))], {root}
        while stack:
            name, rest = stack[-1]
            onward = next((e for e in rest if e.target not in done), None)
            if onward is None:
                done.add(name)
                on_path.discard(name)
                stack.pop()
                path = path[:-1]
            elif onward.target in on_path:
                at = next((i for i, e in enumerate(path) if e.source == onward.target), len(path))
                return [*path[at:], onward]
            else:
                path.append(onward)
                on_path.add(onward.target)
                stack.append((onward.target, iter(out.get(onward.target, ()))))
    return []


def on_a_cycle(edges: Iterable[Edge], edge: Edge) -> bool:
    """Whether a way leads from the edge's target back to its source."""
    out: dict[str, set[str]] = {}
    for e in edges:
        out.setdefault(e.source, set()).add(e.target)
    seen, waiting = {edge.target}, [edge.target]
    while waiting:
        fresh = out.get(waiting.pop(), set()) - seen
        seen |= fresh
        waiting += fresh
    return edge.source in seen
