"""Networks of the single-timestep paper, as plain torch modules: VGG-5, 9, 11, 16 and ResNet-20, at any width.

    conv 3x3 (no bias) - [batch normalisation] - ReLU - dropout, or an average pool in the dropout's place

Chowdhury et al. 2021, arXiv 2110.05929, and its code: 4 to 16 layers with weights, average pools, one dropout share for all.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from .core.params import number
from .errors import ParameterError, must, nearest

POOL = 0
PLANS: dict[str, tuple[int, ...]] = {
    "vgg5": (64, POOL, 128, 128, POOL),
    "vgg9": (64, POOL, 128, 256, POOL, 256, 512, POOL, 512, POOL, 512),
    "vgg11": (64, POOL, 128, 256, POOL, 512, 512, POOL, 512, POOL, 512, 512),
    "vgg16": (64, 64, POOL, 128, 128, POOL, 256, 256, 256, POOL, 512, 512, 512, POOL, 512, 512, 512),
}
"""Channels of convolutions in order; POOL halves the map. Fully connected layers make up the number in the name."""
STAGES = (64, 128, 256, 512)
KNOWN = (*PLANS, "resnet20")


def must_be_known(name: str) -> None:
    """Refuse a name that is no architecture's."""
    if name not in KNOWN:
        raise ParameterError(must("architecture.name", f"one of {', '.join(KNOWN)}", name, nearest(name, KNOWN)))


def architecture(
    name: str, shape: tuple[int, int, int], classes: int, *, width: float = 1.0, hidden: int = 4096,
    batch_norm: bool = False, dropout: float = 0.2,
) -> nn.Module:  # fmt: skip
    """The ANN called `name` for inputs of `shape` (C, H, W): "vgg5", "vgg9", "vgg11", "vgg16", "resnet20".

    width    all channels (and `hidden`) times this         hidden      neurons of a VGG's hidden fully connected layers
    dropout  share of values dropped                        batch_norm  after every convolution
    Weights: convolutions N(0, 2 / (k^2 C_out)), linear layers N(0, 0.01^2), or torch's own with batch_norm.
    """
    number("architecture.width", width, above=0)
    number("architecture.hidden", hidden, at_least=1, integer=True)
    number("architecture.dropout", dropout, at_least=0, below=1)
    must_be_known(name)
    model: nn.Module
    if name == "resnet20":
        model = ResNet20(shape, classes, width=width, batch_norm=batch_norm, dropout=dropout)
    else:
        model = _vgg(name, shape, classes, _scaled(hidden, width), width, batch_norm, dropout)
    if not batch_norm:
        model.apply(_initialised)
    return model


def _scaled(channels: int, width: float) -> int:
    return max(1, round(channels * width))


def _initialised(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        spread = math.sqrt(2 / (module.kernel_size[0] * module.kernel_size[1] * module.out_channels))
        nn.init.normal_(module.weight, 0, spread)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)


def _conv(inputs: int, outputs: int, batch_norm: bool, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return [layer, nn.BatchNorm2d(outputs)] if batch_norm else [layer]


def _vgg(
    name: str, shape: tuple[int, int, int], classes: int, hidden: int, width: float, batch_norm: bool, dropout: float,
) -> nn.Sequential:  # fmt: skip
    (channels, height, wide), layers, plan = shape, list[nn.Module](), PLANS[name]
    for wanted, following in zip(plan, (*plan[1:], None)):
        if wanted == POOL:
            layers.append(nn.AvgPool2d(2))
            height, wide = height // 2, wide // 2
            continue
        layers += [*_conv(channels, _scaled(wanted, width), batch_norm), nn.ReLU()]
        if following != POOL:
            layers.append(nn.Dropout(dropout))
        channels = _scaled(wanted, width)
    if not height or not wide:
        raise ParameterError(
            must("architecture.shape", f"at least {2 ** plan.count(POOL)} pixels high and wide", shape)
        )
    layers.append(nn.Flatten())
    size = channels * height * wide
    for _ in range(int(name.removeprefix("vgg")) - sum(n != POOL for n in plan) - 1):
        layers += [nn.Linear(size, hidden, bias=False), nn.ReLU(), nn.Dropout(dropout)]
        size = hidden
    return nn.Sequential(*layers, nn.Linear(size, classes, bias=False))


class Block(nn.Module):
    """Two convolutions; the shortcut (1x1 where shapes differ) is added before the second ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int, batch_norm: bool, dropout: float) -> None:
        super().__init__()
        first, second = _conv(inputs, outputs, batch_norm, stride=stride), _conv(outputs, outputs, batch_norm)
        self.residual = nn.Sequential(*first, nn.ReLU(), nn.Dropout(dropout), *second)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(*_conv(inputs, outputs, batch_norm, 1, stride))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W)"""
        return self.relu(self.residual(x) + self.shortcut(x))  # type: ignore[no-any-return]


class ResNet20(nn.Module):
    """Three convolutions and an average pool, four stages of two blocks, mean over the map, one linear layer."""

    def __init__(
        self, shape: tuple[int, int, int], classes: int, *, width: float, batch_norm: bool, dropout: float
    ) -> None:  # fmt: skip
        super().__init__()
        channels, widths = shape[0], [_scaled(n, width) for n in STAGES]
        stem: list[nn.Module] = []
        for last in (False, False, True):
            stem += [
                *_conv(channels, widths[0], batch_norm),
                nn.ReLU(),
                nn.AvgPool2d(2) if last else nn.Dropout(dropout),
            ]
            channels = widths[0]
        blocks = []
        for stage, wanted in enumerate(widths):
            for stride in (1 if stage == 0 else 2, 1):
                blocks.append(Block(channels, wanted, stride, batch_norm, dropout))
                channels = wanted
        self.stem, self.blocks = nn.Sequential(*stem), nn.Sequential(*blocks)
        self.pool, self.flat = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.classifier = nn.Linear(channels, classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, classes)"""
        return self.classifier(self.flat(self.pool(self.blocks(self.stem(x)))))  # type: ignore[no-any-return]
