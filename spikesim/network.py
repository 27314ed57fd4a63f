"""Network: a graph of named nodes that is a torch module, and the one place where it is executed.

Nodes are torch modules under the user's dotted names, so `state_dict` keys equal the ANN's. Edges act in the same
step unless they carry a delay; several edges into a node add up. Nobody owns state: it comes in and goes out.
Read `engine.py` for `run`, `execution.py` for the ways to run a node.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as dataclass_replace
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .core.ledger import Action, Ledger
from .core.operator import Activity, Context, LinearOperator
from .core.seeds import Seeds
from .errors import GraphError, ShapeError, must, nearest
from .execution import Engine, choose
from .layers import operator_of
from .layers.counting import spike_activity
from .neurons import Neuron
from .readout import Mean, Readout

INPUT = "input"
"""The name edges use for the network's input."""


@dataclass(frozen=True)
class Edge:
    """source -> target; `delay` in steps (0: in the same step)."""

    source: str
    target: str
    delay: int = 0


class NetworkState(NamedTuple):
    """What a network carries between runs: steps done, each stateful node's state, each delayed edge's last values."""

    step: int
    nodes: dict[str, Any]
    delayed: dict[Edge, Tensor]


@dataclass(frozen=True)
class Conversion:
    """What a converted network remembers of its ANN.

    entry_linear, entry_neurons   nodes before and at the first neurons: where the factor T of event data is folded
    steps                         T it is folded for; None: not yet (`Network.bound`)
    recipe                        name of the recipe
    """

    entry_linear: tuple[str, ...] = ()
    entry_neurons: tuple[str, ...] = ()
    steps: int | None = None
    recipe: str = ""


@dataclass(frozen=True)
class _Plan:
    """Order of execution and the longest chunk that cycles allow."""

    order: tuple[str, ...]
    sources: Mapping[str, tuple[Edge, ...]]
    longest: int | None = None


@dataclass
class _Job:
    """One call's context, shared by its chunks."""

    engine: Engine
    ctx: Context
    record: frozenset[str]
    recorded: dict[str, list[Tensor]] = field(default_factory=dict)
    largest: int = 0  # elements of the largest activation of one step, known after the first chunk

    def keep(self, name: str, value: Tensor) -> None:
        if name in self.record:
            self.recorded.setdefault(name, []).append(value)


