"""Saving a network: `network.json` (format, graph, node settings) and `network.safetensors` (tensors). No pickle.

Loading runs no code from the folder: node kinds are looked up in the table below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from . import surrogate
from .core.files import folder, read_json, write_json, written
from .errors import ArtefactError, must, nearest
from .layers import (
    Attention,
    Channels,
    ClassEmbedding,
    Concat,
    CumulativeMaxPool2d,
    DelayedLinear,
    Divide,
    Gain,
    MatMul,
    Multiply,
    Pointwise,
    QuantisedReLU,
    Rearrange,
    Reduce,
    Reshape,
    Scale,
    Shift,
    SparseLinear,
    SumPool2d,
    TemporalDifference,
    TemporalScale,
    TimeEmbedding,
    Upsample,
)
from .layers.sparse import Synapses
from .network import Conversion, Edge, Network
from .neurons import (
    IF,
    LIAF,
    LIF,
    AdaptiveLIF,
    BySubtraction,
    CorrectedIF,
    CuBaLIF,
    GradedIF,
    Integrator,
    NoReset,
    NormalisedLIF,
    ParametricLIF,
    Reset,
    SignedIF,
    ToValue,
)  # fmt: skip
from .neurons._leaky import LeakyNeuron
from .neurons.general import Adaptation, Variant
from .readout import readout_of

FORMAT = 1
"""Version of the folder layout; a newer one is refused."""

_RESETS: dict[str, type[Reset]] = {r.__name__: r for r in (BySubtraction, ToValue, NoReset)}
_SURROGATES = {
    s.__name__: s for s in vars(surrogate).values() if isinstance(s, type) and issubclass(s, surrogate.Surrogate)
}
_FAMILY = (IF, LIF, AdaptiveLIF, LIAF, CuBaLIF, NormalisedLIF, ParametricLIF)
_NEURONS: dict[str, type[LeakyNeuron]] = {k.__name__: k for k in _FAMILY}
_COUNTERS: dict[type[nn.Module], tuple[str, ...]] = {
    GradedIF: ("peak", "signed"),
    CorrectedIF: ("presteps", "residual"),
}
_COUNTING: dict[str, Any] = {k.__name__: k for k in _COUNTERS}
_SPARSE = {k.__name__: k for k in (SparseLinear, DelayedLinear)}
_WINDOW = ("kernel_size", "stride", "padding", "ceil_mode")
_SETTINGS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Linear: ("in_features", "out_features"),
    nn.Conv2d: (
        "in_channels",
        "out_channels",
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "groups",
        "padding_mode",
    ),
    nn.BatchNorm1d: ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    nn.BatchNorm2d: ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    nn.AvgPool2d: (*_WINDOW, "count_include_pad", "divisor_override"),
    nn.MaxPool2d: (*_WINDOW, "dilation"),
    nn.AdaptiveAvgPool2d: ("output_size",),
    nn.Flatten: ("start_dim", "end_dim"),
    nn.Dropout: ("p",),
    nn.Dropout2d: ("p",),
    nn.Identity: (),
    nn.ReLU: (),
    SumPool2d: _WINDOW,
    CumulativeMaxPool2d: (*_WINDOW, "dilation"),
    Scale: ("shape",),
    Shift: ("shape",),
    Gain: (),
    Reshape: ("out_shape",),
    Rearrange: ("out_shape",),
    Reduce: ("dims", "keepdim", "mean"),
    Upsample: ("size", "align_corners"),
    Concat: ("dim",),
    Multiply: (),
    MatMul: (),
    Divide: (),
    Pointwise: ("name",),
    Attention: ("scale", "causal"),
    Channels: ("start", "stop"),
    ClassEmbedding: ("classes", "size"),
    TimeEmbedding: ("size",),
    TemporalScale: ("steps",),
    QuantisedReLU: ("levels", "shape"),
    nn.Upsample: ("size", "scale_factor", "mode", "align_corners"),
    nn.GELU: ("approximate",),
    nn.SiLU: (),
    nn.Sigmoid: (),
    nn.Tanh: (),
    nn.ELU: ("alpha",),
    nn.SELU: (),
    nn.Softplus: ("beta", "threshold"),
    nn.Mish: (),
    nn.Hardswish: (),
    nn.LogSigmoid: (),
    nn.Softsign: (),
    nn.Softmax: ("dim",),
    nn.LogSoftmax: ("dim",),
    nn.CELU: ("alpha",),
    nn.RMSNorm: ("normalized_shape", "eps", "elementwise_affine"),
    nn.LayerNorm: ("normalized_shape", "eps", "elementwise_affine"),
    nn.GroupNorm: ("num_groups", "num_channels", "eps", "affine"),
}
"""Node kinds that can be saved and the constructor arguments that describe them (a bias is seen in the tensors)."""


def _kind(module: type[nn.Module]) -> str:
    """What files call a kind: its name, which torch's upsampling has as well as ours."""
    return "BilinearUpsample" if module is Upsample else module.__name__


