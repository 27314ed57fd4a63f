"""One small network per operation that `convert` takes, in the forms people write it in: as a module and as a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from conversion.strangers import seeded
from torch import Tensor, nn
from torch.nn import functional as F

MAPS, LINE, VECTOR = (2, 8, 8), (2, 16), (12,)


class Around(nn.Module):
    """stem, ReLU, what is tested, flatten, linear; the operation's own layers are `layers`."""

    def __init__(self, shape: tuple[int, ...], operation: Callable[..., Tensor], layers: dict[str, nn.Module]) -> None:
        super().__init__()
        kinds = {1: lambda: nn.Linear(12, 12), 2: lambda: nn.Conv1d(2, 4, 3, padding=1),
                 3: lambda: nn.Conv2d(2, 4, 3, padding=1)}  # fmt: skip
        self.stem, self.layers, self.operation = kinds[len(shape)](), nn.ModuleDict(layers), operation
        with torch.no_grad():
            wide = self._inner(torch.rand(2, *shape)).flatten(1).shape[1]
        self.head = nn.Linear(wide, 5)

    def _inner(self, x: Tensor) -> Tensor:
        return self.operation(F.relu(self.stem(x)), **self.layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.flatten(self._inner(x), 1))


@dataclass(frozen=True)
class Item:
    """What is tested: a function of (activation, layers), the input's shape, and what makes the layers.

    onnx   whether ONNX has the operator;  floats  what runs as a float operator, by name
    """

    shape: tuple[int, ...]
    operation: Callable[..., Tensor]
    layers: dict[str, Callable[[], nn.Module]]
    onnx: bool = True
    floats: bool = False

    def network(self) -> nn.Module:
        """With weights from seed 0, in eval mode."""
        return seeded(lambda: Around(self.shape, self.operation, {k: make() for k, make in self.layers.items()})).eval()  # type: ignore[arg-type]

    def inputs(self, n: int = 64) -> Tensor:
        """(n, *shape) in 0..1."""
        return torch.rand(n, *self.shape, generator=torch.Generator().manual_seed(1))


def layer(shape: tuple[int, ...], make: Callable[[], nn.Module], **more: Any) -> Item:
    """An item that is one module."""
    return Item(shape, lambda x, it: it(x), {"it": make}, **more)


def function(shape: tuple[int, ...], operation: Callable[..., Tensor], **more: Any) -> Item:
    """An item that is one function without weights."""
    return Item(shape, operation, {}, **more)


def weighted(shape: tuple[int, ...], operation: Callable[[Tensor, Any], Tensor], make: Any, **more: Any) -> Item:
    """An item that calls a function with a module's weights."""
    return Item(shape, lambda x, it: operation(x, it), {"it": make}, **more)


class Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))))


