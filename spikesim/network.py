"""Network: a graph of named nodes that is a torch module, and the one place where it is executed.

Nodes are torch modules under the user's dotted names, so `state_dict` keys equal the ANN's. Edges act in the same
step unless they carry a delay; several edges into a node add up. Nobody owns state: it comes in and goes out.
Read `engine.py` for `run`, `execution.py` for the ways to run a node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from operator import is_not
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from . import fusion
from .binding import Conversion, scaled
from .core.ledger import Ledger
from .core.operator import Activity, Context, LinearOperator
from .core.raster import SparseRaster
from .core.seeds import Seeds
from .errors import GraphError, ParameterError, ShapeError, must, nearest
from .execution import Engine, EventDriven, Fused, choose
from .graph import INPUT, Edge, delay_line, in_a_row, joins, nest, planned
from .layers import DelayedLinear, Reshape, operator_of
from .layers.counting import count_neurons, count_operations
from .neurons import Neuron
from .readout import Mean, Readout
from .recording import Job
from .stages import EVENTS, Bits, Past, Program, as_tensor, can_learn, compiled, learned


class NetworkState(NamedTuple):
    """What a network carries between runs: steps done, each stateful node's state, each delayed edge's last values."""

    step: int
    nodes: dict[str, Any]
    delayed: dict[Edge, Tensor]

    def samples(self, kept: Tensor) -> NetworkState:
        """The state of some of a batch's samples: (B,) bool, or indices."""
        nodes = tree_map(lambda part: None if part is None else part[kept], self.nodes)
        return NetworkState(self.step, nodes, {edge: line[:, kept] for edge, line in self.delayed.items()})


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
        self._plan = planned(self.names, self.edges, self.output)
        for name, module in nodes.items():
            nest(self, name, module)
        self.uncut = any(getattr(module, "uncut", False) for module in nodes.values())
        self._groups = fusion.groups(nodes, self._plan)
        self._operators: dict[tuple[str, tuple[int, ...]], tuple[nn.Module, LinearOperator | None]] = {}
        self._programs: dict[tuple[tuple[int, ...], torch.dtype], tuple[list[nn.Module], Program | None]] = {}

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

    @property
    def order(self) -> tuple[str, ...]:
        """Names in the order of execution."""
        return self._plan.order

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
        changes = {name: scaled(self.node(name), by) for name, by in self.conversion.factors(steps).items()}
        return self.replaced(changes, conversion=replace(self.conversion, steps=steps))

    def initial_state(self) -> NetworkState:
        """The state before the first step; node states are made on first use, for the batch that comes."""
        return NetworkState(0, {}, {})

    def forward(
        self, x: Tensor | SparseRaster, state: NetworkState | None = None, *, seeds: Seeds | None = None,
        ledger: Ledger | None = None, record: Iterable[str] | Mapping[str, Sequence[int] | None] = (), engine: Engine | None = None,
        sample_ids: np.ndarray | None = None, packed: bool = False,
    ) -> tuple[Any, NetworkState, dict[str, Any]]:  # fmt: skip
        """Run x (T, B, *shape) -> output (T, B, ...), state, {recorded name: (T, B, ...)}.

        record  node names for their outputs, "name.events" for them as a SparseRaster, "name.v" for a neuron's
                membrane after reset; {"name.v": [3, 17]} keeps those neurons alone (flat indices)
        packed  spikes of a chain of stages may come as they are, as `stages.Bits`
        A run may be cut anywhere in time: pass the state on. The input is never changed.
        """
        shape = self._must_fit(x)
        record = self._must_record(record)
        state = state or self.initial_state()
        batch = x.batch if isinstance(x, SparseRaster) else x.shape[1]
        ids = np.arange(batch) if sample_ids is None else np.asarray(sample_ids)
        if ids.shape != (batch,):
            raise ShapeError(must("run.sample_ids", f"({batch},), one per batch row", ids.shape))
        job = Job(engine or choose(x, self.parameters()), Context("", state.step, ids, seeds, ledger), record)
        if isinstance(x, SparseRaster) and type(job.engine) is Fused:
            found = self._learned(x, shape, state, job)
            if found is not None:
                return found
        program = self._program(x, shape, job)
        if program is not None:
            y, state, recording = self._run_program(program, x, state, job)
            return y if packed else as_tensor(y), state, recording
        given: dict[str, Tensor] = {}
        job.instead = fusion.stand_ins(self, self._groups, job)
        if isinstance(x, SparseRaster):
            given = fusion.entered(self, self._plan, x, job)
            x = torch.zeros(()).expand(x.steps, x.batch, *x.shape) if given else x.dense()
        whole, at, steps = None, 0, x.shape[0]
        while at < steps:
            until = steps if given and not self._plan.longest else at + self._chunk(x[at:], job)
            y, state = self._run_chunk(x[at:until], state, job, {name: v[at:until] for name, v in given.items()})
            if until - at == steps:
                return y, state, job.results()
            if whole is None:  # one block for all: many small ones would split the memory that the next chunk needs
                whole = y.new_empty((steps, *y.shape[1:]))
            whole[at:until] = y
            at = until
        return whole, state, job.results()

    def _program(self, x: Tensor | SparseRaster, shape: tuple[int, ...], job: Job) -> Program | None:
        """The chain of stages that the event-driven engine runs instead of single nodes, where the network is one."""
        if not isinstance(job.engine, EventDriven):
            return None
        program, rows = None, job.engine.weights
        foreign = isinstance(x, Tensor) and (x.dtype != torch.float32 or x.device.type != "cpu")
        if job.engine.stages and job.ctx.ledger is None and not foreign:
            program = self._compiled(shape, rows)
        usable = program is not None and program.can_record(job.record)
        if rows != torch.float32 and not (usable and program is not None and program.narrow):
            rule = "torch.float32 where no nn.Linear with plain neurons runs as a stage"
            remedy = "a chain of nodes, no ledger, no hooks, nothing recorded but spikes"
            raise ParameterError(must("EventDriven.weights", rule, rows, remedy))
        return program if usable else None

    def _compiled(self, shape: tuple[int, ...], rows: torch.dtype = torch.float32) -> Program | None:
        """The network as a chain of stages for inputs of `shape`; None where it is none, or a module has hooks."""
        nodes, (modules, program) = self.nodes, self._programs.get((shape, rows), ([], None))
        if len(modules) != len(nodes) or any(map(is_not, modules, nodes.values())):  # new, or exchanged in place
            row = in_a_row(self._plan, self.output)
            program = None if row is None else compiled(nodes, row, shape, rows)
            self._programs[shape, rows] = list(nodes.values()), program
        return None if program is None or fusion.hooked(*program.modules) else program

    def _learned(
        self, x: SparseRaster, shape: tuple[int, ...], state: NetworkState, job: Job
    ) -> tuple[Tensor, NetworkState, dict[str, Any]] | None:
        """A run with a gradient as one operation, where the network is a chain that has one and nothing else is asked."""
        if job.record or job.ctx.ledger is not None or state.delayed or torch.compiler.is_compiling():
            return None
        program = self._compiled(shape)
        if program is None or not can_learn(program, state.nodes):
            return None
        y, nodes = learned(program, x, state.nodes)
        return y, NetworkState(state.step + x.steps, nodes, {}), {}

    def _run_program(
        self, program: Program, x: Tensor | SparseRaster, state: NetworkState, job: Job
    ) -> tuple[Tensor | Bits, NetworkState, dict[str, Any]]:
        assert isinstance(job.engine, EventDriven)
        loops = {edge: Past(line.transpose(0, 1)) for edge, line in state.delayed.items()}
        y, after, kept = program.run(
            x, {**state.nodes, **loops}, always=job.engine.always, keep=job.record, budget_mb=job.engine.budget_mb
        )
        steps = x.steps if isinstance(x, SparseRaster) else x.shape[0]
        delayed = {key: past.spikes.transpose(0, 1) for key, past in after.items() if isinstance(past, Past)}
        nodes = {key: value for key, value in after.items() if not isinstance(value, Past)}
        return y, NetworkState(state.step + steps, nodes, delayed), kept

    def _chunk(self, x: Tensor, job: Job) -> int:
        """Steps of the next chunk: the largest activation stays under the engine's budget (results do not depend on it)."""
        budget = job.engine.budget_mb * 2**20 / x.element_size()
        if (torch.is_grad_enabled() and any(p.requires_grad for p in self.parameters())) or self.uncut:
            steps = x.shape[0]
        elif job.largest:
            steps = max(1, int(budget / job.largest))
        else:  # nothing is known yet: one step of anything big, all of what cannot become big
            steps = x.shape[0] if x.numel() < budget / 8 else 1
        return min(steps, x.shape[0], self._plan.longest or steps)

    def _run_chunk(
        self, x: Tensor, state: NetworkState, job: Job, given: Mapping[str, Tensor]
    ) -> tuple[Tensor, NetworkState]:
        values: dict[str, Tensor] = {INPUT: x}
        nodes, delayed = dict(state.nodes), dict(state.delayed)
        active: dict[str, Activity | None] = {}
        ctx = Context("", state.step, job.ctx.sample_ids, job.ctx.seeds, job.ctx.ledger)
        pending = dict(self._plan.readers)
        for name in self._plan.order:
            if name in given:
                values[name] = given[name]
                continue
            drive = self._gathered(name, values, delayed, x)
            known = self._known_activity(name, active)
            values[name], nodes[name] = self._run_node(name, drive, nodes.get(name), job, ctx.at(name, known))
            if isinstance(self.node(name), Neuron):
                active[name] = count_neurons(values[name], ctx.at(name), self.node(name))
            elif known is not None and isinstance(self.node(name), (nn.Flatten, nn.Identity, Reshape)):
                active[name] = known  # the same inputs in the same order
            job.largest = max(job.largest, values[name][0].numel())
            for edge in self._plan.sources[name]:
                pending[edge.source] -= not edge.delay
                if not pending[edge.source] and edge.source not in self._plan.kept:
                    values.pop(edge.source, None)  # the last reader has read it
        for edge in self.edges:
            if edge.delay:
                delayed[edge] = delay_line(edge, values[edge.source], delayed)[-edge.delay :]
        return values[self.output], NetworkState(state.step + x.shape[0], nodes, delayed)

    def _known_activity(self, name: str, active: dict[str, Activity | None]) -> Activity | None:
        """What has been counted of a node's input: the spikes of its only source."""
        sources = self._plan.sources[name]
        return active.get(sources[0].source) if len(sources) == 1 and not sources[0].delay else None

    def _gathered(
        self, name: str, values: dict[str, Tensor], delayed: dict[Edge, Tensor], x: Tensor
    ) -> Tensor | tuple[Tensor, ...]:
        """The sum over a node's incoming edges, or all of them where it joins; delayed ones shifted by their buffer."""
        parts = []
        for edge in self._plan.sources[name]:
            if not edge.delay:
                parts.append(values[edge.source])
            elif edge.source in values:
                parts.append(delay_line(edge, values[edge.source], delayed)[: x.shape[0]])
            elif edge in delayed:  # the source comes later in this chunk, which is no longer than the delay
                parts.append(delayed[edge][: x.shape[0]])
        if not parts:  # the first steps of a loop: nothing has come round yet
            source = self._plan.sources[name][0].source
            return x.new_zeros((*x.shape[:2], *self.shapes(x)[source]))
        if joins(self.node(name)):
            return tuple(parts)
        return sum(parts[1:], parts[0])

    def synapses(self, x: Tensor) -> dict[str, int]:
        """Synapses of every linear node for input samples like x (B, *shape): what a dense pass multiplies."""
        shapes, found = self.shapes(x[None]), {}
        for name in self._plan.order:
            fed = [shapes[e.source] for e in self._plan.sources[name]]
            operator = None if joins(self.node(name)) else self.operator(name, torch.broadcast_shapes(*fed))
            if operator is not None:
                found[name] = int(operator.row_fanout().sum())
        return found

    def shapes(self, x: Tensor) -> dict[str, tuple[int, ...]]:
        """Output shape of every node for input x, found with one silent step; a loop is entered where it is known."""
        shapes, waiting = {INPUT: tuple(x.shape[2:])}, list(self._plan.order)
        silent = Job(choose(x, ()), Context("", 0, np.full(1, -1)), {})
        while waiting:
            name = next((n for n in waiting if self._can_enter(n, shapes)), None)
            if name is None:
                raise GraphError(must("Network.edges", "a way from the input to every node", f"none to {waiting[0]}"))
            parts = [x.new_zeros((1, 1, *shapes[e.source])) for e in self._plan.sources[name] if e.source in shapes]
            with torch.no_grad():
                drive = tuple(parts) if joins(self.node(name)) else sum(parts[1:], parts[0])
                y, _ = self._run_node(name, drive, None, silent, silent.ctx)
            shapes[name] = tuple(y.shape[2:])
            waiting.remove(name)
        return shapes

    def _can_enter(self, name: str, shapes: Mapping[str, Any]) -> bool:
        """Whether the shapes that a node's output depends on are known."""
        known = [e.source in shapes for e in self._plan.sources[name]]
        return all(known) if joins(self.node(name)) else any(known)

    def operator(self, name: str, shape: tuple[int, ...]) -> LinearOperator | None:
        """The LinearOperator of a node for inputs of `shape`, made once; None where it is not weights times spikes."""
        module, found = self.node(name), self._operators.get((name, shape))
        if found is None or found[0] is not module:  # new, or exchanged in place
            found = self._operators[name, shape] = module, operator_of(module, shape)
        return found[1]

    def _run_node(
        self, name: str, x: Tensor | tuple[Tensor, ...], state: Any, job: Job, ctx: Context
    ) -> tuple[Tensor, Any]:
        module = self.node(name)
        if isinstance(x, tuple):
            return self._run_join(name, module, x, state, job)
        instead = job.instead.get(name)
        operator = None if instead else self.operator(name, tuple(x.shape[2:]))
        try:
            if instead is not None:
                y = instead(x)
            elif operator is not None:
                y = job.engine.linear(module, operator, x, ctx)
            elif hasattr(module, "initial_state"):
                if isinstance(module, DelayedLinear):
                    count_operations(x, module.row_fanout(), ctx)
                y, state = self._run_temporal(name, module, x, state, job)
            else:
                y = module(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        except RuntimeError as error:
            raise self.misfit(name, x, error) from error
        job.keep(name, y)
        return y, state

    def misfit(self, name: str, x: Tensor, error: RuntimeError) -> ShapeError:
        """What is raised where torch refuses what a node is fed."""
        got = f"{tuple(x.shape[2:])} {x.dtype} on {x.device}: {str(error).splitlines()[0]}"
        return ShapeError(must(f"Network.{name}", f"fed what {self.node(name)} takes", got))

    def _run_join(
        self, name: str, module: nn.Module, parts: tuple[Tensor, ...], state: Any, job: Job
    ) -> tuple[Tensor, Any]:
        try:
            if hasattr(module, "initial_state"):
                y, state = module(parts, state)
            else:
                y = module(*(part.flatten(0, 1) for part in parts)).unflatten(0, parts[0].shape[:2])
        except RuntimeError as error:
            got = f"{[tuple(part.shape[2:]) for part in parts]}: {str(error).splitlines()[0]}"
            raise ShapeError(must(f"Network.{name}", f"fed what {module} takes", got)) from error
        job.keep(name, y)
        return y, state

    def _run_temporal(self, name: str, module: nn.Module, x: Tensor, state: Any, job: Job) -> tuple[Tensor, Any]:
        if f"{name}.v" not in job.record:
            return job.engine.temporal(module, x, state)
        parts = []
        for drive in x:
            y, state = job.engine.temporal(module, drive[None], state)
            job.keep_membrane(f"{name}.v", state.v)
            parts.append(y)
        return torch.cat(parts), state

    def _must_record(self, record: Iterable[str] | Mapping[str, Sequence[int] | None]) -> dict[str, Any]:
        """{name: chosen neurons or None}, checked."""
        wanted = dict(record) if isinstance(record, Mapping) else dict.fromkeys(record)
        for name, chosen in wanted.items():
            self._must_know(name.removesuffix(".v").removesuffix(EVENTS), "run.record")
            if chosen is not None and not name.endswith(".v"):
                raise ParameterError(must(f"run.record.{name}", "None (all)", chosen, "choose neurons of NODE.v"))
        return wanted

    def _must_know(self, name: str, field_name: str) -> None:
        if name not in self.names:
            raise GraphError(must(field_name, "a node of the network", name, nearest(name, self.names)))

    def _must_fit(self, x: Tensor | SparseRaster) -> tuple[int, ...]:
        """The shape of one sample at one step, checked."""
        raster, wanted = isinstance(x, SparseRaster), self.input_shape
        shape = (x.steps, x.batch, *x.shape) if isinstance(x, SparseRaster) else tuple(x.shape)
        fits = len(shape) >= 2 and (wanted is None or shape[2:] == wanted)
        if not fits or 0 in shape[:2]:
            rule = "(T, B, *shape)" if wanted is None else f"(T, B, {', '.join(map(str, wanted))})"
            remedy = "time first, at least one step and one sample"
            raise ShapeError(must("Network.x", rule, f"{shape}{' of events' if raster else ''}", remedy))
        return shape[2:]
