"""The CIFAR study's own code on small networks: training resumes, cells are measured once and pair up."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import spikesim as ss
from benchmarks import cifar_nets, cifar_recipes
from benchmarks.cifar_nets import ResNet20, Subject, Vgg
from benchmarks.cifar_recipes import PEER, Plan, fill, known, rights
from spikesim.datasets.base import ArrayDataset
from spikesim.training import Training

SUBJECTS = {
    "resnet": Subject(lambda: ResNet20((16, 32, 64), 1), Training(epochs=2, learning_rate=1e-2), 16),
    "vgg": Subject(lambda: Vgg((16, 0, 16, 0, 32, 0), 16), Training(epochs=2, learning_rate=1e-2), 16),
}
PLANS = (Plan("auto", longest=2), Plan("max", True, longest=4), Plan("cos", longest=2))


def data(n: int = 32) -> ArrayDataset:
    x = torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = np.arange(n) % 10
    return ArrayDataset(
        x + torch.tensor(labels).view(-1, 1, 1, 1) / 5, labels, np.arange(n), "x", np.zeros(n, np.uint8)
    )


@pytest.fixture(params=SUBJECTS)
def net(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, nn.Module]:
    subject = SUBJECTS[request.param]
    model = cifar_nets.train(request.param, cifar_nets.fresh(subject), subject, data(), tmp_path)
    again = cifar_nets.train(request.param, cifar_nets.fresh(subject), subject, data(), tmp_path)  # from the checkpoint
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values()))
    assert len((tmp_path / f"{request.param}.jsonl").read_text().splitlines()) == 2
    return request.param, model.eval()


@pytest.mark.filterwarnings("ignore:only 32 calibration inputs")
def test_cells_are_measured_once_and_are_what_a_run_gives(
    net: tuple[str, nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, model = net
    images = data()
    path, sets = tmp_path / "cells.jsonl", (images.x, images.x[:20], images.labels[:20])
    monkeypatch.setattr(cifar_recipes, "STEPS", (1, 2, 4))
    for recipes in (("max",), (), ()):
        fill(name, recipes, path=path, data=sets, build=lambda _: model, plans=PLANS, peers=())
    cells = known(path)
    assert [(c["recipe"], c["steps"]) for c in cells] == [
        ("", 0), ("max", 1), ("max", 2), ("max", 4), ("auto", 1), ("auto", 2), ("cos", 2),
    ]  # fmt: skip
    network, _ = ss.convert(model, calibration=images.x, steps=2, recipe="max")
    said = ss.run(network, images.x[:20], steps=2).readout.argmax(1).numpy()
    wanted = model(images.x[:20]).argmax(1).numpy()
    assert np.array_equal(rights(cells[2]), said == images.labels[:20])
    assert cells[2]["agreement"] == float((said == wanted).mean())
    assert cells[0]["accuracy"] == float((wanted == images.labels[:20]).mean())


@pytest.mark.skipif(importlib.util.find_spec("spikingjelly") is None, reason="needs SpikingJelly (make peers)")
@pytest.mark.parametrize("recipe", cifar_recipes.THEIRS)
def test_the_peer_tends_to_the_network(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar_recipes, "UPDATES", 50)
    x: Tensor = data().x
    ann = cifar_nets.fresh(SUBJECTS["resnet"]).eval()
    answers = dict(cifar_recipes.theirs(ann, x, recipe, 64)(x[:8]))
    wanted = ann(x[:8])
    off = {t: float((y - wanted).norm() / wanted.norm()) for t, y in answers.items()}
    assert PEER and off[64] < 0.3 * off[1]