class Network(nn.Module):
    """A spiking network: named nodes, edges, a readout.

    nodes        name -> module: nn.Linear, nn.Conv2d, pools, norms, neurons, crossbars ...
    edges        Edge(source, target, delay); the input is called "input"
    output       the node that is read out
    input_shape  (*shape) of one sample at one step, checked on every call where given
    readout      output (T, B, ...) -> answer (B, ...)
    dt           seconds per step, for files and plots only; `run` knows no dt
    calibration  a few of the ANN's calibration inputs (n, *shape), kept by conversion for ADC ranges
    """

    def __init__(
        self, nodes: Mapping[str, nn.Module], edges: Iterable[Edge], *, output: str | None = None,
        input_shape: Sequence[int] | None = None, readout: Readout | None = None, dt: float | None = None,
        conversion: Conversion | None = None, calibration: Tensor | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.names, self.edges = tuple(nodes), tuple(edges)
        self.output, self.readout, self.dt = output or self.names[-1], readout or Mean(), dt
        self.input_shape = None if input_shape is None else tuple(int(n) for n in input_shape)
        self.conversion, self.calibration = conversion, calibration
        self._plan = _planned(self.names, self.edges, self.output)
        for name, module in nodes.items():
            _nest(self, name, module)
        self._operators: dict[tuple[str, tuple[int, ...]], LinearOperator | None] = {}

    @classmethod
    def chain(cls, *modules: nn.Module, **options: Any) -> Network:
        """One node after the other, named "0", "1", ...; an `nn.Sequential` is taken apart. Options as `Network`."""
        flat = [m for module in modules for m in (module if isinstance(module, nn.Sequential) else [module])]
        names = [str(i) for i in range(len(flat))]
        return cls(dict(zip(names, flat)), [Edge(a, b) for a, b in zip([INPUT, *names], names)], **options)

    @property
    def nodes(self) -> dict[str, nn.Module]:
        """Name -> module, in the order given."""
        return {name: self.node(name) for name in self.names}

    def node(self, name: str) -> nn.Module:
        """The module at a dotted name (also where that name is an attribute of Network)."""
        module: nn.Module = self
        for part in name.split("."):
            module = module._modules[part]  # type: ignore[assignment]
        return module

    def replaced(self, changes: Mapping[str, nn.Module], **options: Any) -> Network:
        """A network with some nodes exchanged (the others are shared), and options of `Network` changed."""
        for name in changes:
            self._must_know(name, "Network.replaced")
        kept = dict(
            output=self.output, input_shape=self.input_shape, readout=self.readout, dt=self.dt,
            conversion=self.conversion, calibration=self.calibration,
        )  # fmt: skip
        return Network({**self.nodes, **changes}, self.edges, **{**kept, **options}).train(self.training)

    def bound(self, steps: int) -> Network:
        """A converted network for event data of `steps` bins: entry thresholds and biases divided by `steps`.

        The ANN saw the whole recording's counts F; the bins sum to F. With theta/T and b/T up to the first neurons
        the inputs stay whole counts and the time mean of every later layer is the ANN's.
        """
        if self.conversion is None or self.conversion.steps == steps:
            return self
        factor = (self.conversion.steps or 1) / steps
        names = (*self.conversion.entry_linear, *self.conversion.entry_neurons)
        changes = {name: _scaled(self.node(name), factor) for name in names}
        return self.replaced(changes, conversion=dataclass_replace(self.conversion, steps=steps))

    def initial_state(self) -> NetworkState:
        """The state before the first step; node states are made on first use, for the batch that comes."""
        return NetworkState(0, {}, {})

    def forward(
        self, x: Tensor, state: NetworkState | None = None, *, seeds: Seeds | None = None, ledger: Ledger | None = None,
        record: Iterable[str] = (), engine: Engine | None = None, sample_ids: np.ndarray | None = None,
    ) -> tuple[Tensor, NetworkState, dict[str, Tensor]]:  # fmt: skip
        """Run x (T, B, *shape) -> output (T, B, ...), state, {recorded name: (T, B, ...)}.

        record  node names for their outputs, "name.v" for a neuron's membrane after reset
        A run may be cut anywhere in time: pass the state on. The input is never changed.
        """
        self._must_fit(x)
        record = frozenset(record)
        for name in record:
            self._must_know(name.removesuffix(".v"), "run.record")
        state = state or self.initial_state()
        ids = np.arange(x.shape[1]) if sample_ids is None else np.asarray(sample_ids)
        if ids.shape != (x.shape[1],):
            raise ShapeError(must("run.sample_ids", f"({x.shape[1]},), one per batch row", ids.shape))
        job = _Job(engine or choose(x, self.parameters()), Context("", state.step, ids, seeds, ledger), record)
        outputs, at = [], 0
        while at < x.shape[0]:
            until = at + self._chunk(x, job)
            y, state = self._run_chunk(x[at:until], state, job)
            outputs.append(y)
            at = until
        recorded = {name: torch.cat(parts) if len(parts) > 1 else parts[0] for name, parts in job.recorded.items()}
        return torch.cat(outputs) if len(outputs) > 1 else outputs[0], state, recorded

    def _chunk(self, x: Tensor, job: _Job) -> int:
        """Steps of the next chunk: the largest activation stays under the engine's budget (results do not depend on it)."""
        budget = job.engine.budget_mb * 2**20 / x.element_size()
        if torch.is_grad_enabled() and any(p.requires_grad for p in self.parameters()):
            steps = x.shape[0]
        elif job.largest:
            steps = max(1, int(budget / job.largest))
        else:  # nothing is known yet: one step of anything big, all of what cannot become big
            steps = x.shape[0] if x.numel() < budget / 64 else 1
        return min(steps, x.shape[0], self._plan.longest or steps)

    def _run_chunk(self, x: Tensor, state: NetworkState, job: _Job) -> tuple[Tensor, NetworkState]:
        values: dict[str, Tensor] = {INPUT: x}
        nodes, delayed = dict(state.nodes), dict(state.delayed)
        active: dict[str, Activity | None] = {}
        ctx = Context("", state.step, job.ctx.sample_ids, job.ctx.seeds, job.ctx.ledger)
        pending = {name: sum(e.source == name and not e.delay for e in self.edges) for name in (INPUT, *self.names)}
        for name in self._plan.order:
            drive = self._gathered(name, values, delayed, x)
            known = self._known_activity(name, active)
            values[name], nodes[name] = self._run_node(name, drive, nodes.get(name), job, ctx.at(name, known))
            if isinstance(self.node(name), Neuron):
                active[name] = _count_neurons(values[name], ctx.at(name))
            elif known is not None and isinstance(self.node(name), nn.Flatten):
                active[name] = known  # the same inputs in the same order
            job.largest = max(job.largest, values[name][0].numel())
            for edge in self._plan.sources[name]:
                pending[edge.source] -= not edge.delay
                if not pending[edge.source] and edge.source != self.output and not self._delays(edge.source):
                    values.pop(edge.source, None)  # the last reader has read it
        for edge in self.edges:
            if edge.delay:
                delayed[edge] = _line(edge, values[edge.source], delayed)[-edge.delay :]
        return values[self.output], NetworkState(state.step + x.shape[0], nodes, delayed)

    def _known_activity(self, name: str, active: dict[str, Activity | None]) -> Activity | None:
        """What has been counted of a node's input: the spikes of its only source."""
        sources = self._plan.sources[name]
        return active.get(sources[0].source) if len(sources) == 1 and not sources[0].delay else None

    def _delays(self, name: str) -> bool:
        return any(e.delay and e.source == name for e in self.edges)

    def _gathered(self, name: str, values: dict[str, Tensor], delayed: dict[Edge, Tensor], x: Tensor) -> Tensor:
        """The sum over a node's incoming edges, delayed ones shifted by their buffer."""
        parts = []
        for edge in self._plan.sources[name]:
            if not edge.delay:
                parts.append(values[edge.source])
            elif edge.source in values:
                parts.append(_line(edge, values[edge.source], delayed)[: x.shape[0]])
            elif edge in delayed:  # the source comes later in this chunk, which is no longer than the delay
                parts.append(delayed[edge][: x.shape[0]])
        if not parts:  # the first steps of a loop: nothing has come round yet
            source = self._plan.sources[name][0].source
            return x.new_zeros((*x.shape[:2], *self._shapes(x)[source]))
        return parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)

    def synapses(self, x: Tensor) -> dict[str, int]:
        """Synapses of every linear node for input samples like x (B, *shape): what a dense pass multiplies."""
        self._shapes(x[None])
        operators = {name: operator for (name, _), operator in self._operators.items() if operator is not None}
        return {name: int(operator.row_fanout().sum()) for name, operator in operators.items()}

    def _shapes(self, x: Tensor) -> dict[str, tuple[int, ...]]:
        """Output shape of every node for input x, found with one silent step; a loop is entered where it is known."""
        shapes, waiting = {INPUT: tuple(x.shape[2:])}, list(self._plan.order)
        silent = _Job(choose(x, ()), Context("", 0, np.full(1, -1)), frozenset())
        while waiting:
            name = next((n for n in waiting if any(e.source in shapes for e in self._plan.sources[n])), None)
            if name is None:
                raise GraphError(must("Network.edges", "a way from the input to every node", f"none to {waiting[0]}"))
            source = next(e.source for e in self._plan.sources[name] if e.source in shapes)
            with torch.no_grad():
                y, _ = self._run_node(name, x.new_zeros((1, 1, *shapes[source])), None, silent, silent.ctx)
            shapes[name] = tuple(y.shape[2:])
            waiting.remove(name)
        return shapes

    def _run_node(self, name: str, x: Tensor, state: Any, job: _Job, ctx: Context) -> tuple[Tensor, Any]:
        module = self.node(name)
        key = (name, tuple(x.shape[2:]))
        if key not in self._operators:
            self._operators[key] = operator_of(module, key[1])
        operator = self._operators[key]
        if operator is not None:
            y = job.engine.linear(module, operator, x, ctx)
        elif hasattr(module, "initial_state"):
            y, state = self._run_temporal(name, module, x, state, job)
        else:
            y = module(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        job.keep(name, y)
        return y, state

    def _run_temporal(self, name: str, module: nn.Module, x: Tensor, state: Any, job: _Job) -> tuple[Tensor, Any]:
        if f"{name}.v" not in job.record:
            return job.engine.temporal(module, x, state)
        parts = []
        for drive in x:
            y, state = job.engine.temporal(module, drive[None], state)
            job.keep(f"{name}.v", state.v[None])
            parts.append(y)
        return torch.cat(parts), state

    def _must_know(self, name: str, field_name: str) -> None:
        if name not in self.names:
            raise GraphError(must(field_name, "a node of the network", name, nearest(name, self.names)))

    def _must_fit(self, x: Tensor) -> None:
        wanted = "(T, B, *shape)" if self.input_shape is None else f"(T, B, {', '.join(map(str, self.input_shape))})"
        fits = x.ndim >= 2 and (self.input_shape is None or tuple(x.shape[2:]) == self.input_shape)
        if not fits or 0 in x.shape[:2]:
            remedy = "time first, at least one step and one sample"
            raise ShapeError(must("Network.x", wanted, tuple(x.shape), remedy))


def _line(edge: Edge, fresh: Tensor, delayed: dict[Edge, Tensor]) -> Tensor:
    """The delay line of an edge: the last `delay` values (zeros before the first step), then the fresh ones."""
    past = delayed.get(edge)
    past = fresh.new_zeros((edge.delay, *fresh.shape[1:])) if past is None else past
    return torch.cat([past, fresh])


def _count_neurons(spikes: Tensor, ctx: Context) -> Activity | None:
    """Book one update and two membrane accesses per neuron and step, one hop per spike; -> the spikes' activity."""
    if ctx.ledger is None:
        return None
    steps, batch = spikes.shape[:2]
    updates = np.full(batch, steps * spikes[0, 0].numel(), np.int64)
    ctx.ledger.add(ctx.where, "", Action.neuron_update, updates)
    ctx.ledger.add(ctx.where, "", Action.membrane_access, 2 * updates)
    counted = spike_activity(spikes)
    ctx.ledger.add(ctx.where, "", Action.spike_hop, counted.some.sum(1, dtype=np.int64))
    return counted


def _scaled(module: nn.Module, factor: float) -> nn.Module:
    """A copy of an entry node with bias, or threshold and initial potential, times `factor`; weights are shared."""
    scaled = copy.copy(module)
    scaled._parameters, scaled._buffers = dict(module._parameters), dict(module._buffers)
    for name in ("bias", "threshold", "initial"):
        parameter, buffer = scaled._parameters.get(name), scaled._buffers.get(name)
        if parameter is not None:
            scaled._parameters[name] = nn.Parameter(parameter.detach() * factor, parameter.requires_grad)
        if buffer is not None:
            scaled._buffers[name] = buffer * factor
    return scaled


def _nest(root: nn.Module, path: str, module: nn.Module) -> None:
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


def _planned(names: tuple[str, ...], edges: tuple[Edge, ...], output: str) -> _Plan:
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
    return _Plan(order, sources, min(back) if back else None)
