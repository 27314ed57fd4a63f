"""A ResNet-20 and a VGG-like network for CIFAR-10 (JPEG), trained on one core: the subjects of `cifar_recipes`.

    python -m benchmarks.cifar_nets resnet20
    python -m benchmarks.cifar_nets vgg
    python -m benchmarks.cifar_nets resnet20-qcfs        # the trained network with quantised activations, fine-tuned
    python -m benchmarks.cifar_nets vgg-qcfs

Needs $SPIKESIM_SHARED, the folder of the shared data. Weights, a checkpoint per epoch (a stopped run goes on from it)
and a log of epochs go to $SPIKESIM_WORK/cifar (default: ~/.cache/spikesim/cifar). The last 2,000 training images are
kept out of training: they are for choosing, the test images for the final figures only.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from spikesim.conversion import Qcfs, replace_activations
from spikesim.core.seeds import Seeds
from spikesim.datasets import load
from spikesim.datasets.base import ArrayDataset
from spikesim.training import CrossEntropy, Epoch, TensorBatches, Training, fit
from spikesim.training.augment import RandomCrop

MEAN, DEVIATION = (0.491, 0.482, 0.447), (0.245, 0.243, 0.261)
HELD_BACK, CALIBRATION = 2000, 512


class Block(nn.Module):
    """Two convolutions and a shortcut; the ReLU module is shared and in place, the sum too."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or width_in != width:
            self.downsample = nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class ResNet20(nn.Module):
    """ResNet-20 for 32 x 32 images: stem, three stages of `blocks` blocks, mean over the map, one linear layer."""

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64), blocks: int = 3) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        stages: list[nn.Module] = []
        for width_in, width, stride in zip((widths[0], *widths[:-1]), widths, (1, 2, 2)):
            first = Block(width_in, width, stride)
            stages.append(nn.Sequential(first, *(Block(width, width, 1) for _ in range(blocks - 1))))
        self.layers = nn.Sequential(*stages)
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(widths[-1], 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(self.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class Vgg(nn.Module):
    """Convolutions with batch normalisation and max pools (0 in the plan), then two linear layers."""

    def __init__(self, plan: tuple[int, ...] = (32, 0, 64, 64, 0, 128, 128, 0, 128, 128, 0), hidden: int = 128) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = 3
        for wanted in plan:
            if not wanted:
                layers.append(nn.MaxPool2d(2, 2))
                continue
            convolution = nn.Conv2d(width, wanted, 3, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(wanted), nn.ReLU(inplace=True)]
            width = wanted
        self.features = nn.Sequential(*layers)
        side = 32 >> plan.count(0)
        self.classifier = nn.Sequential(nn.Linear(width * side * side, hidden), nn.ReLU(True), nn.Linear(hidden, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.features(x), 1))


@dataclass(frozen=True)
class Subject:
    """A network and how it is trained: samples, the training images that are used; levels of its activations, if quantised."""

    build: Callable[[], nn.Module]
    training: Training
    batch_size: int = 128
    smoothing: float = 0.0
    samples: int = 48_000
    levels: int = 8


NETS = {
    "resnet20": Subject(ResNet20, Training(epochs=6, learning_rate=1e-2, weight_decay=0.05)),
    "vgg": Subject(Vgg, Training(epochs=6, learning_rate=4e-3, weight_decay=0.05)),
}


TUNED = {
    "resnet20": Subject(ResNet20, Training(epochs=6, learning_rate=2e-3, weight_decay=0.05), levels=4),
    "vgg": Subject(Vgg, Training(epochs=4, learning_rate=1e-3, weight_decay=0.05), levels=4),
}
"""How the networks are fine-tuned with quantised activations."""

SUFFIX = "-qcfs"


def folder() -> Path:
    """Where weights are kept, outside the repository."""
    path = Path(os.environ.get("SPIKESIM_WORK", Path.home() / ".cache" / "spikesim")) / "cifar"
    path.mkdir(parents=True, exist_ok=True)
    return path


def normalised(data: ArrayDataset) -> ArrayDataset:
    """Inputs of the networks: channels less their mean over their deviation."""
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, DEVIATION))
    return replace(data, x=(data.x - mean) / deviation)


def images() -> tuple[ArrayDataset, ArrayDataset, ArrayDataset]:
    """Training (48,000), validation (2,000) and test (8,000) images, normalised."""
    data = normalised(load(Path(os.environ.get("SPIKESIM_SHARED", "")) / "cifar10_jpeg.npz"))
    train = data.part("train")
    rows = np.arange(len(train))
    return train.subset(rows[:-HELD_BACK]), train.subset(rows[-HELD_BACK:]), data.part("test")


def trained(name: str) -> nn.Module:
    """A trained network of NETS, or with SUFFIX its fine-tuned copy; batch normalisations as they are."""
    base = name.removesuffix(SUFFIX)
    model = NETS[base].build().eval()
    if name.endswith(SUFFIX):
        ramp = torch.linspace(-2, 2, 3 * 32 * 32).view(1, 3, 32, 32)  # thresholds come from the file
        model = replace_activations(model, Qcfs(TUNED[base].levels), calibration=ramp)
    model.load_state_dict(load_file(folder() / f"{name}.safetensors"))
    return model.eval()


def fresh(subject: Subject) -> nn.Module:
    """An untrained network, its weights drawn with seed 0."""
    torch.manual_seed(Seeds(0).child("weights").key & 0x7FFF_FFFF)
    return subject.build()


def train(name: str, model: nn.Module, subject: Subject, data: ArrayDataset, out: Path) -> nn.Module:
    """Train, store weights, and log each epoch with its wall and processor seconds as a JSON line."""
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    n = subject.samples
    batches = TensorBatches(data.x[:n], torch.tensor(data.labels[:n]), subject.batch_size, RandomCrop())
    started = [time.perf_counter(), time.process_time()]

    def watch(epoch: Epoch) -> None:
        now = [time.perf_counter(), time.process_time()]
        line = {"net": name, "epoch": epoch.number, "loss": epoch.loss, "train_accuracy": epoch.accuracy}
        line |= {"wall_s": round(now[0] - started[0], 1), "processor_s": round(now[1] - started[1], 1)}
        started[:] = now
        with (out / f"{name}.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")

    checkpoint = out / f"{name}.checkpoint.safetensors"
    loss = CrossEntropy(subject.smoothing)
    fit(model, batches, loss, subject.training, seeds=Seeds(0), checkpoint=checkpoint, watch=watch)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, out / f"{name}.safetensors")
    return model


def main(name: str) -> None:
    """Train or fine-tune the network called `name`."""
    data, out, base = images()[0], folder(), name.removesuffix(SUFFIX)
    if name == base:
        train(name, fresh(NETS[name]), NETS[name], data, out)
        return
    rows = np.random.default_rng(0).permutation(len(data.x))[:CALIBRATION]
    model = replace_activations(trained(base), Qcfs(TUNED[base].levels), calibration=data.x[rows])
    train(name, model, TUNED[base], data, out)


if __name__ == "__main__":
    for wanted in sys.argv[1:]:
        main(wanted)
