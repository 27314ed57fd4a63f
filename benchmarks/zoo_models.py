"""Fifteen networks written the way other people write theirs: what `convert` has to take as it comes.

`ZOO[name]` has a builder for a width (1 for tests, more for the study), the shape of one input, and whether the network
is piecewise linear, so that its spiking twin loses nothing as T grows. No torchvision.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv3x3(a: int, b: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(a, b, 3, stride, 1, bias=False)


class BasicBlock(nn.Module):
    """torchvision's: one in-place ReLU for all, `out += identity`."""

    def __init__(self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv3x3(inplanes, planes, stride), nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2, self.bn2 = conv3x3(planes, planes), nn.BatchNorm2d(planes)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class ResNet20(nn.Module):
    """Three stages of three blocks behind a stem with a max pool."""

    def __init__(self, width: int = 1, classes: int = 10) -> None:
        super().__init__()
        self.inplanes = 4 * width
        self.conv1, self.bn1 = conv3x3(3, self.inplanes), nn.BatchNorm2d(self.inplanes)
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._make_layer(4 * width, 1)
        self.layer2 = self._make_layer(8 * width, 2)
        self.layer3 = self._make_layer(16 * width, 2)
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(16 * width, classes)

    def _make_layer(self, planes: int, stride: int) -> nn.Sequential:
        downsample = None
        if stride != 1 or self.inplanes != planes:
            downsample = nn.Sequential(nn.Conv2d(self.inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))
        blocks = [BasicBlock(self.inplanes, planes, stride, downsample)]
        self.inplanes = planes
        return nn.Sequential(*blocks, BasicBlock(planes, planes), BasicBlock(planes, planes))

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class Vgg11Bn(nn.Module):
    """torchvision's: features from a configuration, adaptive pool, dropout in the classifier."""

    def __init__(self, width: int = 1, classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for v in (4, "M", 8, "M", 16, 16, "M", 32, 32, "M", 32, 32, "M"):
            if v == "M":
                layers += [nn.MaxPool2d(kernel_size=2, stride=2)]
            else:
                planes = int(v) * width
                layers += [nn.Conv2d(channels, planes, 3, padding=1), nn.BatchNorm2d(planes), nn.ReLU(inplace=True)]
                channels = planes
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((2, 2))
        self.classifier = nn.Sequential(
            nn.Linear(channels * 4, 32 * width), nn.ReLU(True), nn.Dropout(), nn.Linear(32 * width, 32 * width),
            nn.ReLU(True), nn.Dropout(), nn.Linear(32 * width, classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))


class MnistExample(nn.Module):
    """PyTorch's MNIST example: everything functional, log_softmax at the end."""

    def __init__(self, width: int = 1) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4 * width, 3, 1), nn.Conv2d(4 * width, 8 * width, 3, 1)
        self.fc1, self.fc2 = nn.Linear(8 * width * 12 * 12, 16 * width), nn.Linear(16 * width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.dropout(x, 0.25, training=self.training)
        x = torch.flatten(x, 1)
        x = F.dropout(F.relu(self.fc1(x)), training=self.training)
        return F.log_softmax(self.fc2(x), dim=1)


class ConvBNReLU(nn.Sequential):
    def __init__(self, a: int, b: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(a, b, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False), nn.BatchNorm2d(b),
            nn.ReLU6(inplace=True),
        )  # fmt: skip


class InvertedResidual(nn.Module):
    def __init__(self, a: int, b: int, stride: int, ratio: int) -> None:
        super().__init__()
        hidden, self.use_res_connect = a * ratio, stride == 1 and a == b
        layers: list[nn.Module] = [ConvBNReLU(a, hidden, 1)] if ratio != 1 else []
        layers += [
            ConvBNReLU(hidden, hidden, 3, stride, hidden),
            nn.Conv2d(hidden, b, 1, bias=False),
            nn.BatchNorm2d(b),
        ]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class MobileNetV2(nn.Module):
    """ReLU6, depthwise convolutions, linear bottlenecks."""

    def __init__(self, width: int = 1) -> None:
        super().__init__()
        plan = [(1, 4, 1, 1), (6, 6, 2, 2), (6, 8, 2, 2), (6, 12, 1, 1)]
        self.features = nn.Sequential(ConvBNReLU(3, 6 * width, stride=1))
        channels = 6 * width
        for ratio, planes, repeats, stride in plan:
            for i in range(repeats):
                self.features.append(InvertedResidual(channels, planes * width, stride if i == 0 else 1, ratio))
                channels = planes * width
        self.features.append(ConvBNReLU(channels, 32 * width, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(32 * width, 10))

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = F.adaptive_avg_pool2d(x, 1).reshape(x.shape[0], -1)
        return self.classifier(x)


class BatchNormAct2d(nn.BatchNorm2d):
    """timm's: a normalisation that ends with an activation from a factory."""

    def __init__(self, features: int, act_layer: Callable[..., nn.Module] | None = nn.ReLU, **kwargs: Any) -> None:
        super().__init__(features, **kwargs)
        self.drop = nn.Identity()
        self.act = act_layer(inplace=True) if act_layer is not None else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return self.act(self.drop(x))


class TimmBlock(nn.Module):
    def __init__(self, a: int, b: int, stride: int, act_layer: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv3x3(a, b, stride), BatchNormAct2d(b, act_layer=act_layer)
        self.conv2, self.bn2 = conv3x3(b, b), BatchNormAct2d(b, act_layer=None)
        self.downsample = nn.Sequential(nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False),
                                        nn.Conv2d(a, b, 1, bias=False), BatchNormAct2d(b, act_layer=None))  # fmt: skip
        self.drop_path, self.act = nn.Identity(), act_layer(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.downsample(x)
        x = self.bn2(self.conv2(self.bn1(self.conv1(x))))
        return self.act(self.drop_path(x) + shortcut)


class TimmStyle(nn.Module):
    """forward_features, forward_head, global pool by a mean."""

    def __init__(self, width: int = 1, act_layer: Callable[..., nn.Module] = nn.ReLU) -> None:
        super().__init__()
        w = 4 * width
        self.stem = nn.Sequential(conv3x3(3, w, 2), BatchNormAct2d(w, act_layer=act_layer))
        self.stages = nn.ModuleList([TimmBlock(w, w, 1, act_layer), TimmBlock(w, 2 * w, 2, act_layer)])
        self.head_drop, self.head = nn.Dropout(0.0), nn.Linear(2 * w, 10)

    def forward_features(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        x = self.head_drop(x.mean([2, 3]))
        return x if pre_logits else self.head(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))


class DenseLayer(nn.Module):
    def __init__(self, a: int, growth: int) -> None:
        super().__init__()
        self.norm1, self.relu1, self.conv1 = nn.BatchNorm2d(a), nn.ReLU(True), nn.Conv2d(a, 2 * growth, 1, bias=False)
        self.norm2, self.relu2 = nn.BatchNorm2d(2 * growth), nn.ReLU(True)
        self.conv2 = conv3x3(2 * growth, growth)

    def forward(self, features: list[Tensor]) -> Tensor:
        x = torch.cat(features, 1)
        return self.conv2(self.relu2(self.norm2(self.conv1(self.relu1(self.norm1(x))))))


class DenseNet(nn.Module):
    """BN, ReLU, conv; a list of features grows and is concatenated; a transition with an average pool."""

    def __init__(self, width: int = 1) -> None:
        super().__init__()
        growth, channels = 3 * width, 6 * width
        self.conv0 = conv3x3(3, channels)
        self.blocks, self.transitions = nn.ModuleList(), nn.ModuleList()
        for last in (False, True):
            self.blocks.append(nn.ModuleList(DenseLayer(channels + i * growth, growth) for i in range(3)))
            channels += 3 * growth
            self.transitions.append(nn.Identity() if last else nn.Sequential(
                nn.BatchNorm2d(channels), nn.ReLU(inplace=True), nn.Conv2d(channels, channels // 2, 1, bias=False),
                nn.AvgPool2d(2, 2),
            ))  # fmt: skip
            channels = channels if last else channels // 2
        self.norm5, self.classifier = nn.BatchNorm2d(channels), nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv0(x)
        for block, transition in zip(self.blocks, self.transitions):
            features = [x]
            for layer in block:
                features.append(layer(features))
            x = transition(torch.cat(features, 1))
        out = F.relu(self.norm5(x), inplace=True)
        return self.classifier(F.adaptive_avg_pool2d(out, (1, 1)).view(out.size(0), -1))


class BasicConv2d(nn.Module):
    def __init__(self, a: int, b: int, **kwargs: Any) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(a, b, bias=False, **kwargs), nn.BatchNorm2d(b, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Inception(nn.Module):
    def __init__(self, a: int, w: int) -> None:
        super().__init__()
        self.branch1 = BasicConv2d(a, w, kernel_size=1)
        self.branch2 = nn.Sequential(BasicConv2d(a, w, kernel_size=1), BasicConv2d(w, 2 * w, kernel_size=3, padding=1))
        self.branch3 = nn.Sequential(BasicConv2d(a, w, kernel_size=1), BasicConv2d(w, w, kernel_size=5, padding=2))
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True), BasicConv2d(a, w, kernel_size=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class GoogLeNet(nn.Module):
    """Branches of an inception block side by side."""

    def __init__(self, width: int = 1) -> None:
        super().__init__()
        w = 4 * width
        self.conv1, self.maxpool1 = BasicConv2d(3, w, kernel_size=3, stride=1), nn.MaxPool2d(3, 2, ceil_mode=True)
        self.inception3a, self.inception3b = Inception(w, w // 2), Inception(5 * (w // 2), w // 2)
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.dropout, self.fc = nn.Dropout(0.2), nn.Linear(5 * (w // 2), 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        return self.fc(self.dropout(F.adaptive_avg_pool2d(x, 1).flatten(1)))


class Leaky(nn.Module):
    """LeakyReLU and PReLU, as a discriminator has them."""

    def __init__(self, width: int = 1) -> None:
        super().__init__()
        w = 4 * width
        self.main = nn.Sequential(
            nn.Conv2d(3, w, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(w, 2 * w, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * w), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * w, 2 * w, 3, 1, 1), nn.PReLU(2 * w),
        )  # fmt: skip
        self.fc1, self.prelu, self.fc2 = nn.Linear(2 * w * 16, 16 * width), nn.PReLU(), nn.Linear(16 * width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.prelu(self.fc1(self.main(x).view(-1, self.fc1.in_features))))


class Mlp(nn.Module):
    """SiLU, GELU and one ReLU, with layer norm and a residual."""

    def __init__(self, width: int = 1) -> None:
        super().__init__()
        w = 16 * width
        self.inp, self.norm = nn.Linear(3 * 16 * 16, w), nn.LayerNorm(w)
        self.fc1, self.fc2, self.fc3, self.head = nn.Linear(w, w), nn.Linear(w, w), nn.Linear(w, w), nn.Linear(w, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.inp(x.flatten(1)))
        x = x + self.fc2(F.silu(self.fc1(self.norm(x))))
        return self.head(F.gelu(self.fc3(x)))


class AudioNet(nn.Module):
    """M5: one-dimensional convolutions on a waveform, mean over time, log_softmax."""

    def __init__(self, width: int = 1) -> None:
        super().__init__()
        w = 4 * width
        self.conv1, self.bn1, self.pool1 = nn.Conv1d(1, w, 16, 4), nn.BatchNorm1d(w), nn.MaxPool1d(4)
        self.conv2, self.bn2, self.pool2 = (
            nn.Conv1d(w, 2 * w, 3, padding="same"),
            nn.BatchNorm1d(2 * w),
            nn.MaxPool1d(4),
        )
        self.fc1 = nn.Linear(2 * w, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(F.relu(self.bn1(self.conv1(x))))
        x = self.pool2(F.relu(self.bn2(self.conv2(x))))
        x = F.avg_pool1d(x, x.shape[-1])
        x = self.fc1(x.permute(0, 2, 1))
        return F.log_softmax(x, dim=2).squeeze(1)


class DoubleConv(nn.Sequential):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(inplace=True),
                         nn.Conv2d(b, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(inplace=True))  # fmt: skip


class UNet(nn.Module):
    """Down, up by transposed convolution and by upsampling, skips padded to size and concatenated; an image comes out."""

    def __init__(self, width: int = 1) -> None:
        super().__init__()
        w = 3 * width
        self.inc, self.down1, self.down2 = DoubleConv(3, w), DoubleConv(w, 2 * w), DoubleConv(2 * w, 4 * w)
        self.up1, self.conv1 = nn.ConvTranspose2d(4 * w, 2 * w, 2, stride=2), DoubleConv(4 * w, 2 * w)
        self.up2, self.conv2 = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), DoubleConv(3 * w, w)
        self.outc = nn.Conv2d(w, 1, 1)

    @staticmethod
    def _joined(up: Tensor, skip: Tensor) -> Tensor:
        dy, dx = skip.size(2) - up.size(2), skip.size(3) - up.size(3)
        up = F.pad(up, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        return torch.cat([skip, up], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.inc(x)
        x2 = self.down1(F.max_pool2d(x1, 2))
        x3 = self.down2(F.max_pool2d(x2, 2))
        x = self.conv1(self._joined(self.up1(x3), x2))
        x = self.conv2(self._joined(self.up2(x), x1))
        return self.outc(x)


class Vit(nn.Module):
    """Patches, class token, position embedding, torch's encoder layer with ReLU in its MLP."""

    def __init__(self, width: int = 1) -> None:
        super().__init__()
        w = 8 * width
        self.patch = nn.Conv2d(3, w, 8, 8)
        self.cls, self.pos = nn.Parameter(0.1 * torch.randn(1, 1, w)), nn.Parameter(0.1 * torch.randn(1, 5, w))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(w, 2, 2 * w, dropout=0.0, batch_first=True, norm_first=True) for _ in range(2)
        )
        self.norm, self.head = nn.LayerNorm(w), nn.Linear(w, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.shape[0], -1, -1), x], 1) + self.pos
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x)[:, 0])


class Asserting(nn.Module):
    """Branches on shapes and asserts, which fx alone cannot trace."""

    def __init__(self, width: int = 1) -> None:
        super().__init__()
        w = 4 * width
        self.conv, self.bn, self.fc1 = nn.Conv2d(3, w, 3), nn.BatchNorm2d(w), nn.Linear(w * 49, 16 * width)
        self.fc2 = nn.Linear(16 * width, 10)

    def forward(self, x: Tensor) -> Tensor:
        assert x.dim() == 4 and x.shape[1] == 3, "images"
        batch, _, height, width = x.shape
        if height > 32 or width > 32:
            x = F.interpolate(x, (32, 32))
        x = F.relu(self.bn(self.conv(x)))
        if x.shape[-1] % 2 == 0:
            x = F.avg_pool2d(x, 2)
        return self.fc2(torch.relu(self.fc1(x.reshape(batch, -1))))


class SnnTorchTutorial(nn.Module):
    """The network of snnTorch's convolutional tutorial, trained as an ANN first; weights come as a file."""

    def __init__(self, width: int = 1) -> None:
        super().__init__()
        w = 4 * width
        self.conv1, self.conv2, self.fc1 = nn.Conv2d(1, w, 5), nn.Conv2d(w, 4 * w, 5), nn.Linear(4 * w * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        batch_size = x.size(0)
        cur1 = F.max_pool2d(self.conv1(x), 2).relu()
        cur2 = F.max_pool2d(self.conv2(cur1), 2).relu()
        return self.fc1(cur2.view(batch_size, -1))


def snntorch_file(width: int = 1) -> nn.Module:
    """The class, with a state_dict that went through a file."""
    model, trained = SnnTorchTutorial(width), SnnTorchTutorial(width)
    with tempfile.TemporaryDirectory() as folder:
        torch.save(trained.state_dict(), Path(folder) / "weights.pt")
        model.load_state_dict(torch.load(Path(folder) / "weights.pt", weights_only=True))
    return model


def mnist8_file(width: int = 1) -> nn.Module:
    """A file of the shape of the ONNX model zoo's MNIST-8: SAME_UPPER, biases as Add, Reshape to [1, 256], MatMul."""
    from onnx import TensorProto, helper, numpy_helper, save

    from spikesim.conversion import OnnxModel

    a, b = 8 * width, 16 * width
    drawn = {
        "w1": (a, 1, 5, 5),
        "b1": (a, 1, 1),
        "w2": (b, a, 5, 5),
        "b2": (b, 1, 1),
        "w3": (b, 4, 4, 10),
        "b3": (1, 10),
    }
    weights = [numpy_helper.from_array((torch.randn(shape) / max(1.0, shape[1] * 25) ** 0.5).numpy(), name)
               for name, shape in drawn.items()]  # fmt: skip
    shapes = {"to": [1, b * 16], "wide": [b * 16, 10]}
    weights += [numpy_helper.from_array(torch.tensor(v).numpy(), k) for k, v in shapes.items()]
    same = {"kernel_shape": [5, 5], "strides": [1, 1], "auto_pad": "SAME_UPPER", "dilations": [1, 1], "group": 1}
    plan: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Reshape", ["w3", "wide"], "w", {}), ("Conv", ["x", "w1"], "c1", same), ("Add", ["c1", "b1"], "a1", {}),
        ("Relu", ["a1"], "r1", {}), ("MaxPool", ["r1"], "p1", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Conv", ["p1", "w2"], "c2", same), ("Add", ["c2", "b2"], "a2", {}), ("Relu", ["a2"], "r2", {}),
        ("MaxPool", ["r2"], "p2", {"kernel_shape": [3, 3], "strides": [3, 3]}), ("Reshape", ["p2", "to"], "f", {}),
        ("MatMul", ["f", "w"], "m", {}), ("Add", ["m", "b3"], "y", {}),
    ]  # fmt: skip
    nodes = [helper.make_node(kind, given, [out], name=out, **more) for kind, given, out, more in plan]
    ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 28, 28])]
    out = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 10])]
    graph = helper.make_graph(nodes, "mnist", ends, out, weights)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mnist8.onnx"
        save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 8)], ir_version=3), path)
        return OnnxModel(path)


