"""Features of pictures: the right layer's input, resizing, probabilities, files, and the real digits classifier."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from spikesim.diffusion import Classifier, classifier_of, classifier_of_file, confident_share, features_of_file
from spikesim.errors import SpikesimError


class Small(nn.Module):
    """x (N, 2, 6, 6) -> four logits, from five features."""

    def __init__(self, softmax: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(48, 5), nn.Dropout(0.5)
        )
        self.unused, self.fc, self.softmax = nn.Linear(5, 4), nn.Linear(5, 4), softmax

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(input=self.body(x).relu())
        return y.softmax(1) if self.softmax else y


def pictures(count: int = 7, size: int = 6) -> Tensor:
    return torch.rand(count, 2, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_features_are_what_the_layer_is_given() -> None:
    network, x = Small().train(), pictures()
    network.body[1].eval()  # modes differ from module to module, and stay
    found = classifier_of(network, "fc", shape=(2, 6, 6), name="small")
    assert found.classes == 4 and not found.probabilities and found.name == "small, input of fc"
    features, classes = found.seen(x, batch=3)
    assert network.training and network.body[4].training and not network.body[1].training
    with torch.no_grad():
        network.eval()
        wanted = network.body((x + 1) / 2).relu()
        np.testing.assert_allclose(features, wanted.numpy(), atol=1e-6)
        np.testing.assert_allclose(classes, network.fc(wanted).softmax(1).numpy(), atol=1e-6)
    assert features.dtype == classes.dtype == np.float64
    again, _ = found.seen(x.numpy(), batch=100)
    np.testing.assert_allclose(again, features, atol=1e-6)


def test_the_range_that_the_network_takes() -> None:
    network, x = Small().eval(), pictures()
    found = classifier_of(network, "body.0", shape=(2, 6, 6), name="small", low=-2, high=10)
    features, _ = found.seen(x)
    np.testing.assert_allclose(features, ((x + 1) * 6 - 2).flatten(1).numpy(), atol=1e-5)


def test_pictures_of_another_size_are_resized_and_the_name_says_so() -> None:
    network = Small().eval()
    found, x = classifier_of(network, "body.0", shape=(2, 6, 6), name="small", low=-1), pictures(size=9)
    assert found.named((2, 6, 6)) == "small, input of body.0"
    assert found.named((2, 9, 9)) == "small, input of body.0, pictures of 9x9 resized to 6x6"
    wanted = functional.interpolate(x, (6, 6), mode="bilinear", antialias=True)
    np.testing.assert_allclose(found.seen(x)[0], wanted.flatten(1).numpy(), atol=1e-6)

    cropped, even = replace(found, cropped=True), pictures(size=8)
    assert cropped.named((2, 8, 8)).endswith("pictures of 8x8 cropped to 6x6")
    np.testing.assert_array_equal(cropped.seen(even)[0], found.seen(even[:, :, 1:7, 1:7])[0])


def test_probabilities_are_not_put_through_softmax_again() -> None:
    x = pictures()
    plain, done = (classifier_of(Small(s).eval(), "fc", shape=(2, 6, 6), name="small") for s in (False, True))
    assert done.probabilities
    np.testing.assert_allclose(plain.seen(x)[1], done.seen(x)[1], atol=1e-6)


@pytest.mark.parametrize("softmax", [False, True])
def test_an_onnx_file_is_the_network_it_was_exported_from(softmax: bool, tmp_path: Path) -> None:
    helper = pytest.importorskip("onnx").helper
    network, x = Small(softmax).eval(), pictures()
    _write(helper, network, tmp_path / "small.onnx", softmax)
    found = classifier_of_file(tmp_path / "small.onnx")
    assert found.name == "small.onnx, input of last" and found.classes == 4 and found.probabilities == softmax
    wanted = classifier_of(network, "fc", shape=(2, 6, 6), name="small").seen(x)
    for ours, theirs in zip(found.seen(x), wanted):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)

    earlier = classifier_of_file(tmp_path / "small.onnx", layer="relu", name="net")
    assert earlier.name == "net, input of relu" and earlier.seen(x)[0].min() < 0
    whole = features_of_file(tmp_path / "small.onnx", name="four numbers")
    features, classes = whole.seen(x)
    assert features.shape == (7, 4) and classes.shape == (7, 0) and whole.classes == 0


def _write(helper, network: Small, path: Path, softmax: bool) -> None:  # type: ignore[no-untyped-def]
    """The network as a file, with the bias of its last layer apart, as older exporters leave it."""
    from onnx import numpy_helper, save

    conv, norm, _, linear, _ = network.body
    weights = {"cw": conv.weight, "cb": conv.bias, "g": norm.weight, "b": norm.bias, "m": norm.running_mean}
    weights |= {
        "v": norm.running_var,
        "lw": linear.weight,
        "lb": linear.bias,
        "fw": network.fc.weight.T,
        "fb": network.fc.bias,
    }
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "cw", "cb"], ["c"], name="conv"),
        node("BatchNormalization", ["c", "g", "b", "m", "v"], ["n"], name="norm"),
        node("Flatten", ["n"], ["f"], name="flat"),
        node("Gemm", ["f", "lw", "lb"], ["l"], name="body", transB=1),
        node("Relu", ["l"], ["r"], name="relu"),
        node("MatMul", ["r", "fw"], ["q"], name="last"),
        node("Add", ["q", "fb"], ["y"], name="bias"),
        *[node("Softmax", ["y"], ["p"], name="softmax", axis=1) for _ in range(softmax)],
    ]
    initial = [numpy_helper.from_array(w.detach().numpy().copy(), name) for name, w in weights.items()]
    inputs = [helper.make_tensor_value_info("x", 1, ["N", 2, 6, 6])]
    outputs = [helper.make_tensor_value_info("p" if softmax else "y", 1, ["N", 4])]
    graph = helper.make_graph(nodes, "small", inputs, outputs, initial)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, path = onnx.helper, tmp_path / "relu.onnx"
    for size in (6, "H"):
        shapes = [helper.make_tensor_value_info(name, 1, ["N", 2, 6, size]) for name in "xy"]
        graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"], name="relu")], "relu", shapes[:1], shapes[1:])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
        says = "ends in a linear layer, got no linear node" if size == 6 else "shape must be given for relu.onnx"
        with pytest.raises(SpikesimError, match=says):
            classifier_of_file(path)
    with pytest.raises(SpikesimError, match="no linear node"):
        classifier_of_file(path, shape=(2, 6, 6))
    with pytest.raises(SpikesimError, match=r"must be an \.onnx file"):
        features_of_file(tmp_path / "inception.pt", name="Inception")


def test_the_digits_classifier_sees_real_digits(shared_data: Path) -> None:
    """Pixels of 0 ... 1, as it was trained: with 0 ... 255 it takes it would be sure of noise."""
    found = classifier_of_file(shared_data / "checkpoints" / "mnist-8.onnx", name="MNIST-8")
    assert found.name == "MNIST-8, input of Times212" and found.shape == (1, 28, 28) and found.classes == 10
    with np.load(shared_data / "mnist.npz") as file:
        x, labels = file["test_x"][:1000, None] / np.float32(127.5) - 1, file["test_y"][:1000]
    features, classes = found.seen(x)
    assert features.shape == (1000, 256) and (classes.argmax(1) == labels).mean() > 0.97
    noise = torch.randn(500, 1, 28, 28, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    assert confident_share(found.seen(noise)[1]).value < 0.02
    assert confident_share(replace(found, high=255.0).seen(noise)[1]).value > 0.9
    padded = functional.pad(torch.as_tensor(x), (2, 2, 2, 2), value=-1)
    np.testing.assert_array_equal(replace(found, cropped=True).seen(padded)[0], features)


def small(**changed: object) -> Classifier:
    return replace(classifier_of(Small(), "fc", shape=(2, 6, 6), name="small"), **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: classifier_of(Small(), "fcc", shape=(2, 6, 6), name="n"), "layer must be a layer of the network, got fcc; did"),
        (lambda: classifier_of(Small(), "", shape=(2, 6, 6), name="n"), "layer must be a layer"),
        (lambda: classifier_of(Small(), "unused", shape=(2, 6, 6), name="n"), "must be called by the network"),
        (lambda: classifier_of(Small(), "fc", shape=(2, 6), name="n"), "Classifier.shape must be"),
        (lambda: classifier_of(nn.Sequential(nn.ReLU()), "0", shape=(2, 6, 6), name="n"), r"outputs \(N, 2 or more\)"),
        (lambda: small(name=" "), "Classifier.name must be"),
        (lambda: small(low=2), "Classifier.high must be"),
        (lambda: small().seen(pictures() * 2), r"floats in \[-1, 1\], got float32 of -1.9"),
        (lambda: small().seen(pictures() * torch.nan), r"floats in \[-1, 1\]"),
        (lambda: small().seen(pictures().to(torch.uint8)), r"floats in \[-1, 1\], got uint8"),
        (lambda: small().seen(pictures()[:, :1]), r"seen.pictures must be \(N, 2, H, W\)"),
        (lambda: small().seen(pictures()[0]), r"seen.pictures must be \(N, C, H, W\)"),
        (lambda: small().seen(pictures()[:0]), r"seen.pictures must be \(N, C, H, W\)"),
        (lambda: small().seen(pictures(), batch=0), "seen.batch must be"),
        (lambda: small(cropped=True).seen(pictures(size=5)), "must be 6x6 or larger"),
    ],
)  # fmt: skip
def test_refusals(make, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SpikesimError, match=says) as refused:
        make()
    assert "\n" not in str(refused.value)
