"""A whole study from a file: its table, its figures against counting by hand, resume, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import spikesim as ss
from spikesim.cli import main
from spikesim.core.ledger import Ledger
from spikesim.evaluation import evaluate
from spikesim.training import retraining
from spikesim.training.retraining import read_retraining, spikes_and_energy

FILE = """
[retrain]
model = "vgg5"
data = "digits.npz"
width = 0.25
hidden = 100
stages = [3, 1]
epochs = [2, 3]
samples_used = 600
steps = 10
direct_steps = 10
[ann]
epochs = 4
learning_rate = 5e-3
[snn]
epochs = 2
learning_rate = 5e-3
optimiser = "amsgrad"
weight_decay = 0
"""


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    x, y = load_digits(return_X_y=True)
    x = (x * 15).astype(np.uint8).reshape(-1, 8, 8)
    np.savez("digits.npz", train_x=x[:1300], train_y=y[:1300], test_x=x[1300:], test_y=y[1300:])
    Path("run.toml").write_text(FILE)


def test_a_study_from_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["retrain", "run.toml", "--out", "out", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["steps"] for row in found["stages"]] == [3, 1] and found["test_samples"] == 497
    assert found["training_samples"] == 600 and found["chance"] == 0.1
    last = found["stages"][-1]
    assert last["accuracy"] > 0.6 < found["ann_accuracy"] and last["direct"]["epochs"] == 4 + 2 + 3
    assert last["drop_from_before"][0] == pytest.approx(100 * (found["stages"][0]["accuracy"] - last["accuracy"]))
    assert last["ahead_of_direct"][0] == pytest.approx(100 * (last["accuracy"] - last["direct"]["accuracy"]))
    assert set(found["milliseconds_per_sample"]) == {"ann", "3", "1"}
    network = ss.load("out/T1")
    assert (Path("out") / "retrain.png").stat().st_size > 10_000

    # The table's figures once more, from the recorded spikes.
    x, y = load_digits(return_X_y=True)
    test = torch.tensor((x[1300:] * 15).reshape(-1, 1, 8, 8), dtype=torch.float32) / 255
    names = list(last["spikes"])
    run = ss.run(network, test, steps=1, record=names)
    assert float((run.readout.argmax(1).numpy() == y[1300:]).mean()) == pytest.approx(last["accuracy"])
    for name in names:
        assert last["spikes"][name] == pytest.approx(float(run.recording[name].mean()))
    products = network.synapses(test[:1])
    layers, rates = list(products.values()), [last["spikes"][n] for n in names]
    paper = 4.6 * layers[0] + 0.9 * sum(rate * size for rate, size in zip(rates, layers[1:]))
    assert last["paper_ratio"] == pytest.approx(4.6 * sum(layers) / paper)
    assert 1 < last["counted_ratio"] < last["paper_ratio"], "averages are products where they are counted"


def test_a_second_run_changes_nothing_and_a_stopped_one_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["retrain", "run.toml", "--out", "out", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    (Path("out") / "stage-1.safetensors").unlink()
    assert main(["retrain", "run.toml", "--out", "out", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    for changing in ("minutes", "milliseconds_per_sample"):
        first.pop(changing), again.pop(changing)
    assert first == again


@pytest.mark.parametrize(("line", "over"), [("direct_steps = 10", 10), ("direct_steps = 0", 1)])
def test_thresholds_of_direct_training_start_over_its_own_steps_or_those_given(
    monkeypatch: pytest.MonkeyPatch, line: str, over: int
) -> None:
    seen = []
    monkeypatch.setattr(retraining, "initialise_thresholds", lambda *_, steps, **__: seen.append(steps))
    short = FILE.replace("direct_steps = 10", line).replace("epochs = [2, 3]", "epochs = [1, 1]")
    Path("short.toml").write_text(short.replace("epochs = 4", "epochs = 1").replace("= 600", "= 100"))
    assert main(["retrain", "short.toml", "--out", "short"]) == 0
    assert seen == [over]


def test_energy_counts_the_first_layer_once() -> None:
    torch.manual_seed(0)
    network = ss.Network.chain(
        torch.nn.Linear(8, 6), ss.LIF(0.9, 0.2), torch.nn.Linear(6, 3), readout=ss.Sum()
    ).requires_grad_(False)  # fmt: skip
    data = ss.datasets.ArrayDataset(torch.rand(5, 8) + 0.1, np.arange(5) % 3)
    ledger = Ledger()
    evaluate(network, data, steps=4, ledger=ledger)
    found = spikes_and_energy(network, data.x[:1], ledger, 4)
    spikes = ss.run(network, data.x, steps=4, record=["1"]).recording["1"].sum() / 5
    assert found["operations"] == {"adds": pytest.approx(3 * float(spikes)), "macs": 48, "dense": 66}
    assert found["counted_ratio"] == pytest.approx(4.6 * 66 / (4.6 * 48 + 0.9 * 3 * float(spikes)))


def test_bad_files_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for old, new, message in (
        ("stages = [3, 1]", "stages = [1, 3]", "Schedule.stages must be falling"),
        ("epochs = [2, 3]", "epochs = 2", "Schedule.epochs must be 2 numbers of epochs"),
        ("width", "wide", "did you mean width"),
        ('model = "vgg5"', 'model = "vgg6"', "architecture.name must be one of"),
        ('model = "vgg5"\n', "", r"[retrain] model must be one of vgg5"),
        ("[snn]", "[stages]", "must be made of [retrain], [ann] and [snn]"),
        ('data = "digits.npz"', 'data = "digits"', "must be arrays, which are shown at every step"),
    ):
        Path("bad.toml").write_text(FILE.replace(old, new))
        assert main(["retrain", "bad.toml", "--out", "other"]) == 1
        assert message in capsys.readouterr().err
    assert read_retraining(Path("run.toml"))[0].stages == (3, 1)