_KINDS = {_kind(kind): kind for kind in _SETTINGS}


def _tuples(value: Any) -> Any:
    return tuple(_tuples(part) for part in value) if isinstance(value, list) else value


def _named(value: Any) -> dict[str, Any]:
    return {"kind": type(value).__name__, **asdict(value)}


def describe_node(name: str, module: nn.Module) -> dict[str, Any]:
    """A node as JSON: kind and settings."""
    if isinstance(module, SignedIF):
        return {"kind": "SignedIF", "surrogate": _named(module.surrogate)}
    if type(module) in _COUNTERS:
        return {"kind": type(module).__name__, **{s: getattr(module, s) for s in _COUNTERS[type(module)]}}
    if isinstance(module, TemporalDifference):
        return {"kind": "TemporalDifference", "function": describe_node(name, module.function)}
    if type(module) in _NEURONS.values():
        return _described_neuron(module)
    if isinstance(module, SparseLinear):
        return {"kind": type(module).__name__, "inputs": module.in_features, "outputs": module.out_features}
    if isinstance(module, Integrator):
        return {"kind": "Integrator", "learn": bool(module._parameters)}
    settings = _SETTINGS.get(type(module))
    if settings is None:
        known = ", ".join([*_KINDS, *_NEURONS, *_SPARSE, *_COUNTING, "SignedIF", "Integrator", "TemporalDifference"])
        raise ArtefactError(
            must(f"network.{name}", f"one of {known}", type(module).__name__, "replace it before saving")
        )
    described = {"kind": _kind(type(module)), **{s: getattr(module, s) for s in settings}}
    biased = isinstance(module, (nn.Linear, nn.Conv2d, nn.LayerNorm))
    return {**described, "bias": module.bias is not None} if biased else described


def rebuild_node(name: str, described: dict[str, Any], tensors: dict[str, Tensor]) -> nn.Module:
    """The module of a node from its JSON; tensors of neurons are taken as they are, others by load_state_dict."""
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in described.items()}
    kind = settings.pop("kind")
    if kind == "SignedIF":
        slope = dict(settings["surrogate"])
        surrogate_of = _lookup(_SURROGATES, slope.pop("kind"), name)
        return SignedIF(
            tensors[f"{name}.threshold"], initial=tensors[f"{name}.initial"], surrogate=surrogate_of(**slope)
        )
    if kind in _COUNTING:
        threshold, initial = (tensors[f"{name}.{part}"] for part in ("threshold", "initial"))
        return _COUNTING[kind](threshold, initial=initial, **settings)
    if kind == "TemporalDifference":
        inner = {k.replace(f"{name}.function.", f"{name}."): v for k, v in tensors.items()}
        return TemporalDifference(rebuild_node(name, described["function"], inner))
    if kind in _SPARSE:
        lists = Synapses(*(tensors[f"{name}.{part}"].numpy() for part in Synapses._fields))
        return _SPARSE[kind](described["inputs"], described["outputs"], lists)
    if kind == "Integrator":
        return Integrator(tensors[f"{name}.leak"], learn=bool(settings["learn"]))
    if kind in _NEURONS:
        own = {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}
        return _rebuilt_neuron(name, _NEURONS[kind], settings, own)
    return _lookup(_KINDS, kind, name)(**settings)


