"""What pictures are compared in: features of a classifier, and the classes it sees. No network comes with the package.

    shown       low + (high - low) (x + 1) / 2,   x in [-1, 1], resized to what the network takes (bilinear, antialiased)
    features    the input of one of its layers, as a rule the last linear one: (N, d)
    classes     softmax of its outputs: (N, classes)

A distance of features means something only beside their name, and two of differently named features are not comparable.
"FID" is that of one published Inception network: whoever has its weights as an ONNX file reads it by `features_of_file` and
may call the result so. TorchScript files hold code and are not read.

Heusel et al., NeurIPS 2017 (Inception features); Parmar et al., CVPR 2022 (what resizing without antialiasing does to them).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..conversion.onnx_file import OnnxModel
from ..conversion.sketch import Sketch
from ..core.params import check, number
from ..errors import ConversionError, ParameterError, ShapeError, must, nearest
from ..network import INPUT

TOLERANCE = 1e-3
"""How far beyond [-1, 1] rounding may bring a pixel; what is beyond is clipped."""


@dataclass(frozen=True, eq=False)
class Classifier:
    """A network that looks at pictures. Made by `classifier_of`, `classifier_of_file` or `features_of_file`.

    name           of the features: which network, which layer
    network        x (N, *shape) of low ... high -> outputs (N, classes); put into evaluation mode while it looks
    shape          (C, H, W) that it takes
    layer          a module of it whose input the features are; None where they are the output, and there are no classes
    classes        0 where there are none
    probabilities  whether the outputs are probabilities, not logits
    cropped        whether larger pictures lose their border instead of being resized: for those that were padded
    """

    name: str
    network: nn.Module
    shape: tuple[int, int, int]
    layer: nn.Module | None = None
    classes: int = 0
    low: float = 0.0
    high: float = 1.0
    probabilities: bool = False
    cropped: bool = False

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ParameterError(must("Classifier.name", "the name of network and layer", self.name))
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ParameterError(must("Classifier.shape", "(C, H, W), each at least 1", tuple(self.shape)))
        check(self, "low")
        check(self, "high", above=self.low)

    def named(self, shape: tuple[int, ...]) -> str:
        """The full name of the features of pictures of shape (C, H, W): what they are resized to, too."""
        (_, *wanted), (_, *given) = self.shape, shape
        if wanted == given:
            return self.name
        how = "cropped" if self.cropped else "resized"
        return f"{self.name}, pictures of {given[0]}x{given[1]} {how} to {wanted[0]}x{wanted[1]}"

    def seen(self, pictures: np.ndarray | Tensor, *, batch: int = 256) -> tuple[np.ndarray, np.ndarray]:
        """(features (N, d), probabilities (N, classes)), float64, of pictures (N, C, H, W) in [-1, 1].

        Raises ShapeError for other axes or channels, ParameterError for values outside [-1, 1].
        """
        number("seen.batch", batch, at_least=1, integer=True)
        x = as_pictures("seen.pictures", pictures)
        if x.shape[1] != self.shape[0]:
            rule = f"(N, {self.shape[0]}, H, W) for {self.name}"
            raise ShapeError(must("seen.pictures", rule, tuple(x.shape)))
        rows = [self._looked_at(part) for part in x.split(batch)]
        features, classes = (np.concatenate(found) for found in zip(*rows))
        return features, classes

    def _looked_at(self, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
        weight = next(self.network.parameters(), torch.zeros(()))
        shown = (x.to(weight.device).float().clamp(-1, 1) + 1) * ((self.high - self.low) / 2) + self.low
        if shown.shape[2:] != self.shape[1:]:
            shown = self._fitted(shown)
        features, outputs = _features(self.network, self.layer, shown)
        if not self.classes:
            return _plain(outputs), np.zeros((len(x), 0))
        outputs = outputs.double()
        return _plain(features), _plain(outputs if self.probabilities else outputs.softmax(1))

    def _fitted(self, x: Tensor) -> Tensor:
        """Pictures of the height and width that the network takes."""
        _, h, w = self.shape
        if not self.cropped:
            return functional.interpolate(x, (h, w), mode="bilinear", antialias=True)
        top, left = (x.shape[2] - h) // 2, (x.shape[3] - w) // 2
        if min(top, left) < 0:
            raise ShapeError(must("seen.pictures", f"{h}x{w} or larger to be cropped", f"{x.shape[2]}x{x.shape[3]}"))
        return x[:, :, top : top + h, left : left + w]


def classifier_of(
    network: nn.Module, layer: str, *, shape: tuple[int, int, int], name: str, low: float = 0.0, high: float = 1.0
) -> Classifier:
    """Any torch module, x (N, *shape) of low ... high -> logits (N, classes).

    layer  the dotted path of the module whose input the features are, as in named_modules(): "fc" for self.fc

    The network is tried on two pictures of noise; outputs that are probabilities there are not put through softmax again.
    """
    modules = dict(network.named_modules())
    if not layer or layer not in modules:
        raise ParameterError(must("classifier_of.layer", "a layer of the network", layer, nearest(layer, modules)))
    return _tried(Classifier(f"{name}, input of {layer}", network, shape, modules[layer], low=low, high=high))


def classifier_of_file(
    path: str | Path,
    *,
    layer: str | None = None,
    name: str = "",
    shape: tuple[int, int, int] | None = None,
    low: float = 0.0,
    high: float = 1.0,
) -> Classifier:
    """An ONNX file, x (N, *shape) of low ... high -> logits or probabilities (N, classes).

    layer  the node whose input the features are. Left out: the last linear one, with nothing but element-wise nodes behind it
    name   of the network. Left out: the file's          shape  (C, H, W), where the file leaves it open

    Raises ConversionError where the file has several inputs or no such layer.
    """
    model, shape = _read(Path(path), shape)
    sketch, result = model.sketched(torch.zeros(1, *shape), (shape,))
    found = _last_linear(sketch, result, model.path.name) if layer is None else layer
    nodes = {node.name: node.module for node in sketch.nodes}
    if found not in nodes:
        raise ParameterError(must("classifier_of_file.layer", "a node of the file", found, nearest(found, nodes)))
    full = f"{name or model.path.name}, input of {found}"
    return _tried(Classifier(full, model, shape, nodes[found], low=low, high=high))


def features_of_file(
    path: str | Path, *, name: str, shape: tuple[int, int, int] | None = None, low: float = 0.0, high: float = 1.0
) -> Classifier:
    """An ONNX file whose output is the features (N, d) of x (N, *shape) of low ... high; it sees no classes.

    Whoever exports the published Inception network so, up to its pooled 2048 features, measures FID.
    """
    model, shape = _read(Path(path), shape)
    return _tried(Classifier(name, model, shape, low=low, high=high))


def as_pictures(owner: str, pictures: np.ndarray | Tensor) -> Tensor:
    """Pictures (N, C, H, W), one or more, of floats in [-1, 1] as a tensor; ShapeError or ParameterError for others."""
    x = torch.as_tensor(pictures)
    if x.ndim != 4 or not x.numel():
        raise ShapeError(must(owner, "(N, C, H, W), each at least 1", tuple(x.shape)))
    low, high = float(x.min()), float(x.max())
    if not x.is_floating_point() or not (low >= -1 - TOLERANCE and high <= 1 + TOLERANCE):
        got = f"{str(x.dtype).removeprefix('torch.')} of {low:g} to {high:g}"
        raise ParameterError(must(owner, "floats in [-1, 1]", got, "scale real pictures, clip sampled ones"))
    return x


def _read(path: Path, shape: tuple[int, int, int] | None) -> tuple[OnnxModel, tuple[int, int, int]]:
    """The file, and the shape of what it takes."""
    if path.suffix != ".onnx":
        raise ParameterError(must("path", "an .onnx file", str(path), "files of other formats can hold code"))
    model = OnnxModel(path)
    asked = model.input_shapes
    if len(asked) != 1 or len(asked[0]) != 3:
        raise ConversionError(must(path.name, "a network of one input (N, C, H, W)", f"{asked} without N"))
    if shape is None and None in asked[0]:
        raise ParameterError(must("shape", f"given for {path.name}", asked[0], "the file leaves sizes open"))
    return model, shape or asked[0]  # type: ignore[return-value]


def _last_linear(sketch: Sketch, result: str, file: str) -> str:
    """The name of the linear node that the result comes from."""
    nodes, name = {node.name: node for node in sketch.nodes}, result
    while name != INPUT and not isinstance(nodes[name].module, nn.Linear):
        (before, *more) = nodes[name].sources
        name = INPUT if more or sketch.values[name].shape != sketch.values[before].shape else before
    if name == INPUT:
        ends = f"no linear node before {result}, {type(nodes[result].module).__name__}"
        raise ConversionError(must(file, "a network that ends in a linear layer", ends, "name a layer"))
    return name


def _tried(made: Classifier) -> Classifier:
    """With the classes that are found when the network looks at two pictures of noise."""
    span = made.high - made.low
    noise = torch.rand(2, *made.shape, generator=torch.Generator().manual_seed(0)) * span + made.low
    weight = next(made.network.parameters(), torch.zeros(()))
    features, outputs = _features(made.network, made.layer, noise.to(weight.device))
    if outputs.ndim != 2 or len(outputs) != 2 or outputs.shape[1] < 2:
        raise ShapeError(must(made.name, "a network with outputs (N, 2 or more)", tuple(outputs.shape)))
    if made.layer is None:
        return made
    if len(features) != 2:
        raise ShapeError(must(made.name, "a layer whose input is (N, ...)", tuple(features.shape)))
    shares = bool((outputs >= 0).all()) and bool(torch.allclose(outputs.sum(1), torch.ones(2).to(outputs), atol=1e-4))
    return replace(made, classes=outputs.shape[1], probabilities=shares)


def _features(network: nn.Module, layer: nn.Module | None, x: Tensor) -> tuple[Tensor, Tensor]:
    """(what the layer was last given (N, d), outputs)."""
    given: list[Tensor] = []

    def keep(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        given[:] = [(*arguments, *named.values())[0].flatten(1)]

    hook = None if layer is None else layer.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        with torch.no_grad(), _evaluating(network):
            outputs = network(x)
    finally:
        if hook is not None:
            hook.remove()
    if layer is not None and not given:
        raise ParameterError(must("layer", "called by the network", type(layer).__name__, "name another"))
    return (given[0] if given else outputs), outputs


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode, and afterwards that which each module had."""
    trained = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in trained:
            module.training = True


def _plain(x: Tensor) -> np.ndarray:
    return x.cpu().numpy().astype(np.float64)