class Shuffle(nn.Module):
    """ShuffleNet's channel shuffle, with sizes from the shape."""

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.size()
        return x.view(b, 2, c // 2, h, w).transpose(1, 2).contiguous().view(b, -1, h, w)


class Attends(nn.Module):
    """Self-attention written out, over 4 tokens of 3."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.norm = nn.Linear(3, 9), nn.LayerNorm(3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(-1, 4, 3)
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        return x + (q @ k.transpose(-2, -1) / 3**0.5).softmax(-1) @ v


class Modern(nn.Module):
    """torch's own attention layer."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = x.view(-1, 2, 6)
        return self.attention(x, x, x, need_weights=False)[0]


def _split(x: Tensor) -> Tensor:
    a, b = torch.split(x, [1, 3], 1)
    return torch.cat([b, a], 1)


def _chunked(x: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=1)
    return a - 0.5 * b


def _in_place(x: Tensor) -> Tensor:
    y = x * 2
    y -= 0.25
    y.add_(x).mul_(0.5)
    F.relu(y, inplace=True)
    y[:, 1:].clone()
    return y


def _inserted(x: Tensor) -> Tensor:
    return F.pad(x.unsqueeze(1).squeeze(1), (1, 2, 0, 1))


C2, C1, L = (lambda **o: lambda: nn.Conv2d(4, 4, 3, **o)), (lambda **o: lambda: nn.Conv1d(4, 4, 3, **o)), nn.Linear
ITEMS: dict[str, Item] = {
    "conv2d, groups and dilation": layer(MAPS, C2(groups=2, dilation=2, stride=2, padding=2)),
    "conv2d, depthwise, same": layer(MAPS, C2(groups=4, padding="same", bias=False)),
    "conv2d, reflected border": layer(MAPS, C2(padding=1, padding_mode="reflect")),
    "conv2d, function": weighted(MAPS, lambda x, m: F.conv2d(x, m.weight, m.bias, 2, (1, 0)), C2()),
    "conv1d": layer(LINE, C1(groups=2, dilation=2, stride=2, padding=1)),
    "conv1d, function": weighted(LINE, lambda x, m: F.conv1d(x, m.weight, m.bias, padding="same"), C1()),
    "transposed conv2d": layer(MAPS, lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2)),
    "transposed conv2d, function": weighted(
        MAPS, lambda x, m: F.conv_transpose2d(x, m.weight, m.bias, stride=2), lambda: nn.ConvTranspose2d(4, 2, 2)),
    "transposed conv1d": layer(LINE, lambda: nn.ConvTranspose1d(4, 2, 4, 2, 1, dilation=2)),
    "linear on the last axis": layer(LINE, lambda: L(16, 3)),
    "linear, function": weighted(VECTOR, lambda x, m: F.linear(x, m.weight), lambda: L(12, 7)),
    "matmul and add": weighted(VECTOR, lambda x, m: torch.matmul(x, m.weight.t()) + m.bias, lambda: L(12, 7)),
    "addmm": weighted(VECTOR, lambda x, m: torch.addmm(m.bias, x, m.weight.t()), lambda: L(12, 7)),
    "@": weighted(VECTOR, lambda x, m: x @ m.weight.T + m.bias, lambda: L(12, 7)),
    "batch norm of maps": layer(MAPS, lambda: nn.BatchNorm2d(4)),
    "batch norm of lines": layer(LINE, lambda: nn.BatchNorm1d(4)),
    "batch norm of vectors": layer(VECTOR, lambda: nn.BatchNorm1d(12, affine=False)),
    "batch norm before a conv": Item(MAPS, lambda x, a, b: b(a(x)), {"a": lambda: nn.BatchNorm2d(4), "b": C2(padding=1)}),
    "batch norm, function": weighted(
        MAPS, lambda x, m: F.batch_norm(x, m.running_mean, m.running_var, m.weight, m.bias), lambda: nn.BatchNorm2d(4)),
    "group norm": layer(MAPS, lambda: nn.GroupNorm(2, 4), floats=True),
    "instance norm": layer(MAPS, lambda: nn.InstanceNorm2d(4, affine=True), floats=True),
    "instance norm of lines": layer(LINE, lambda: nn.InstanceNorm1d(4), floats=True),
    "instance norm by running statistics": layer(
        MAPS, lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True)),
    "layer norm": layer(VECTOR, lambda: nn.LayerNorm(12), floats=True),
    "rms norm": layer(VECTOR, lambda: nn.RMSNorm(12), floats=True, onnx=False),
    "relu, in place": function(MAPS, lambda x: F.relu_(x - 0.2)),
    "relu6": layer(MAPS, nn.ReLU6),
    "relu6, function": function(MAPS, lambda x: F.relu6(9 * x - 0.3)),
    "hardtanh": layer(MAPS, lambda: nn.Sequential(nn.BatchNorm2d(4), nn.Hardtanh(-0.5, 0.7))),
    "clamp": function(MAPS, lambda x: (x - 0.2).clamp(-0.1, 0.4)),
    "clamp from below": function(MAPS, lambda x: torch.clamp(x - 0.2, min=-0.1)),
    "clip from above": function(MAPS, lambda x: torch.clip(x, max=0.3)),
    "leaky relu": layer(MAPS, lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.LeakyReLU(0.1, inplace=True))),
    "leaky relu, function": function(MAPS, lambda x: F.leaky_relu(x - 0.2)),
    "prelu": layer(MAPS, lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.PReLU(4))),
    "prelu of one slope": layer(VECTOR, lambda: nn.Sequential(nn.Linear(12, 6), nn.PReLU())),
    "threshold at zero": function(MAPS, lambda x: F.threshold(x - 0.2, 0, 0)),
    "hardsigmoid": layer(MAPS, lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.Hardsigmoid())),
    "maximum of two": function(MAPS, lambda x: torch.maximum(x[:, :2], 0.8 * x[:, 2:])),
    "max with a number": function(MAPS, lambda x: torch.max(x - 0.2, torch.tensor(0.0))),
    "max pool, ceil": layer(MAPS, lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True)),
    "max pool, function": function(MAPS, lambda x: F.max_pool2d(x, (3, 2), stride=(2, 1))),
    "max pool of signed values": layer(MAPS, lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.MaxPool2d(2, padding=1))),
    "max pool of lines": layer(LINE, lambda: nn.MaxPool1d(3, 2, ceil_mode=True)),
    "avg pool, ceil": layer(MAPS, lambda: nn.AvgPool2d(3, 2, ceil_mode=True)),
    "avg pool, ceil and padding": layer(MAPS, lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False)),
    "avg pool, function": function(MAPS, lambda x: F.avg_pool2d(x, 2, divisor_override=3), onnx=False),
    "avg pool of lines": layer(LINE, lambda: nn.AvgPool1d(3, 2, 1)),
    "adaptive avg pool": layer(MAPS, lambda: nn.AdaptiveAvgPool2d((2, None))),
    "adaptive avg pool, unequal": layer(MAPS, lambda: nn.AdaptiveAvgPool2d(3), onnx=False),
    "adaptive avg pool of lines": layer(LINE, lambda: nn.AdaptiveAvgPool1d(4)),
    "adaptive avg pool of lines, unequal": layer(LINE, lambda: nn.AdaptiveAvgPool1d(5), onnx=False),
    "adaptive max pool": layer(MAPS, lambda: nn.AdaptiveMaxPool2d(2)),
    "adaptive max pool, function": function(LINE, lambda x: F.adaptive_max_pool1d(x, 1)),
    "max over an axis": function(
        MAPS, lambda x: torch.max(x, 1)[0] + x.max(dim=-1, keepdim=True)[0].squeeze(-1).sum(1, keepdim=True)
    ),
    "global max": function(MAPS, lambda x: torch.amax(x, (2, 3))),
    "mean of pixels": function(MAPS, lambda x: x.mean([2, 3])),
    "mean over an axis": function(MAPS, lambda x: torch.mean(x, dim=-1, keepdim=True)),
    "sum over channels": function(MAPS, lambda x: x.sum(1)),
    "mean of all": function(MAPS, lambda x: x.flatten(2).mean(-1)),
    "add and subtract": function(MAPS, lambda x: 1.5 - (x + x.flip(1)) - 0.5 * x, onnx=False),
    "in place": function(MAPS, _in_place),
    "divided": function(MAPS, lambda x: (x / 3.0 - torch.ones(4, 1, 1)) / torch.tensor([1.0, 2, 3, 4]).view(-1, 1, 1)),
    "rsub and neg": function(VECTOR, lambda x: torch.rsub(x, 1.0) + torch.neg(x)),
    "product with itself": function(VECTOR, lambda x: x * x, floats=True),
    "square": function(VECTOR, lambda x: x.square() + x.pow(2) + x**2, floats=True),
    "gate": layer(MAPS, Gate, floats=True),
    "glu": function(VECTOR, lambda x: F.glu(x - 0.2, 1), floats=True),
    "concat": function(MAPS, lambda x: torch.cat([x, 0.5 * x, torch.ones(1, 1, 1, 1).expand(x.shape[0], 1, 8, 8)], 1)),
    "stack": function(MAPS, lambda x: torch.stack([x, 2 * x], dim=2)),
    "slice": function(MAPS, lambda x: x[:, ::2, 1:-1, :]),
    "index": function(MAPS, lambda x: x[..., 0] + x[:, :, None].squeeze(2)[:, :, 3]),
    "focus": function(MAPS, lambda x: torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2]], 1)),
    "split": function(MAPS, _split),
    "chunk": function(MAPS, _chunked),
    "unbind": function(MAPS, lambda x: x.unbind(1)[2]),
    "permute": function(MAPS, lambda x: x.permute(0, 2, 3, 1)),
    "channel shuffle": layer(MAPS, Shuffle),
    "channel shuffle, module": layer(MAPS, lambda: nn.ChannelShuffle(2), onnx=False),
    "pixel shuffle": layer(MAPS, lambda: nn.PixelShuffle(2)),
    "pixel unshuffle": layer(MAPS, lambda: nn.PixelUnshuffle(2)),
    "reshape": function(MAPS, lambda x: x.reshape(x.size(0), -1).unsqueeze(1).squeeze(1)),
    "flatten from -3": function(MAPS, lambda x: torch.flatten(x, start_dim=-3)),
    "unflatten": layer(VECTOR, lambda: nn.Unflatten(1, (3, 4))),
    "pad": function(MAPS, _inserted),
    "pad, modules": layer(MAPS, lambda: nn.Sequential(nn.ZeroPad2d((1, 0, 0, 1)), nn.ReflectionPad2d(1),
                                                      nn.ReplicationPad2d(1))),
    "pad of lines": layer(LINE, lambda: nn.Sequential(nn.ZeroPad1d(1), nn.ReflectionPad1d(1), nn.ConstantPad1d(1, 0.0))),
    "pad with ones": function(MAPS, lambda x: F.pad(x, (1, 1), value=1.0)),
    "circular pad": layer(MAPS, lambda: nn.CircularPad2d(1), onnx=False),
    "upsample, nearest": layer(MAPS, lambda: nn.Upsample(scale_factor=2)),
    "upsample, bilinear": layer(MAPS, lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)),
    "interpolate": function(MAPS, lambda x: F.interpolate(x, size=(12, 6), mode="bilinear", align_corners=False)),
    "interpolate, nearest": function(MAPS, lambda x: F.interpolate(x, scale_factor=2.0, mode="nearest")),
    "upsample of lines": layer(LINE, lambda: nn.Upsample(scale_factor=2, mode="linear")),
    "upsample, old modules": layer(MAPS, lambda: nn.Sequential(nn.UpsamplingNearest2d(scale_factor=2),
                                                               nn.UpsamplingBilinear2d(scale_factor=2))),
    "dropout": layer(MAPS, lambda: nn.Sequential(nn.Dropout(), nn.Dropout2d(), nn.Identity())),
    "dropout, function": Item(MAPS, lambda x, it: F.dropout(x, 0.3, it.training), {"it": nn.Identity}),
    "constants": function(MAPS, lambda x: x * torch.linspace(0.5, 1, 8) + torch.arange(4.0).view(1, -1, 1, 1)),
    "abs": function(MAPS, lambda x: (x - 0.3).abs()),
    "softmax": layer(VECTOR, lambda: nn.Softmax(dim=1), floats=True),
    "log softmax": function(VECTOR, lambda x: F.log_softmax(x, dim=-1), floats=True),
    "gelu": layer(VECTOR, lambda: nn.Sequential(nn.Linear(12, 6), nn.GELU()), floats=True),
    "gelu of tanh": function(VECTOR, lambda x: F.gelu(x - 0.2, approximate="tanh"), floats=True),
    "silu": layer(VECTOR, lambda: nn.SiLU(inplace=True), floats=True),
    "swish by hand": function(VECTOR, lambda x: x * torch.sigmoid(x), floats=True),
    "sigmoid": function(VECTOR, lambda x: (x - 0.2).sigmoid(), floats=True),
    "tanh": function(VECTOR, torch.tanh, floats=True),
    "exp and log": function(VECTOR, lambda x: torch.log(1 + torch.exp(x)), floats=True),
    "square root": function(VECTOR, lambda x: torch.sqrt(x + 1), floats=True),
    "division of two": function(VECTOR, lambda x: x / (1 + x.sum(1, keepdim=True)), floats=True),
    "hardswish": layer(MAPS, nn.Hardswish, floats=True),
    "mish": layer(VECTOR, nn.Mish, floats=True),
    "elu": layer(VECTOR, lambda: nn.Sequential(nn.Linear(12, 6), nn.ELU()), floats=True),
    "softplus": function(VECTOR, F.softplus, floats=True),
    "celu and selu": layer(VECTOR, lambda: nn.Sequential(nn.Linear(12, 6), nn.CELU(0.7), nn.SELU()), floats=True),
    "attention by hand": layer(VECTOR, Attends, floats=True),
    "attention": layer(VECTOR, Modern, floats=True, onnx=False),
}  # fmt: skip


