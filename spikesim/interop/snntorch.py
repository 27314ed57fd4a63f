"""snnTorch networks as ours: layers and neurons in the order they are applied, spike for spike."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConversionError, must
from ..graph import INPUT, Edge
from ..layers import Scale
from ..network import Network
from ..neurons import LIF, CuBaLIF
from ..neurons.general import Variant
from ..readout import Sum

_LAYERS = (
    nn.Linear,
    nn.Conv2d,
    nn.AvgPool2d,
    nn.MaxPool2d,
    nn.AdaptiveAvgPool2d,
    nn.Flatten,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.Dropout,
    nn.Dropout2d,
    nn.Identity,
)


def from_snntorch(
    modules: nn.Sequential | Iterable[nn.Module] | Mapping[str, nn.Module], *,
    weights: Mapping[str, Tensor] | None = None, **options: Any,
) -> Network:  # fmt: skip
    """A Network of the given torch layers and snnTorch neurons, applied one after the other at every step.

    modules   in order: snnTorch keeps that in the user's `forward`. A list (nodes "0", "1", ...), nested `nn.Sequential`s,
              or names and modules ({"fc1": net.fc1, "lif1": net.lif1}), which name the nodes
    weights   a state_dict to fill the modules with, under those names; the modules then say only kinds and settings
    options   as `Network`; the readout is the spike count unless given

    `Leaky`, `Synaptic`, `RLeaky` and `RSynaptic` keep alpha, beta and threshold (numbers or one per neuron, learned or
    not), reset mechanism and `reset_delay`, which no state_dict holds. What a recurrent one sends round is a node
    "NAME_recurrent". Modules are copied: the user's network is not changed.
    Raises ConversionError for any other module and for what has no counterpart here: `inhibition`, `state_quant`,
    graded spikes.
    """
    layers = {name: copy.deepcopy(module) for name, module in _named(modules)}
    if weights is not None:
        _fill(layers, weights)
    nodes: dict[str, nn.Module] = {}
    edges, last = [], INPUT
    for name, module in layers.items():
        nodes[name] = module if isinstance(module, _LAYERS) else _neuron(name, module)
        edges.append(Edge(last, name))
        if hasattr(module, "recurrent"):
            back = f"{name}_recurrent"
            nodes[back] = _loop(name, module)
            edges += [Edge(name, back, 1), Edge(back, name)]
        last = name
    return Network(nodes, edges, output=last, **{"readout": Sum(), **options}).eval()


def _named(modules: Any, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """(name, module) in order; an nn.Sequential is taken apart under its names."""
    if isinstance(modules, nn.Sequential):
        modules = dict(modules.named_children())
    pairs = modules.items() if isinstance(modules, Mapping) else ((str(i), m) for i, m in enumerate(modules))
    for name, module in pairs:
        if isinstance(module, nn.Sequential):
            yield from _named(module, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", module


def _fill(layers: Mapping[str, nn.Module], weights: Mapping[str, Tensor]) -> None:
    """Weights into the modules; every one of them must find its place, and every module its weights."""
    used: set[str] = set()
    for name, module in layers.items():
        own = {k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(f"{name}.")}
        try:
            module.load_state_dict(own)
        except RuntimeError as error:
            got = " ".join(str(error).split())
            raise ConversionError(must(f"weights[{name}.*]", f"those of {type(module).__name__}", got)) from None
        used |= {f"{name}.{k}" for k in own}
    if len(used) < len(weights):
        left = sorted(set(weights) - used)[:3]
        raise ConversionError(
            must("weights", "all used", f"{', '.join(left)} left over", "name the modules as in the network")
        )


def _neuron(name: str, module: Any) -> nn.Module:
    """One of ours with the numbers of an snnTorch neuron."""
    import snntorch

    known: tuple[type, ...] = (snntorch.Leaky, snntorch.Synaptic, snntorch.RLeaky, snntorch.RSynaptic)
    if type(module) not in known:
        rule = "a torch layer or snntorch." + ", ".join(kind.__name__ for kind in known)
        raise ConversionError(must(f"modules[{name}]", rule, type(module).__name__, "convert it by hand"))
    graded = float(torch.as_tensor(module.graded_spikes_factor)) != 1
    for field, used in (
        ("inhibition", module.inhibition),
        ("state_quant", module.state_quant),
        ("graded_spikes_factor", graded),
    ):
        if used:
            raise ConversionError(must(f"modules[{name}].{field}", "left out", getattr(module, field)))
    # A state_dict holds the mechanism as a number, which counts where the two differ.
    reset = {v: k for k, v in module.reset_dict.items()}[int(module.reset_mechanism_val)]
    late, recurrent = bool(module.reset_delay), hasattr(module, "recurrent")
    beta, threshold = module.beta.detach().clamp(0, 1), module.threshold.detach()
    if hasattr(module, "alpha"):
        if recurrent and not late:
            raise ConversionError(
                must(f"modules[{name}].reset_delay", "True, as snnTorch's RSynaptic runs no other", late)
            )
        alpha = module.alpha.detach().clamp(0, 1)
        return CuBaLIF.snntorch(alpha, beta, threshold, reset=reset, reset_delay=late)
    # RLeaky wipes the membrane after the step's charge, Leaky before.
    wiped = {"variant": Variant(wiped=True)} if recurrent and reset == "zero" and late else {}
    return LIF.snntorch(beta, threshold, reset=reset, reset_delay=late, **wiped)


def _loop(name: str, module: Any) -> nn.Module:
    """What the spikes of the step before pass on their way back: a layer, or factors."""
    loop = module.recurrent
    if isinstance(loop, (nn.Linear, nn.Conv2d)):
        return loop
    factors = module.V.detach()
    scale = Scale(tuple(factors.shape))
    scale.factor.copy_(factors)
    return scale