def _described_neuron(module: Any) -> dict[str, Any]:
    changed = {k: v for k, v in asdict(module.variant).items() if v != getattr(Variant(), k)}
    return {
        "kind": type(module).__name__, "reset": _named(module.reset), "surrogate": _named(module.surrogate),
        "strict": module.strict, "detach_reset": module.detach_reset, "learn": sorted(module._parameters),
        "variant": changed, **{name: getattr(module, name) for name in module.SETTINGS},
    }  # fmt: skip


def _rebuilt_neuron(
    name: str, kind: type[LeakyNeuron], described: dict[str, Any], tensors: dict[str, Tensor]
) -> LeakyNeuron:
    reset, slope = dict(described["reset"]), dict(described["surrogate"])
    variant = dict(described.get("variant", {}))
    if variant.get("adaptation"):
        variant["adaptation"] = Adaptation(**variant["adaptation"])
    settings = {
        **described, "variant": Variant(**variant), "reset": _lookup(_RESETS, reset.pop("kind"), name)(**reset),
        "surrogate": _lookup(_SURROGATES, slope.pop("kind"), name)(**slope),
    }  # fmt: skip
    return kind.restored(settings, tensors, described["learn"])


def _lookup(table: Mapping[str, Callable[..., Any]], kind: Any, name: str) -> Callable[..., Any]:
    if kind not in table:
        raise ArtefactError(must(f"network.json node {name}", "of a known kind", kind, nearest(kind, table)))
    return table[kind]


def as_json(network: Network) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A network as JSON and tensors: what `save` writes. ArtefactError when a node cannot be described."""
    nodes = {name: describe_node(name, module) for name, module in network.nodes.items()}
    tensors = {k: v.detach().contiguous().clone() for k, v in network.state_dict().items()}
    if network.calibration is not None:
        tensors["calibration"] = network.calibration.detach().contiguous().clone()
    description = {
        "format": FORMAT,
        "nodes": nodes,
        "edges": [[e.source, e.target, e.delay] for e in network.edges],
        "output": network.output,
        "input_shape": network.input_shape,
        "readout": {**_named(network.readout), "kind": network.readout.kind},
        "dt": network.dt,
        "conversion": None if network.conversion is None else asdict(network.conversion),
    }
    return description, tensors


def save(network: Network, path: str | Path) -> Path:
    """Write `network` into the folder `path` (made if missing); each file appears whole or not at all.

    Raises ArtefactError when a node cannot be described or the folder cannot be written; nothing is written then.
    """
    where, (description, tensors) = Path(path), as_json(network)
    folder(where)
    with written(where / "network.safetensors") as temporary:
        save_file(tensors, temporary)
    write_json(where / "network.json", description)
    return where


def load(path: str | Path) -> Network:
    """The network saved at `path`; ArtefactError when it is missing, broken or of a newer format."""
    where = Path(path)
    described = read_json(where / "network.json")
    if not isinstance(described, dict) or described.get("format") != FORMAT:
        got = described.get("format") if isinstance(described, dict) else type(described).__name__
        raise ArtefactError(must(f"{where / 'network.json'} format", f"{FORMAT}", got, "save it with this version"))
    try:
        tensors = load_file(where / "network.safetensors")
    except (OSError, SafetensorError) as error:
        raise ArtefactError(must(f"{where / 'network.safetensors'}", "a safetensors file", str(error))) from None
    calibration = tensors.pop("calibration", None)
    stored = described["conversion"] or {}
    options: dict[str, Any] = {k: _tuples(v) for k, v in stored.items()}
    conversion = Conversion(**options) if stored else None
    network = Network(
        {name: rebuild_node(name, node, tensors) for name, node in described["nodes"].items()},
        [Edge(*edge) for edge in described["edges"]],
        output=described["output"], input_shape=described["input_shape"], readout=readout_of(**described["readout"]),
        dt=described["dt"], conversion=conversion, calibration=calibration,
    )  # fmt: skip
    missing, unknown = network.load_state_dict(tensors, strict=False)
    if missing or unknown:
        raise ArtefactError(
            must(f"{where}", "complete", f"missing {missing[:3]}, unknown {unknown[:3]}", "save it again")
        )
    return network.eval().requires_grad_(False)
