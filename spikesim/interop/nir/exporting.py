"""A Network as a NIR graph."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from ...core.params import number
from ...errors import ConversionError, ParameterError, must
from ...graph import INPUT, Edge
from ...layers import Reshape
from ...network import Network
from ...neurons import BySubtraction, CuBaLIF, Integrator, NoReset
from ...neurons._leaky import LeakyNeuron
from ...units import quantity
from .base import Unsaid, package
from .blocks import exported
from .layers import Parts, Shape, line_out
from .routes import on_a_cycle, without

_PASSING = (nn.Identity, nn.Dropout, nn.Dropout2d)
_END = "\0"
"""What the output's edge leads to, until the graph's Output has a name."""


class ForeignReading(UserWarning):
    """What other readers of an exported graph would do differently; one warning per kind."""


class _Plan(NamedTuple):
    """What is exported: shapes by node, convolutions over maps one high, nodes left out, edges without those."""

    shapes: Mapping[str, Shape]
    lines: Mapping[str, tuple[str, str]]
    passing: frozenset[str]
    edges: list[Edge]


def to_nir(network: Network, *, dt: float | str | None = None, input_shape: Sequence[int] | None = None) -> Any:
    """The network as a `nir.NIRGraph`, which `from_nir` makes the same spikes of.

    dt           seconds per step, or text ("1 ms"); None: the network's own. A network that leaks needs one; where
                 nothing leaks (a converted one), None stands for time in steps, with r = 1 as other writers have it
    input_shape  (*shape) of one sample at one step; None: the network's own

    Raises ConversionError, which names the nodes that NIR cannot say, before anything is made, and ParameterError
    where dt or the input shape is missing. Warns (`ForeignReading`) of what other readers would do differently.
    """
    graph, remarks = exported_with_remarks(network, dt, input_shape)
    warn_of(remarks, 3)
    return graph


def warn_of(remarks: Iterable[str], level: int) -> None:
    """One `ForeignReading` each, as if from `level` calls up."""
    for text in remarks:
        warnings.warn(text, ForeignReading, stacklevel=level)


def exported_with_remarks(
    network: Network, dt: float | str | None, input_shape: Sequence[int] | None
) -> tuple[Any, list[str]]:
    """The graph, and what other readers would do differently; see `to_nir`."""
    shape = network.input_shape if input_shape is None else tuple(input_shape)
    if shape is None:
        raise ParameterError(must("to_nir.input_shape", "given where the network has none", None))
    seconds, nir = _seconds(network, dt), package()
    step, plan = seconds or 1.0, _plan(network, shape)
    parts = _parts(network, plan, step)
    late = [e for e in plan.edges if e.delay == 1 and on_a_cycle(plan.edges, e)]
    bare = [replace(e, delay=0) if e in late else e for e in plan.edges]
    nodes, links, names = _linked(parts, bare, plan, step)
    nodes[INPUT] = nir.Input(input_type=np.array(shape))
    nodes[names[_END]] = nir.Output(output_type=np.array(plan.shapes[network.output]))
    delays = [[names[e.source], e.target] for e in late]
    graph = nir.NIRGraph(nodes, links, metadata=_about(network, seconds, delays), type_check=False)
    return graph, list(_remarks(network, graph, delays))


def _seconds(network: Network, dt: float | str | None) -> float | None:
    """Seconds per step; None where time is counted in steps."""
    given = network.dt if dt is None else quantity(dt, "s", field="to_nir.dt")
    if given is not None:
        number("to_nir.dt", given, above=0, unit="s")
        return given
    for name, module in network.nodes.items():
        if isinstance(module, CuBaLIF) or (
            isinstance(module, (LeakyNeuron, Integrator)) and bool((module.leak != 1).any())
        ):
            rule = "given where a neuron leaks and the network has no dt"
            raise ParameterError(must("to_nir.dt", rule, f"None, and {name} leaks", 'like dt="1 ms"'))
    return None


def _plan(network: Network, shape: Shape) -> _Plan:
    shapes = {INPUT: shape, **network.shapes(torch.zeros(1, 1, *shape))}
    lines = dict(_lines(network, shapes))
    shapes |= {name: shapes[after] for name, (_, after) in lines.items()}
    around = {name for pair in lines.values() for name in pair}
    passing = frozenset(n for n in network.names if isinstance(network.node(n), _PASSING) or n in around)
    return _Plan(shapes, lines, passing, without([*network.edges, Edge(network.output, _END)], sorted(passing)))


def _lines(network: Network, shapes: Mapping[str, Shape]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Convolutions over maps one high between two reshapes, (name, (before, after)): what NIR calls Conv1d."""
    edges = network.edges
    for name, module in network.nodes.items():
        into, out = [e for e in edges if e.target == name], [e for e in edges if e.source == name]
        if not isinstance(module, nn.Conv2d) or len(into) != 1 or len(out) != 1 or into[0].delay or out[0].delay:
            continue
        before, after = into[0].source, out[0].target
        if before == INPUT or name == network.output or before == network.output:
            continue
        both = all(isinstance(network.node(n), Reshape) for n in (before, after))
        alone = [sum(e.source == before for e in edges), sum(e.target == after for e in edges)] == [1, 1]
        source = next(e.source for e in edges if e.target == before)
        flat = len(shapes[source]) == 2 and len(shapes[after]) == 2
        if both and alone and flat and shapes[before][1] == shapes[name][1] == module.kernel_size[0] == 1:
            yield name, (before, after)


