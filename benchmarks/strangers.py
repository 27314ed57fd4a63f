"""Networks trained by other people, converted without retraining: what each recipe loses at each T.

Builders return (module, transform): the network, and what makes its inputs of a data set. One command each, with the
shared data's folder as D:

    spikesim convert D/checkpoints/mnist-8.onnx --calibrate D/mnist.npz --test D/mnist.npz
    spikesim convert benchmarks.strangers:resnet14 --weights D/checkpoints/cifar10_resnet14v1_weights.npz \\
        --calibrate D/cifar10_jpeg.npz --test D/cifar10_jpeg.npz

`python -m benchmarks strangers` measures all of them, a network after the other, and goes on where it was interrupted;
it needs $SPIKESIM_SHARED, the folder of the shared data.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

import spikesim as ss
from benchmarks.harness import resumed
from spikesim.conversion import OnnxModel, layer_synchronous
from spikesim.datasets import load
from spikesim.datasets.base import ArrayDataset, EventDataset
from spikesim.early_exit import chosen_lead, exits, running_readouts
from spikesim.evaluation import Evaluation, evaluate, evaluate_ann, paired_gap

Transform = Callable[[Any], ArrayDataset]
CALIBRATION = 512


def sinabs_mnist() -> tuple[nn.Module, Transform]:
    """sinabs' MNIST example: no biases, pixels of 0..255."""
    layers: list[nn.Module] = []
    for a, b, k in ((1, 20, 5), (20, 32, 5), (32, 128, 3)):
        layers += [nn.Conv2d(a, b, k, bias=False), nn.ReLU(), nn.AvgPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(128, 500, bias=False), nn.ReLU(), nn.Linear(500, 10, bias=False)]
    return nn.Sequential(*layers), lambda data: replace(data, x=data.x * 255)


