"""Networks of several inputs."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from conversion.strangers import seeded
from torch import Tensor, nn

import spikesim as ss
from spikesim.conversion import OnnxModel
from spikesim.errors import ShapeError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Two(nn.Module):
    """A vector and an image; a third argument that nobody gives."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 8), nn.Conv2d(1, 2, 3), nn.Linear(40, 4)

    def forward(self, x: Tensor, image: Tensor, scale: Tensor | None = None) -> Tensor:
        h, g = torch.relu(self.a(x)), torch.relu(self.b(image)).flatten(1)
        return self.c(torch.cat([h, g], 1))


def pair(n: int = 64) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return torch.rand(n, 6, generator=draw), torch.rand(n, 1, 6, 6, generator=draw)


def test_every_form_of_calibration_gives_the_same_network_and_it_converges() -> None:
    ann, (x, image) = seeded(Two).eval(), pair()
    labelled = [(x[:30], image[:30], torch.zeros(30)), (x[30:], image[30:], torch.zeros(34))]
    first, *others = [ss.convert(ann, calibration=data)[0] for data in ([(x, image)], (x, image), labelled)]
    assert first.names[:2] == ("x", "image") and first.conversion.inputs == ((6,), (1, 6, 6))
    for other in others:
        assert all(torch.equal(v, other.state_dict()[k]) for k, v in first.state_dict().items())
    with torch.no_grad():
        wanted = ann(x, image)
    few, many = (float((ss.run(first, (x, image), steps=t).readout - wanted).norm()) for t in (8, 128))
    assert many < few / 8


def test_two_rasters_and_a_saved_network(tmp_path: Path) -> None:
    snn, _ = ss.convert(seeded(Two), calibration=[pair()])
    again = ss.load(ss.save(snn, tmp_path / "net"))
    assert again.conversion == snn.conversion
    rasters = tuple(torch.rand(5, *part.shape).round() for part in pair(3))
    assert torch.equal(ss.run(again, rasters).readout, ss.run(snn, rasters).readout)


def test_an_onnx_file_of_two_inputs(tmp_path: Path) -> None:
    ann, (x, image) = seeded(Two).eval(), pair()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = ["x", "image"]
        torch.onnx.export(ann, (x[:1], image[:1]), str(tmp_path / "two.onnx"), dynamo=False, input_names=names)
    model = OnnxModel(tmp_path / "two.onnx")
    snn, _ = ss.convert(model, calibration=[(x, image)])
    with torch.no_grad():
        assert torch.allclose(model(x, image), ann(x, image), atol=1e-5)
    assert snn.names[:2] == ("x", "image")


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    ann, (x, image) = seeded(Two), pair()
    for data in (x, [x, image], [(x,)]):
        with pytest.raises(ShapeError, match=r"convert\.calibration must be batches of 2 tensors"):
            ss.convert(ann, calibration=data)
    with pytest.raises(ShapeError, match=r"convert\.calibration must be 2 tensors \(N, \*shape\)"):
        ss.convert(ann, calibration=[(x, image), (image, x)])
    with pytest.raises(ShapeError, match=r"convert\.example must be 2 tensors"):
        ss.convert(ann, calibration=[(x, image)], example=(image, x))
    snn, _ = ss.convert(ann, calibration=[(x, image)])
    for wrong in ((x,), (image, x), (x, image[:3])):
        with pytest.raises(ShapeError, match=r"run\.x must be 2 tensors"):
            ss.run(snn, wrong, steps=2)
    one, _ = ss.convert(nn.Sequential(nn.Linear(6, 3), nn.ReLU()), calibration=x)
    with pytest.raises(ShapeError, match=r"run\.x must be one tensor or raster"):
        ss.run(one, (x, x), steps=2)