class Qcfs(nn.Module):
    """Quantisation, clip, floor, shift, as published code writes it."""

    def __init__(self, levels: int = 4, up: float = 0.8) -> None:
        super().__init__()
        self.t, self.up = levels, nn.Parameter(torch.tensor([up]))

    def forward(self, x: Tensor) -> Tensor:
        x = x / self.up
        x = torch.clamp(x, 0, 1)
        return torch.floor(x * self.t + 0.5) / self.t * self.up


class ClipFloor(nn.Module):
    """A clip, then a floor without a shift."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.floor(torch.clamp(x * 2.0, 0, 1) * 8) / 8


class Straight(nn.Module):
    """A learned step size with the gradient straight through, signed, per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Parameter(torch.tensor([0.1, 0.2, 0.15, 0.3]).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        level = (x / self.step).clamp(-4, 3)
        return (level + (level.round() - level).detach()) * self.step


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient


class Dorefa(nn.Module):
    """A rounding with a gradient of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return _Round.apply(torch.clamp(x, 0, 1) * 15) / 15  # type: ignore[no-any-return]


def _faked(x: Tensor) -> Tensor:
    return torch.fake_quantize_per_tensor_affine(x - 0.3, 0.05, 3, 0, 15)


QUANTISED: dict[str, Item] = {
    "qcfs": layer(MAPS, Qcfs),
    "clip floor": layer(MAPS, ClipFloor),
    "learned steps, straight through": layer(MAPS, Straight),
    "own gradient": layer(MAPS, Dorefa, onnx=False),
    "fake quantisation": function(MAPS, _faked, onnx=False),
    "relu, then rounded and clipped": function(MAPS, lambda x: torch.clamp(torch.round(F.relu(x - 0.2) * 10), max=7) / 10),
}  # fmt: skip
"""Activations with few values, which are exactly a neuron's."""
