"""Small networks written the way other people write them, with random weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def seeded(kind: type[nn.Module], seed: int = 0) -> nn.Module:
    """An instance with weights, and running statistics of its normalisations, drawn from `seed`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = kind()
        for module in model.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 2.0)
                if module.affine:
                    module.weight.data.uniform_(0.5, 1.5)
                    module.bias.data.normal_(0, 0.2)
    return model


class Functional(nn.Module):
    """The PyTorch tutorial's style: F.relu, F.max_pool2d, view."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 6, 3)
        self.fc1, self.fc2 = nn.Linear(6, 12), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.relu(F.max_pool2d(F.dropout(self.conv2(x), training=self.training), 2))
        x = x.view(-1, 6)
        return self.fc2(F.relu(self.fc1(x)))


class Vgg(nn.Module):
    """torchvision's style: nested Sequentials, BN, in-place ReLU, adaptive pool, a classifier with Dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            nn.Sequential(nn.Conv2d(4, 8, 3, padding=1, groups=2), nn.BatchNorm2d(8), nn.ReLU(inplace=True)),
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Linear(8, 16), nn.ReLU(True), nn.Dropout(), nn.Linear(16, 5))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class Lenet(nn.Sequential):
    """Average pools, one of them on the raw input."""

    def __init__(self) -> None:
        super().__init__(
            nn.AvgPool2d(2), nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(4, 6, 2), nn.ReLU(),
            nn.AvgPool2d(3, 1, padding=1), nn.Flatten(), nn.Linear(6 * 2 * 2, 5),
        )  # fmt: skip


class NormAfter(nn.Sequential):
    """BN on the input, after ReLU, and after a linear layer; one without affine parameters."""

    def __init__(self) -> None:
        super().__init__(
            nn.BatchNorm2d(1), nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.BatchNorm2d(4), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(16, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.BatchNorm1d(12, affine=False),
            nn.Linear(12, 5),
        )  # fmt: skip


class Shared(nn.Module):
    """One in-place ReLU and one linear layer used twice, and an in-place call whose result nobody takes."""

    def __init__(self) -> None:
        super().__init__()
        self.act, self.flat = nn.ReLU(inplace=True), nn.Flatten()
        self.conv, self.mid, self.head = nn.Conv2d(1, 2, 3, stride=3), nn.Linear(32, 32), nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.flat(self.act(self.conv(x)))
        x = self.mid(self.act(self.mid(x)))
        F.relu_(x)
        return self.head(x)


class Asserting(nn.Module):
    """Branches on shapes: fx cannot trace it, torch.export can."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3))
        self.fc = nn.Linear(3 * 6 * 6, 5)

    def forward(self, x: Tensor) -> Tensor:
        batch, _channels, height, width = x.shape
        if height != width:
            raise ValueError("square images only")
        x = F.avg_pool2d(F.relu(self.stem(x)), 2)
        return self.fc(x.reshape(batch, -1))


class ReluLast(nn.Sequential):
    """Ends with an activation."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(1, 3, 5, stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(27, 6), nn.ReLU())


class Residual(nn.Module):
    """A block with `out += identity` and the ReLU after it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv1, self.conv2 = (nn.Conv2d(a, 4, 3, padding=1) for a in (1, 4, 4))
        self.bn, self.relu, self.fc = nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Linear(4 * 4 * 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.relu(self.stem(x)), 3)
        identity = x
        out = self.bn(self.conv2(self.relu(self.conv1(x))))
        out += identity
        return self.fc(self.relu(out).flatten(1))


class Scaled(nn.Conv2d):
    """A user's subclass of a layer with a forward of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * 2, self.bias, self.stride, self.padding)


class Subclassed(nn.Sequential):
    """A subclassed convolution, and weights under a parametrisation."""

    def __init__(self) -> None:
        linear = nn.utils.parametrizations.weight_norm(nn.Linear(50, 5))
        super().__init__(Scaled(1, 2, 3, stride=2), nn.ReLU(), nn.Flatten(), linear)


STRANGERS = (Functional, Vgg, Lenet, NormAfter, Shared, Asserting, ReluLast, Residual, Subclassed)