class Thirds(nn.Module):
    """A network of one third of a recording, summed over the three thirds (B, 6, 34, 34): thirds' polarities in order."""

    def __init__(self, third: nn.Module) -> None:
        super().__init__()
        self.third = third

    def load_state_dict(self, tensors: Any, *args: Any, **kwargs: Any) -> Any:
        """The file holds one third's weights."""
        return self.third.load_state_dict(tensors, *args, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        return self.third(x[:, 0:2]) + self.third(x[:, 2:4]) + self.third(x[:, 4:6])


class SumPool(nn.Module):
    """2 x 2 sums."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, 2) * 4


def nir_nmnist() -> tuple[nn.Module, Transform]:
    """The NIR paper's N-MNIST network: event counts of thirds, three outputs summed."""
    third = nn.Sequential(
        nn.Conv2d(2, 16, 5, 2, 1, bias=False), nn.ReLU(), nn.Conv2d(16, 16, 3, 1, 1, bias=False), nn.ReLU(), SumPool(),
        nn.Conv2d(16, 8, 3, 1, 1, bias=False), nn.ReLU(), SumPool(), nn.Flatten(),
        nn.Linear(128, 256, bias=False), nn.ReLU(), nn.Linear(256, 10, bias=False), nn.ReLU(),
    )  # fmt: skip

    def thirds(data: EventDataset) -> ArrayDataset:
        x = torch.cat([data.raster(3, np.arange(i, min(i + 90, len(data)))) for i in range(0, len(data), 90)], 1)
        return ArrayDataset(x.transpose(0, 1).flatten(1, 2), data.labels, data.sample_ids, data.name, data.split)

    return Thirds(third), thirds


class Lenet(nn.Module):
    """The PyTorch tutorial's CIFAR-10 network."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        x = x.view(-1, 400)
        return self.fc3(functional.relu(self.fc2(functional.relu(self.fc1(x)))))


def lenet() -> tuple[nn.Module, Transform]:
    """Inputs in -1..1."""
    return Lenet(), lambda data: replace(data, x=(data.x - 0.5) / 0.5)


class ResNet14(nn.Module):
    """CrossSim's ResNet-14 v1, a Keras network: layers are numbered as there, weights are taken under Keras' names."""

    def __init__(self) -> None:
        super().__init__()
        plan = ((3, 16, 3, 1), *[(16, 16, 3, 1)] * 4, (16, 32, 3, 2), (32, 32, 3, 1), (16, 32, 1, 2),
                *[(32, 32, 3, 1)] * 2, (32, 64, 3, 2), (64, 64, 3, 1), (32, 64, 1, 2), *[(64, 64, 3, 1)] * 2)  # fmt: skip
        widths = [16] * 5 + [32] * 4 + [64] * 4
        self.conv2d = nn.ModuleList(nn.Conv2d(a, b, k, s) for a, b, k, s in plan)
        self.norm = nn.ModuleList(nn.BatchNorm2d(w, eps=1e-3) for w in widths)
        self.dense = nn.Linear(64, 10)

    def load_state_dict(self, tensors: Any, *args: Any, **kwargs: Any) -> Any:
        """Keras' kernels (kh, kw, in, out) in torch's order."""
        renamed = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
        found = {}
        for name, value in tensors.items():
            layer, _, field = name.partition("/")
            if not field:
                continue
            kind, _, number = layer.rpartition("_")
            value = torch.as_tensor(value)
            if field == "kernel":
                value = value.permute(3, 2, 0, 1) if value.ndim == 4 else value.t()
            place = {"conv2d": "conv2d.", "batch_normalization": "norm.", "dense": "dense"}[kind]
            where = place if kind == "dense" else f"{place}{int(number) - 1}"
            found[f"{where}.{renamed.get(field, 'weight' if field == 'kernel' else field)}"] = value
        found |= {k: v for k, v in self.state_dict().items() if k.endswith("num_batches_tracked")}
        return super().load_state_dict(found, *args, **kwargs)

    def _convolved(self, i: int, x: Tensor) -> Tensor:
        k, s = self.conv2d[i].kernel_size[0], self.conv2d[i].stride[0]
        room = max((-(-x.shape[-1] // s) - 1) * s + k - x.shape[-1], 0)  # Keras' "same"
        small = room // 2
        return self.conv2d[i](functional.pad(x, (small, room - small, small, room - small)))

    def forward(self, x: Tensor) -> Tensor:
        x, conv, norm = functional.relu(self.norm[0](self._convolved(0, x))), 1, 1
        for block in range(6):
            y = functional.relu(self.norm[norm](self._convolved(conv, x)))
            y = self.norm[norm + 1](self._convolved(conv + 1, y))
            conv, norm = conv + 2, norm + 2
            if block in (2, 4):
                x, conv = self._convolved(conv, x), conv + 1
            x = functional.relu(x + y)
        return self.dense(functional.avg_pool2d(x, 8).flatten(1))


def resnet14() -> tuple[nn.Module, Transform]:
    """Inputs in 0..1 less the mean of every pixel over the training images."""
    means: list[Tensor] = []

    def centred(data: ArrayDataset) -> ArrayDataset:
        if not means:  # the first data set that is asked for is the calibration data, of the training part
            means.append(data.x.mean(0))
        return replace(data, x=data.x - means[0])

    return ResNet14(), centred


FILES: dict[str, tuple[str, str, Any]] = {
    "mnist-8": ("mnist-8.onnx", "mnist.npz", None),
    "sinabs_mnist": ("sinabs_mnist_relu_cnn.pt", "mnist.npz", sinabs_mnist),
    "nir_nmnist": ("nir_nmnist_relu_cnn.pth", "nmnist_small.npz", nir_nmnist),
    "cifar10_lenet": ("cifar10_lenet.pth", "cifar10_jpeg.npz", lenet),
    "cifar10_resnet14": ("cifar10_resnet14v1_weights.npz", "cifar10_jpeg.npz", resnet14),
}
"""Name -> checkpoint, data set, builder."""


def stranger(name: str, folder: Path) -> tuple[nn.Module, ArrayDataset, ArrayDataset]:
    """The network, its calibration inputs (of the training part) and its test inputs."""
    from spikesim.cli.models import read_weights

    file, data_name, builder = FILES[name]
    data, path = load(folder / data_name), folder / "checkpoints" / file
    module, transform = (OnnxModel(path), lambda data: data) if builder is None else builder()
    if builder is not None:
        module.load_state_dict(read_weights(path))
    train = data.part("train")
    learn = transform(train)
    learn = learn.subset(np.random.default_rng(0).permutation(len(learn))[:CALIBRATION])
    held_out = transform(data if name == "nir_nmnist" else data.part("test"))  # N-MNIST: all 990, see the README
    return module.eval(), learn, held_out


PLAN: tuple[tuple[str, int], ...] = (
    ("signed", 32), ("levels", 4), ("levels", 8), ("binary", 8), ("binary", 32), ("advanced", 32), ("cos", 16),
)  # fmt: skip
"""Recipe, T: on all test inputs."""

SHORT = tuple((recipe, steps) for steps in (1, 2, 4, 8, 16) for recipe in ("auto", "signed"))
"""Recipe, T: on the first `FEW` test inputs."""

FEW = 2000

BATCH = 10


def measure() -> list[dict[str, Any]]:
    """Rows {stranger, recipe, steps, ann_accuracy, accuracy, drop_points, standard_error_points, samples ...}."""
    return resumed("strangers", cases(os.environ.get("STRANGERS", ",".join(FILES)).split(",")), row_of)


def cases(names: Iterable[str]) -> list[dict[str, Any]]:
    """Every stranger through the plan."""
    plan = [(recipe, steps, None) for recipe, steps in PLAN] + [(recipe, steps, FEW) for recipe, steps in SHORT]
    return [
        {"stranger": name, "recipe": recipe, "steps": steps, "most": most}
        for name in names
        for recipe, steps, most in plan
    ]


def row_of(case: dict[str, Any]) -> dict[str, Any]:
    """One network beside its ANN; the shared data is in $SPIKESIM_SHARED."""
    folder = Path(os.environ.get("SPIKESIM_SHARED", "")).resolve()
    ann, learn, held_out, reference = _read(case["stranger"], folder)
    return measured(
        case, ann, learn, held_out.subset(range(min(case["most"] or len(held_out), len(held_out)))), reference
    )


@lru_cache(maxsize=1)
def _read(name: str, folder: Path) -> tuple[nn.Module, ArrayDataset, ArrayDataset, Evaluation]:
    ann, learn, held_out = stranger(name, folder)
    return ann, learn, held_out, evaluate_ann(ann, held_out, batch=BATCH)


def measured(
    case: dict[str, Any], ann: nn.Module, learn: ArrayDataset, held_out: ArrayDataset, reference: Evaluation
) -> dict[str, Any]:
    """Conversion on `learn`, accuracy on `held_out`, whose first samples `reference` has the ANN's scores of."""
    recipe, steps, started = case["recipe"], case["steps"], time.perf_counter()
    network, report = ss.convert(ann, calibration=learn.x, steps=steps, recipe=recipe)
    seconds, more = time.perf_counter() - started, {}
    if recipe == "signed" and steps >= 32:
        running = running_readouts(network, held_out, steps=steps, batch=BATCH)
        found = Evaluation(running[-1].numpy(), held_out.labels)
        more = _early(network, learn, held_out, running)
    else:
        found = evaluate(network, held_out, steps=steps, batch=BATCH)
    if recipe == "cos":
        oracle = evaluate(layer_synchronous(network, steps // 2), held_out, steps=1, batch=BATCH)
        more = {"oracle_steps": steps // 2, "oracle_accuracy": oracle.accuracy}
    shown = Evaluation(reference.scores[: len(held_out)], held_out.labels)
    return {
        **compared(shown, found), "chosen": report.recipe, "calibrated": len(learn), "seed": 0, **more,
        "convert_s": round(seconds, 1), "run_s": round(time.perf_counter() - started - seconds, 1),
    }  # fmt: skip


def _early(network: ss.Network, learn: ArrayDataset, held_out: ArrayDataset, running: Tensor) -> dict[str, Any]:
    """Early exit by leads that the calibration inputs choose, beside the whole run."""
    early = exits(running, chosen_lead(network, learn, steps=len(running)))
    whole, found = (Evaluation(scores.numpy(), held_out.labels) for scores in (running[-1], early.readout))
    gap, error = paired_gap(whole.right, found.right)
    return {
        "early_accuracy": found.accuracy, "early_mean_steps": float(early.steps.double().mean()),
        "early_drop_points": -100 * gap, "early_standard_error_points": 100 * error,
    }  # fmt: skip


def compared(reference: Evaluation, found: Evaluation) -> dict[str, Any]:
    """A network beside its ANN on the same samples."""
    gap, error = paired_gap(reference.right, found.right)
    agreement = float((reference.scores.argmax(1) == found.scores.argmax(1)).mean())
    return {
        "ann_accuracy": reference.accuracy, "accuracy": found.accuracy, "drop_points": -100 * gap,
        "standard_error_points": 100 * error, "agreement": agreement, "samples": len(reference.labels), "chance": 0.1,
    }  # fmt: skip
