"""Torch's own modules as calls of the operation of the same name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from ...layers.quantised import QuantisedReLU

Call = tuple[str, tuple[Any, ...], dict[str, Any]]


def _conv(name: str) -> Callable[[Any], Call]:
    def call(m: Any) -> Call:
        return name, (m.weight, m.bias, m.stride, m.padding, m.dilation, m.groups, m.padding_mode), {}

    return call


def _turned(name: str) -> Callable[[Any], Call]:
    def call(m: Any) -> Call:
        return name, (m.weight, m.bias, m.stride, m.padding, m.output_padding, m.groups, m.dilation), {}

    return call


def _norm(m: Any) -> Call:
    return "batch_norm", (m.weight, m.bias, m.running_mean, m.running_var, False, m.momentum, m.eps), {}


def _instance(m: Any) -> Call:
    stats = not m.track_running_stats
    return "instance_norm", (m.weight, m.bias, m.running_mean, m.running_var, stats, 0.0, m.eps), {}


def _max(name: str) -> Callable[[Any], Call]:
    def call(m: Any) -> Call:
        return name, (m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode, m.return_indices), {}

    return call


def _average(m: Any) -> Call:
    window = (m.kernel_size, m.stride, m.padding, m.ceil_mode, m.count_include_pad)
    return "avg_pool2d", (*window, m.divisor_override), {}


def _average_1d(m: Any) -> Call:
    return "avg_pool1d", (m.kernel_size, m.stride, m.padding, m.ceil_mode, m.count_include_pad), {}


def _named(name: str, *fields: str) -> Callable[[Any], Call]:
    def call(m: Any) -> Call:
        return name, tuple(getattr(m, field) for field in fields), {}

    return call


_CALLS: dict[type[nn.Module], Callable[[Any], Call]] = {
    nn.Conv1d: _conv("conv1d"), nn.Conv2d: _conv("conv2d"), nn.ConvTranspose1d: _turned("conv_transpose1d"),
    nn.ConvTranspose2d: _turned("conv_transpose2d"), nn.Linear: _named("linear", "weight", "bias"),
    nn.BatchNorm1d: _norm, nn.BatchNorm2d: _norm, nn.InstanceNorm1d: _instance, nn.InstanceNorm2d: _instance,
    nn.LayerNorm: _named("layer_norm", "normalized_shape", "weight", "bias", "eps"),
    nn.GroupNorm: _named("group_norm", "num_groups", "weight", "bias", "eps"),
    nn.ReLU: _named("relu"), nn.ReLU6: _named("relu6"), nn.Hardtanh: _named("hardtanh", "min_val", "max_val"),
    QuantisedReLU: _named("quantised_relu", "threshold", "levels"),
    nn.LeakyReLU: _named("leaky_relu", "negative_slope"), nn.PReLU: _named("prelu", "weight"),
    nn.Hardsigmoid: _named("hardsigmoid"), nn.Hardswish: _named("hardswish"),
    nn.GELU: lambda m: ("gelu", (), {"approximate": m.approximate}),
    nn.SiLU: _named("silu"), nn.Sigmoid: _named("sigmoid"), nn.Tanh: _named("tanh"), nn.Mish: _named("mish"),
    nn.ELU: _named("elu", "alpha"), nn.SELU: _named("selu"), nn.Softplus: _named("softplus", "beta", "threshold"),
    nn.Softmax: _named("softmax", "dim"), nn.LogSoftmax: _named("log_softmax", "dim"),
    nn.MaxPool1d: _max("max_pool1d"), nn.MaxPool2d: _max("max_pool2d"), nn.AvgPool1d: _average_1d,
    nn.AvgPool2d: _average, nn.AdaptiveAvgPool1d: _named("adaptive_avg_pool1d", "output_size"),
    nn.AdaptiveAvgPool2d: _named("adaptive_avg_pool2d", "output_size"),
    nn.AdaptiveMaxPool1d: _named("adaptive_max_pool1d", "output_size", "return_indices"),
    nn.AdaptiveMaxPool2d: _named("adaptive_max_pool2d", "output_size", "return_indices"),
    nn.Dropout: _named("dropout"), nn.Dropout1d: _named("dropout"), nn.Dropout2d: _named("dropout"),
    nn.AlphaDropout: _named("dropout"), nn.FeatureAlphaDropout: _named("dropout"), nn.Identity: _named("identity"),
    nn.Flatten: _named("flatten", "start_dim", "end_dim"), nn.Unflatten: _named("unflatten", "dim", "unflattened_size"),
    nn.PixelShuffle: _named("pixel_shuffle", "upscale_factor"),
    nn.PixelUnshuffle: _named("pixel_unshuffle", "downscale_factor"),
    nn.ChannelShuffle: _named("channel_shuffle", "groups"), nn.GLU: _named("glu", "dim"),
    nn.Threshold: _named("threshold", "threshold", "value"), nn.CELU: _named("celu", "alpha"),
    nn.LogSigmoid: _named("logsigmoid"), nn.Softsign: _named("softsign"),
    nn.RMSNorm: _named("rms_norm", "normalized_shape", "weight", "eps"),
    nn.Upsample: _named("interpolate", "size", "scale_factor", "mode", "align_corners"),
}  # fmt: skip
_PADS = ((nn.modules.padding._ConstantPadNd, "constant"), (nn.modules.padding._ReflectionPadNd, "reflect"),
         (nn.modules.padding._ReplicationPadNd, "replicate"), (nn.modules.padding._CircularPadNd, "circular"))  # fmt: skip
LEAVES: tuple[type[nn.Module], ...] = (*_CALLS, *(kind for kind, _ in _PADS))
"""Module types that are read as they are."""


def module_call(module: nn.Module) -> Call | None:
    """(operation, its arguments after the first, keywords) of one of torch's own modules."""
    kind = next((kind for kind in _CALLS if isinstance(module, kind)), None)
    if kind is not None:
        return _CALLS[kind](module)
    for kind, mode in _PADS:
        if isinstance(module, kind):
            return "pad", (module.padding, mode, getattr(module, "value", None)), {}
    return None
