"""A NIR graph as a Network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
from torch import nn

from ...core.params import number
from ...errors import GraphError, ParameterError, SpikesimError, must, nearest
from ...graph import INPUT, Edge
from ...layers import SparseLinear
from ...network import Conversion, Network
from ...readout import Readout, Sum, readout_of
from ...units import quantity
from .base import KINDS, Loss, loss_of
from .blocks import restored
from .layers import IN, Parts, Shape, shape_after
from .neurons import RESETS, Reading, neuron_in
from .routes import without, without_cycles

DEEPEST, LARGEST = 32, 2**28
"""Subgraphs within subgraphs, and values of one sample at one step, that are still believed."""

_SPIKING = ("IF", "LIF", "CubaLIF", "Threshold")
_TIMED = ("LI", "LIF", "CubaLI", "CubaLIF", "Delay")
_STATEFUL = ("I", "LI", "IF", "LIF", "CubaLI", "CubaLIF", "Threshold")


def from_nir(
    graph: Any, *, dt: float | str | None = None, integration: str = "euler", reset: str | None = None
) -> Network:
    """The graph as a Network, read out by the sum of its output unless the graph says how.

    dt           seconds per step, or text ("0.1 ms"); None: what the graph's metadata say. A graph without time
                 constants and with r = 1 (as Sinabs writes) needs none: its time is in steps
    integration  "euler": v += dt/tau (v_leak - v + r x), as Norse, snnTorch and Spyx; "exponential": exact between
                 spikes for a drive that is constant within a step
    reset        of all neurons: "value" (to v_reset, as the format has it), "subtract" (the threshold), "none";
                 None: what a node's metadata say, else "value"

    Nodes that we wrote and nobody changed come back bit for bit. Subgraphs become dotted names; a cycle without a
    delay gets one step, behind its neuron. Raises GraphError, ParameterError in one line.
    """
    if reset is not None and reset not in ("value", *RESETS):
        raise ParameterError(
            must("from_nir.reset", f"one of value, {', '.join(RESETS)}", reset, nearest(reset, RESETS))
        )
    loss = loss_of(integration)
    try:
        return _read(graph, dt, loss, reset)
    except SpikesimError:
        raise
    except (ValueError, TypeError, AttributeError, IndexError, KeyError, RuntimeError, OverflowError) as error:
        got = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise GraphError(must("from_nir.graph", "of sound nodes and metadata", got)) from None


def _read(graph: Any, dt: float | str | None, loss: Loss, reset: str | None) -> Network:
    nodes, edges, (start, end) = _flattened(graph)
    about = graph.metadata if isinstance(graph.metadata, dict) else {}
    seconds, step = _time(nodes, about, dt)
    late = _late(about)
    edges = [replace(e, delay=1) if (e.source, e.target) in late else e for e in edges]
    delays = {n: _steps(n, node, step) for n, node in nodes.items() if type(node).__name__ == "Delay"}
    edges = [replace(e, delay=e.delay + int(delays[e.target].min())) if e.target in delays else e for e in edges]
    ports = [n for n, node in nodes.items() if type(node).__name__ in ("Input", "Output") and n not in (start, end)]
    ports += [n for n, steps in delays.items() if steps.min() == steps.max()]
    edges = without(edges, ports)
    edges = without_cycles(edges, {n for n, node in nodes.items() if type(node).__name__ in _SPIKING}, start)
    left = {n: node for n, node in nodes.items() if n not in ports}
    made = _made(left, edges, start, end, Reading(step, loss, reset))
    return _network(made, edges, start, end, _shape(start, nodes[start]), about, seconds)


def _flattened(graph: Any, prefix: str = "", depth: int = 0) -> tuple[dict[str, Any], list[Edge], tuple[str, str]]:
    """Nodes by dotted name, edges, names of Input and Output; subgraphs taken apart, their ports left as nodes."""
    if depth > DEEPEST:
        raise GraphError(must("from_nir.graph", f"nested at most {DEEPEST} deep", "more"))
    nodes: dict[str, Any] = {}
    ports: dict[str, tuple[str, str]] = {}
    edges: list[Edge] = []
    for name, node in graph.nodes.items():
        path, kind = f"{prefix}{name}", type(node).__name__
        if kind not in KINDS:
            raise GraphError(must(f"from_nir.{path}", f"one of {', '.join(KINDS)}", kind, nearest(kind, KINDS)))
        if not all(path.split(".")) or not isinstance(node.metadata, dict):
            raise GraphError(must("from_nir.nodes", "named without empty parts, with metadata by name", repr(path)))
        if kind == "NIRGraph":
            inner, links, ports[name] = _flattened(node, f"{path}.", depth + 1)
            nodes, edges = {**nodes, **inner}, [*edges, *links]
        else:
            nodes[path], ports[name] = node, (path, path)
    for source, target in graph.edges:
        for point in (source, target):
            if point not in ports:
                raise GraphError(must("from_nir.edges", "between its nodes", f"{point!r}", nearest(point, ports)))
        edges.append(Edge(ports[source][1], ports[target][0]))
    found = [
        [f"{prefix}{n}" for n, m in graph.nodes.items() if type(m).__name__ == kind] for kind in ("Input", "Output")
    ]
    for kind, names in zip(("Input", "Output"), found):
        if len(names) != 1:
            got = f"{len(names)} in {prefix or 'the graph'}"
            raise GraphError(must("from_nir.graph", f"one with one {kind} node", got))
    return nodes, edges, (found[0][0], found[1][0])


def _time(nodes: Mapping[str, Any], about: Mapping[str, Any], dt: float | str | None) -> tuple[float | None, float]:
    """(seconds per step or None where time is in steps, the dt of the equations)."""
    given = about.get("dt") if dt is None else quantity(dt, "s", field="from_nir.dt")
    if given is not None:
        given = float(given)
        number("from_nir.dt", given, above=0, unit="s")
        steps = dt is None and str(about.get("dt_unit")) == "steps"
        return None if steps else given, given
    for name, node in nodes.items():
        kind = type(node).__name__
        if kind in _TIMED or (kind in ("I", "IF") and (np.asarray(node.r) != 1).any()):
            rule = "given, in seconds per step, as NIR states none"
            raise ParameterError(
                must("from_nir.dt", rule, f"None, and {name} ({kind}) asks for it", 'like dt="0.1 ms"')
            )
    return None, 1.0


def _late(about: Mapping[str, Any]) -> set[tuple[str, str]]:
    """Edges that the metadata say act one step later."""
    return {(str(source), str(target)) for source, target in _json(about, "delays", [])}


def _json(about: Mapping[str, Any], key: str, absent: Any) -> Any:
    try:
        return json.loads(str(about[key])) if key in about else absent
    except ValueError as error:
        raise GraphError(must(f"from_nir.metadata.{key}", "JSON", str(error))) from None


def _steps(name: str, node: Any, dt: float) -> np.ndarray:
    """The delays of a node in whole steps."""
    steps = np.atleast_1d(np.asarray(node.delay, np.float64)) / dt
    whole = np.rint(steps)
    if not steps.size or (whole < 0).any() or (np.abs(steps - whole) > 1e-3).any():
        got = f"{steps.min() if steps.size else 0:g} to {steps.max() if steps.size else 0:g} steps"
        raise ParameterError(
            must(f"from_nir.{name}.delay", f"whole steps of dt = {dt:g} s", got, "choose a dt that divides it")
        )
    return whole.astype(np.int64)


def _shape(name: str, node: Any) -> Shape:
    given = node.input_type["input"]
    shape = () if given is None else tuple(int(n) for n in np.ravel(given))
    if not shape or min(shape) < 1 or prod(shape) > LARGEST:
        raise GraphError(must(f"from_nir.{name}.shape", f"(*shape) of at most {LARGEST} values", shape))
    return shape


def _made(
    nodes: Mapping[str, Any], edges: list[Edge], start: str, end: str, reading: Reading
) -> dict[str, list[tuple[str, nn.Module]]]:
    """Our modules by node, [(name, module)], in an order in which each has been reached."""
    shapes, waiting = {start: _shape(start, nodes[start])}, [n for n in nodes if n not in (start, end)]
    sources = {n: [e.source for e in edges if e.target == n] for n in waiting}
    made: dict[str, list[tuple[str, nn.Module]]] = {}
    while waiting:
        name = next((n for n in waiting if any(s in shapes for s in sources[n])), None)
        if name is None:
            raise GraphError(must("from_nir.edges", "a way from the input to every node", f"none to {waiting[0]}"))
        given = {shapes[s] for s in sources[name] if s in shapes}
        if len(given) != 1:
            raise GraphError(must(f"from_nir.{name}", "fed values of one shape", " and ".join(map(str, sorted(given)))))
        shape = given.pop()
        parts = _modules(name, nodes[name], shape, reading)
        try:
            for _, module in parts:
                shape = shape_after(module, shape)
        except (RuntimeError, IndexError) as error:
            got = f"{shape}: {str(error).splitlines()[0]}"
            raise GraphError(must(f"from_nir.{name}", f"fed what {type(nodes[name]).__name__} takes", got)) from None
        shapes[name], made[name] = shape, [(f"{name}{suffix}", module) for suffix, module in parts]
        waiting.remove(name)
    return made


def _modules(name: str, node: Any, shape: Shape, reading: Reading) -> Parts:
    """The modules of one node for values of `shape`."""
    kind = type(node).__name__
    _must_be_finite(name, node)
    if kind == "Delay":
        return _apart(name, node, shape, reading.dt)
    if kind in _STATEFUL:
        own = tuple(int(n) for n in node.input_type["input"])
        if len(own) > len(shape) or any(n not in (1, wanted) for n, wanted in zip(own[::-1], shape[::-1])):
            raise GraphError(must(f"from_nir.{name}", f"of the shape {shape} that it is fed", own))
    again = None if reading.reset and kind in _STATEFUL else restored(name, node, shape, reading.dt)
    if again is not None:
        return [("", again)]
    return neuron_in(name, node, shape, reading) if kind in _STATEFUL else IN[kind](name, node, shape)


def _must_be_finite(name: str, node: Any) -> None:
    for field, value in vars(node).items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not np.isfinite(value).all():
            raise GraphError(must(f"from_nir.{name}.{field}", "finite", "NaN or infinity"))


def _apart(name: str, node: Any, shape: Shape, dt: float) -> Parts:
    """Delays that differ between neurons: what is left of them behind the shortest, which the edges have."""
    steps = _steps(name, node, dt)
    if len(shape) != 1 or steps.shape != shape or steps.max() - steps.min() > 255:
        rule = f"one number, or ({prod(shape)},) within 255 steps of one another"
        raise GraphError(must(f"from_nir.{name}.delay", rule, f"{steps.shape} for {shape}"))
    each = np.arange(shape[0])
    ones = np.ones(shape[0], np.float32)
    return [
        ("", SparseLinear.from_edges(each, each, ones, inputs=shape[0], outputs=shape[0], delay=steps - steps.min()))
    ]


def _network(
    made: Mapping[str, list[tuple[str, nn.Module]]], edges: list[Edge], start: str, end: str, shape: Shape,
    about: Mapping[str, Any], seconds: float | None,
) -> Network:  # fmt: skip
    """The network of these modules."""
    taken = [INPUT, *(name for row in made.values() for name, _ in row)]
    names = {name: f"{INPUT}_node" if name == INPUT else name for name in taken[1:]}
    first = {n: names[row[0][0]] for n, row in made.items()}
    last = {start: INPUT, **{n: names[row[-1][0]] for n, row in made.items()}}
    nodes = {names[name]: module for row in made.values() for name, module in row}
    ours = [Edge(names[a], names[b]) for row in made.values() for (a, _), (b, _) in pairwise(row)]
    ours += [Edge(last[e.source], first[e.target], e.delay) for e in edges if e.target != end]
    ends = [e for e in edges if e.target == end]
    if len(ends) == 1 and not ends[0].delay and ends[0].source != start:
        output = last[ends[0].source]
    else:
        output = next(n for n in ("output", *(f"output_{i}" for i in range(len(taken)))) if n not in taken)
        nodes[output] = nn.Identity()
        ours += [Edge(last[e.source], output, e.delay) for e in ends]
    network = Network(
        nodes, ours, output=output, input_shape=shape, readout=_readout(about), dt=seconds,
        conversion=_conversion(about, nodes),
    )  # fmt: skip
    return network.eval().requires_grad_(False)


def _readout(about: Mapping[str, Any]) -> Readout:
    options = _json(about, "readout", None)
    if options is None:
        return Sum()
    try:
        return readout_of(**options)
    except TypeError as error:
        raise GraphError(must("from_nir.metadata.readout", "a readout of ours", str(error))) from None


def _conversion(about: Mapping[str, Any], nodes: Mapping[str, nn.Module]) -> Conversion | None:
    options = _json(about, "conversion", None)
    if options is None:
        return None
    try:
        settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
        found = Conversion(**settings)
    except (TypeError, AttributeError) as error:
        raise GraphError(must("from_nir.metadata.conversion", "a conversion of ours", str(error))) from None
    lost = {*found.entry_linear, *found.entry_neurons, *found.entry_scales} - set(nodes)
    if lost:
        raise GraphError(must("from_nir.metadata.conversion", "about nodes of the graph", ", ".join(sorted(lost))))
    return found