def _parts(network: Network, plan: _Plan, dt: float) -> dict[str, Parts]:
    """NIR nodes by node of ours; ConversionError names all that have none."""
    parts: dict[str, Parts] = {}
    unsaid: dict[tuple[str, str], list[str]] = {}
    for name in network.order:
        module, sources = network.node(name), [e.source for e in network.edges if e.target == name]
        if name in plan.passing:
            continue
        try:
            if "/" in name:
                raise Unsaid("a / in its name")
            if name in plan.lines:
                parts[name] = line_out(network.node(name), plan.shapes[sources[0]][2])  # type: ignore[arg-type]
            else:
                parts[name] = exported(module, plan.shapes[sources[0]], plan.shapes[name], dt)
        except Unsaid as reason:
            unsaid.setdefault((type(module).__name__, str(reason)), []).append(name)
    if unsaid:
        told = "; ".join(f"{kind} at {', '.join(names)}: {reason}" for (kind, reason), names in unsaid.items())
        remedy = "convert with recipe='binary', whose spikes NIR knows, or replace them"
        raise ConversionError(f"to_nir.network must be made of what NIR can say, got {told}; {remedy}")
    return parts


def _linked(
    parts: Mapping[str, Parts], edges: Sequence[Edge], plan: _Plan, dt: float
) -> tuple[dict[str, Any], list[tuple[str, str]], dict[str, str]]:
    """(nodes, edges, name of ours -> the last of its nodes), with a Delay for every edge that has one."""
    nodes: dict[str, Any] = {}
    links: list[tuple[str, str]] = []
    last = {INPUT: INPUT}
    for name, row in parts.items():
        chain = [name, *(f"{name}{suffix}" for suffix, _ in row[1:])]
        nodes |= dict(zip(chain, (node for _, node in row)))
        links += pairwise(chain)
        last[name] = chain[-1]
    last[_END] = next(n for n in ("output", *(f"output_{i}" for i in range(len(nodes) + 1))) if n not in nodes)
    for edge in edges:
        source, target = last[edge.source], last[_END] if edge.target == _END else edge.target
        if edge.delay:
            through = f"{source}_delay_{edge.delay}"
            if through not in nodes:
                nodes[through] = package().Delay(np.full(plan.shapes[edge.source], edge.delay * dt, np.float32))
                links.append((source, through))
            source = through
        links.append((source, target))
    return nodes, links, last


def _about(network: Network, seconds: float | None, delays: list[list[str]]) -> dict[str, Any]:
    """Metadata of the graph."""
    readout = {**asdict(network.readout), "kind": network.readout.kind}  # type: ignore[call-overload]
    about = {
        "dt": seconds or 1.0, "dt_unit": "steps" if seconds is None else "s", "readout": json.dumps(readout),
        "delays": json.dumps(delays),
    }  # fmt: skip
    if network.conversion is not None:
        about["conversion"] = json.dumps(asdict(network.conversion))
    return about


def _remarks(network: Network, graph: Any, delays: list[list[str]]) -> Iterator[str]:
    """What other readers would do differently, a line per kind."""
    neurons = {name: m for name, m in network.nodes.items() if isinstance(m, LeakyNeuron)}
    subtracting = [n for n, m in neurons.items() if isinstance(m.reset, BySubtraction)]
    if subtracting:
        yield _said(
            subtracting, "reset by subtraction, which is metadata: most readers reset to v_reset (Sinabs subtracts)"
        )
    unreset = [
        n for n, m in neurons.items() if isinstance(m.reset, NoReset) and type(graph.nodes[n]).__name__ != "Threshold"
    ]
    if unreset:
        yield _said(unreset, "never reset, which is metadata: readers reset to v_reset")
    late = [n for n, m in neurons.items() if m.reset.delayed]
    if late:
        yield _said(late, "reset one step late, which is metadata: readers reset at once")
    raised = [n for n, m in neurons.items() if bool((m.initial != 0).any())]
    if raised:
        yield _said(raised, "start at v_init, which is metadata: readers start at 0 or v_leak")
    kinds = {type(node).__name__ for node in graph.nodes.values()}
    if any(type(node).__name__ == "IF" and (node.r != 1).any() for node in graph.nodes.values()):
        yield "IF has r other than 1, as dv/dt = r I asks for: Norse and Sinabs take r as 1, snnTorch refuses it"
    if "AvgPool2d" in kinds:
        yield "AvgPool2d is unknown to Norse and Sinabs: SumPool2d, with 1/k^2 in the next weights, is read by more"
    if delays:
        yield f"{len(delays)} recurrent edges act one step later, which is metadata: readers choose themselves where a cycle waits"
    conversion = network.conversion
    if conversion is not None and conversion.steps is None and conversion.entry_neurons:
        yield "thresholds are for an input shown at every step: for event data in T bins, export network.bound(T)"
    refusal = _type_check(graph)
    if refusal:
        yield f"the nir package's own type check refuses the graph ({refusal}): others read it with type_check=False"


def _said(names: list[str], what: str) -> str:
    more = "" if len(names) == 1 else f" and {len(names) - 1} more"
    return f"{names[0]}{more}: {what}"


def _type_check(graph: Any) -> str:
    """What the nir package's type check finds, or nothing."""
    try:
        package().NIRGraph.from_dict({**graph.to_dict(), "type_check": True})
    except (ValueError, NotImplementedError, AssertionError, TypeError, KeyError) as error:
        return " ".join(str(error).split())[:100]
    return ""
