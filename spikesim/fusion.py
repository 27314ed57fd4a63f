"""Nodes of a network that run as one where nobody asks for what is between them; results are equal but for rounding.

`entered`   events and the first `nn.Linear`, behind a Flatten or not: weight rows are added for events alone
`stand_ins`   nearest upsampling by 2, a convolution, batch normalisation (`layers/doubled.py`, `layers/folded.py`)
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import prod
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from .core.operator import Context
from .core.raster import SparseRaster
from .execution import Engine, EventDriven, Fused, Reference
from .graph import INPUT, Plan
from .layers.doubled import doubles, fits
from .layers.folded import foldable, run_folded
from .layers.linear import event_linear
from .recording import Job, StandIn

if TYPE_CHECKING:
    from .network import Network


def hooked(*modules: nn.Module) -> bool:
    """Whether somebody waits for a module to be called, or has given it another `forward`."""
    return any(
        m._forward_hooks or m._forward_pre_hooks or m._backward_hooks or m._backward_pre_hooks or "forward" in vars(m)
        for m in modules
    )


def entered(network: Network, plan: Plan, x: SparseRaster, job: Job) -> dict[str, Tensor]:
    """Values of the first nodes computed from the events, where that is one `nn.Linear` (behind a Flatten or not)."""
    at, passed, inputs = INPUT, dict[str, None](), prod(x.shape)
    while True:
        readers = [e.target for e in network.edges if e.source == at]
        if len(readers) != 1 or len(plan.sources[readers[0]]) != 1 or job.wants(readers[0]):
            return {}
        at, module = readers[0], network.node(readers[0])
        if hooked(module) or job.ctx.ledger is not None or isinstance(job.engine, Reference):
            return {}
        if type(module) is nn.Linear and module.weight.dtype == torch.float32 and module.in_features == inputs:
            y = event_linear(x, module.weight, module.bias)
            return {name: y for name in (*passed, at)}
        if not isinstance(module, nn.Flatten) or at == network.output:
            return {}
        passed[at] = None


class Group(NamedTuple):
    """Nodes of which each is all that the next one reads and is read by nothing else; None for what is not there.

    [upsample ->] conv [-> norm]: nearest, by 2; a convolution; batch normalisation
    """

    upsample: str | None
    conv: str
    norm: str | None


def groups(nodes: Mapping[str, nn.Module], plan: Plan) -> tuple[Group, ...]:
    """Convolutions with upsampling before or normalisation behind them, which `stand_ins` may run as one."""
    before = {}
    for name, sources in plan.sources.items():
        source = sources[0].source
        alone = len(sources) == 1 and not sources[0].delay and source != INPUT
        if alone and plan.readers[source] == 1 and source not in plan.kept:
            before[name] = source
    after = {source: name for name, source in before.items()}
    found = []
    for name, module in nodes.items():
        if _plain(module):
            upsample, norm = before.get(name), after.get(name)
            upsample = upsample if upsample and doubles(nodes[upsample]) and fits(module) else None
            norm = norm if norm and type(nodes[norm]) is nn.BatchNorm2d else None
            if upsample or norm:
                found.append(Group(upsample, name, norm))
    return tuple(found)


def _plain(module: nn.Module) -> bool:
    return type(module) is nn.Conv2d and module.padding_mode == "zeros"


def _still(network: Network, group: Group) -> bool:
    """Whether modules are what they were when the network was made: they can be exchanged in place."""
    conv = network.node(group.conv)
    return _plain(conv) and (group.upsample is None or (doubles(network.node(group.upsample)) and fits(conv)))


def stand_ins(network: Network, found: tuple[Group, ...], job: Job) -> dict[str, StandIn]:
    """{node: what runs instead of it} for groups: the last node of each does all, the others hand on what they get.

    Where a gradient is asked for (`Fused`) upsampling and convolution; without one (`EventDriven`) normalisation too, in evaluation
    mode, unless inputs are so few that events are cheaper.
    """
    learning = type(job.engine) is Fused and torch.is_grad_enabled()
    if not found or job.ctx.ledger is not None or not (learning or type(job.engine) is EventDriven):
        return {}
    instead: dict[str, StandIn] = {}
    for group in found:
        norm = None if learning or group.norm is None or not foldable(network.node(group.norm)) else group.norm
        members = [name for name in (group.upsample, group.conv, norm) if name is not None]
        inner, modules = members[:-1], map(network.node, members)
        if inner and not any(map(job.wants, inner)) and not hooked(*modules) and _still(network, group):
            instead |= dict.fromkeys(inner, _handed_on)
            instead[members[-1]] = partial(_run, network, group._replace(norm=norm), job.engine, job.ctx)
    return instead


def _handed_on(x: Tensor) -> Tensor:
    return x


def _run(network: Network, group: Group, engine: Engine, ctx: Context, x: Tensor) -> Tensor:
    """A group over x (T, B, *shape)."""
    conv, norm = network.node(group.conv), None if group.norm is None else network.node(group.norm)
    assert isinstance(conv, nn.Conv2d)
    if isinstance(engine, EventDriven) and x.ndim == 5:
        scale = 1 if group.upsample is None else 2
        operator = network.operator(group.conv, (x.shape[2], scale * x.shape[3], scale * x.shape[4]))
        if operator is not None and engine.sparse(operator, x):
            return _one_by_one(network, group, partial(engine.linear, conv, operator, ctx=ctx.at(group.conv)), x)
    try:
        y = run_folded(x.flatten(0, 1), conv, norm, doubled=group.upsample is not None)
    except RuntimeError as error:
        raise network.misfit(group.conv, x, error) from error
    return y.unflatten(0, x.shape[:2])


def _one_by_one(network: Network, group: Group, linear: StandIn, x: Tensor) -> Tensor:
    """The same node by node; `linear` runs the convolution."""
    if group.upsample is not None:
        x = network.node(group.upsample)(x.flatten(0, 1)).unflatten(0, x.shape[:2])
    y = linear(x)
    return y if group.norm is None else network.node(group.norm)(y.flatten(0, 1)).unflatten(0, y.shape[:2])