@dataclass(frozen=True)
class Entry:
    """One of the zoo: build(width) -> network; shape of one input; whether it is piecewise linear up to a softmax."""

    build: Callable[[int], nn.Module]
    shape: tuple[int, ...]
    lossless: bool = True

    def network(self, width: int = 1, seed: int = 0) -> nn.Module:
        """With weights and statistics of normalisations drawn from `seed`, in eval mode."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = self.build(width)
            for module in model.modules():
                if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)):
                    nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                    module.running_mean.normal_(0, 0.2)  # type: ignore[union-attr]
                    module.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
                    module.weight.data.uniform_(0.5, 1.5)
                    module.bias.data.normal_(0, 0.2)
        return model.eval()

    def inputs(self, n: int, seed: int = 1) -> Tensor:
        """(n, *shape): blurred noise in 0..1."""
        x = torch.rand(n, *self.shape, generator=torch.Generator().manual_seed(seed))
        if len(self.shape) < 3:
            return x - 0.5
        soft = F.avg_pool2d(F.pad(x, (2, 2, 2, 2), "reflect"), 5, 1)
        return ((soft - soft.mean()) / soft.std() / 4 + 0.5).clamp(0, 1)


IMAGE, DIGIT = (3, 16, 16), (1, 28, 28)
ZOO: dict[str, Entry] = {
    "resnet20": Entry(ResNet20, IMAGE), "vgg11_bn": Entry(Vgg11Bn, (3, 32, 32)), "mnist": Entry(MnistExample, DIGIT),
    "mobilenet_v2": Entry(MobileNetV2, IMAGE), "timm": Entry(TimmStyle, IMAGE), "densenet": Entry(DenseNet, IMAGE),
    "inception": Entry(GoogLeNet, IMAGE), "leaky": Entry(Leaky, IMAGE), "mlp": Entry(Mlp, IMAGE, lossless=False),
    "audio": Entry(AudioNet, (1, 512)), "unet": Entry(UNet, IMAGE), "vit": Entry(Vit, IMAGE, lossless=False),
    "onnx_mnist8": Entry(mnist8_file, DIGIT), "asserting": Entry(Asserting, IMAGE),
    "snntorch": Entry(snntorch_file, DIGIT),
}  # fmt: skip
"""Name -> network, in the order of the list."""
