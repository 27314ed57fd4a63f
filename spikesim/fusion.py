"""Nodes of a network that run as one where nobody asks for what is between them; results are equal but for rounding.

`entered`   events and the first `nn.Linear`, behind a Flatten or not: weight rows are added for events alone
`doubled`   nearest upsampling by 2 and a 3 x 3 convolution, where a gradient is asked for (`layers/doubled.py`)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .core.raster import SparseRaster
from .execution import Fused, Reference
from .graph import INPUT, Plan
from .layers import doubled as layer
from .layers.linear import event_linear
from .recording import Job

if TYPE_CHECKING:
    from .network import Network


def hooked(*modules: nn.Module) -> bool:
    """Whether somebody waits for a module to be called."""
    return any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks or m._backward_pre_hooks for m in modules)


def entered(network: Network, plan: Plan, x: SparseRaster, job: Job) -> dict[str, Tensor]:
    """Values of the first nodes computed from the events, where that is one `nn.Linear` (behind a Flatten or not)."""
    at, passed, inputs = INPUT, dict[str, None](), prod(x.shape)
    while True:
        readers = [e.target for e in network.edges if e.source == at]
        if len(readers) != 1 or len(plan.sources[readers[0]]) != 1 or readers[0] in job.record:
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


def pairs(nodes: Mapping[str, nn.Module], plan: Plan) -> dict[str, str]:
    """{upsampling node: the convolution that alone reads it, and nothing else}, of those that `doubled` may run as one."""
    found = {}
    for name in plan.order:
        sources = plan.sources[name]
        if len(sources) == 1 and not sources[0].delay and layer.fits(nodes[name]):
            before = sources[0].source
            alone = plan.readers[before] == 1 and before not in plan.kept
            if before != INPUT and alone and layer.doubles(nodes[before]):
                found[before] = name
    return found


def doubled(network: Network, found: Mapping[str, str], job: Job) -> dict[str, Callable[[Tensor], Tensor]]:
    """{node: what runs instead of it, (N, *shape) -> (N, *shape')} for the pairs that were found."""
    if not found or not torch.is_grad_enabled() or type(job.engine) is not Fused or job.ctx.ledger is not None:
        return {}
    instead: dict[str, Callable[[Tensor], Tensor]] = {}
    for before, name in found.items():
        upsample, conv = network.node(before), network.node(name)
        if before not in job.record and not hooked(upsample, conv) and layer.doubles(upsample) and layer.fits(conv):
            instead |= {before: nn.Identity(), name: partial(layer.doubled_conv, conv=conv)}
    return instead
