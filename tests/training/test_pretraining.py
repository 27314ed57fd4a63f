"""Pretraining as a bridge: the sharpened ramp and its gradient, twins 1:1, LIAF to LIF, stages that learn, resume."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import spikesim as ss
from spikesim.neurons import LIAF, LIF, ParametricLIF
from spikesim.residual import FIRST, LAST, residual_network
from spikesim.training import ReadoutCrossEntropy, TensorBatches, Training, accuracy_on, fit
from spikesim.training.pretraining import (
    PipeD,
    PipeS,
    SharpenedReLU,
    Sharpening,
    cell,
    lif,
    mean_over_channels,
    pipe_d,
    pipe_s,
    spiking,
    transfer,
    twin,
)  # fmt: skip
from spikesim.training.state import Epoch

IMAGES, LABELS = (torch.tensor(part) for part in load_digits(return_X_y=True))
IMAGES = (IMAGES / 16).float().reshape(-1, 1, 8, 8)
TRAIN, HELD = TensorBatches(IMAGES[:1200], LABELS[:1200]), TensorBatches(IMAGES[1200:], LABELS[1200:])
SMALL = {"blocks": (1, 1), "widths": (8, 16), "stem": (3, 1), "first_stride": 1}


def small(activation: object, channels: int = 1, seed: int = 0) -> ss.Network:
    torch.manual_seed(seed)
    return residual_network((channels, 8, 8), 10, activation, **SMALL)  # type: ignore[arg-type]


def events(images: Tensor, steps: int = 4) -> Tensor:
    """(N, T, 2, 8, 8): OFF and ON where an image moved by a pixel changes."""
    moved = [images, images.roll(1, 2), images.roll((1, 1), (2, 3)), images.roll(1, 3), images]
    change = torch.stack([b - a for a, b in pairwise(moved)], 1)[:, :steps]
    return torch.cat([change < -0.2, change > 0.2], 2).float()


@pytest.mark.parametrize("epochs", [100, 10, 3])
def test_the_ramp_is_the_papers_at_every_epoch(epochs: int) -> None:
    ramp, sharpening = SharpenedReLU(), Sharpening(epochs, 2)
    model = nn.Sequential(ramp)
    sharpening.start(model)
    x = torch.linspace(-1, 2, 301)
    for epoch in range(epochs + 1):
        lo, hi = min(epoch / (2 * epochs), 0.49), 1 - epoch / (2 * epochs)
        for _ in range(2):
            assert ramp.ends() == pytest.approx((lo, hi)) and torch.allclose(ramp(x), ((x - lo) / (hi - lo)).clip(0, 1))
            sharpening(model)
    assert ramp.ends() == (0.49, 0.5)
    if epochs == 100:
        ramp.progress.copy_(torch.tensor([50, 1, 100]))
        assert ramp.ends() == pytest.approx((50 / 200, 1 - 50 / 200))


def test_its_gradient_is_the_neurons_whatever_the_epoch() -> None:
    x = torch.tensor([-0.1, 0.001, 0.3, 0.5, 0.999, 1.001, 3.0])
    for progress in ([0, 1, 1], [3, 1, 4], [4, 1, 4]):
        ramp, leaf = SharpenedReLU(), x.clone().requires_grad_()
        ramp.progress.copy_(torch.tensor(progress))
        out = ramp(leaf)
        out.sum().backward()
        assert torch.equal(out.detach(), ramp(x)) and leaf.grad.tolist() == [0, 1, 1, 1, 1, 0, 0]
        drive = x[None, None].clone().requires_grad_()
        lif()(drive)[0].sum().backward()
        assert torch.equal(drive.grad[0, 0], leaf.grad)


def test_the_neuron_is_the_papers() -> None:
    drive = torch.randn(7, 3, 5, generator=torch.Generator().manual_seed(0)) + 0.3
    mem, s, wanted = torch.zeros(3, 5), torch.zeros(3, 5), []
    for x in drive:
        mem = 0.25 * mem * (1 - s) + x
        s = (mem > 0.5).float()
        wanted.append(s)
    assert torch.equal(lif()(drive)[0], torch.stack(wanted)) and 0 < torch.stack(wanted).mean() < 1
    assert lif()(torch.full((1, 1, 1), 0.5))[0].item() == 0, "at the threshold it does not fire"


def test_the_cell_is_the_papers_and_its_decay_learns() -> None:
    drive = torch.randn(6, 2, 4, generator=torch.Generator().manual_seed(1))
    for analog, slope in ((False, 0.0), (True, 0.0), (True, 0.2)):
        neuron, d = cell(analog=analog, slope=slope), torch.tensor(0.5, requires_grad=True)
        v, s, wanted = torch.zeros(2, 4), torch.zeros(2, 4), []
        for x in drive:
            v = d.sigmoid() * v * (1 - s) + x
            s = (v > 0.5).float()
            wanted.append(torch.where(v > 0, v, slope * v) if analog else s)
        got = neuron(drive)[0]
        assert torch.allclose(got, torch.stack(wanted), atol=1e-6)
        got.square().sum().backward()
        assert isinstance(neuron, ParametricLIF) and neuron.w.grad is not None and neuron.w.grad.abs() > 0
        if analog:
            torch.stack(wanted).square().sum().backward()
            assert 1 - 1 / neuron.tau == pytest.approx(0.6225, abs=1e-4)


def test_normalisation_is_over_time_and_batch_and_starts_at_the_threshold() -> None:
    network = small(lif).train()
    assert all(
        m.weight.eq(0.5).all() and m.bias.eq(0).all() for m in network.modules() if isinstance(m, nn.BatchNorm2d)
    )
    x = torch.rand(5, 6, 1, 8, 8)
    network(x)
    conv, norm = network.node("stem.conv"), network.node("stem.norm")
    assert torch.allclose(norm.running_mean, 0.1 * conv(x.flatten(0, 1)).mean((0, 2, 3)), atol=1e-6)


def test_twins_copy_everything_by_name() -> None:
    ann = small(SharpenedReLU)
    fit(ann, TRAIN, ReadoutCrossEntropy(steps=1), Training(epochs=1), seeds=ss.Seeds(0))
    snn = twin(ann, lif)
    ours, theirs = snn.state_dict(), ann.state_dict()
    shared = [k for k in theirs if not k.endswith(".progress")]
    assert len(shared) > 30 and all(torch.equal(ours[k], theirs[k]) for k in shared)
    assert any("running_mean" in k for k in shared) and sum(type(m) is LIF for m in snn.nodes.values()) == 5
    with torch.no_grad():
        snn.node(LAST).weight.zero_()
    assert ann.node(LAST).weight.abs().sum() > 0, "a copy, not the same weights"
    with pytest.raises(ss.SpikesimError, match=r"twin\.network must be one with ReLUs"):
        twin(ss.Network.chain(nn.Flatten(), nn.Linear(4, 2)), lif)


def test_a_fully_sharpened_network_is_its_twin_at_one_step() -> None:
    """Beyond the ramp's last slope, 0.49 to 0.5, both send the same."""
    ann = small(SharpenedReLU)
    Sharpening(1, 1).start(ann)
    Sharpening(1, 1)(ann)
    ann.eval()
    snn, x = twin(ann, lif).eval(), IMAGES[None, :200]
    names = ["stem.neuron", "stages.0.0.first.neuron"]
    ramps, spikes = ss.run(ann, x, record=["stem.norm", *names]), ss.run(snn, x, record=names)
    outside = (ramps.recording["stem.norm"] - 0.495).abs() > 0.00501
    assert outside.float().mean() > 0.98
    assert torch.equal(ramps.recording[names[0]][outside], spikes.recording[names[0]][outside])
    assert (ramps.recording[names[1]] == spikes.recording[names[1]]).float().mean() > 0.9


def test_liaf_turns_into_lif_with_the_same_weights_and_resets() -> None:
    liaf = small(lambda: cell(analog=True), 2).train()
    x = events(IMAGES[:50]).transpose(0, 1)
    liaf(x)
    with torch.no_grad():
        liaf.node("stem.neuron").w.fill_(0.7)
    lifs = spiking(liaf)
    before, after = liaf.state_dict(), lifs.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)
    drive = ss.run(liaf.eval(), x, record=["stem.norm"]).recording["stem.norm"]
    analog, spikes = liaf.node("stem.neuron"), lifs.eval().node("stem.neuron")
    sent, state = analog(drive)
    fired, same = spikes(drive)
    assert torch.allclose(state.v, same.v, atol=1e-6) and set(fired.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(fired, (sent > 0.5).float()), "a LIAF's membrane passes the threshold where its LIF spikes"
    chain = spiking(ss.Network.chain(nn.Linear(4, 3), LIAF(0.8, 0.6, learn=("leak",))))
    assert type(chain.node("1")) is LIF and chain.node("1").leak.item() == pytest.approx(0.8)
    assert [n for n, _ in chain.node("1").named_parameters()] == ["leak"]


def test_transfer_copies_all_but_what_is_left_and_says_what() -> None:
    ann, target = small(nn.ReLU), small(lambda: cell(analog=True), 2, seed=1)
    fresh = {k: v.clone() for k, v in target.state_dict().items()}
    copied = transfer(ann, target, leave=(FIRST, LAST))
    assert "stages.1.0.shortcut.conv" in copied and "stem.norm" in copied
    assert FIRST not in copied and LAST not in copied and "stem.neuron" not in copied
    for key, value in target.state_dict().items():
        node = key.rsplit(".", 1)[0]
        if node in copied:
            assert torch.equal(value, ann.state_dict()[key])
        else:
            assert torch.equal(value, fresh[key])
    colour = small(nn.ReLU, 3)
    mean_over_channels(colour, target, FIRST)
    mean = colour.node(FIRST).weight.mean(1)
    assert all(torch.equal(target.node(FIRST).weight[:, c], mean) for c in (0, 1))
    with pytest.raises(ss.SpikesimError, match=r"transfer\.stem\.conv must be of shapes .*2, 3, 3.*leave it out"):
        transfer(ann, target)
    with pytest.raises(ss.SpikesimError, match=r"transfer\.leave must be nodes of target, got nowhere"):
        transfer(ann, target, leave=(FIRST, "nowhere"))
    with pytest.raises(ss.SpikesimError, match=r"transfer\.target must be made of nodes that source has too"):
        transfer(ss.Network.chain(nn.Linear(2, 2), nn.ReLU()), target, leave=(FIRST,))
    with pytest.raises(ss.SpikesimError, match=r"mean_over_channels\.stem\.conv must be of shape"):
        mean_over_channels(residual_network((1, 8, 8), 10, nn.ReLU, blocks=(1,), widths=(4,)), target, FIRST)


def test_pipe_s_starts_ahead_of_scratch() -> None:
    plan = PipeS(Training(epochs=6), Training(epochs=1, learning_rate=2e-3), steps=3)
    ann, snn = pipe_s(small(SharpenedReLU), TRAIN, plan, seeds=ss.Seeds(0))
    assert (ann.name, snn.name, len(ann.history), len(snn.history)) == ("ann", "lif", 6, 1)
    assert all(m.ends() == (0.49, 0.5) for m in ann.network.modules() if isinstance(m, SharpenedReLU))
    scratch = small(lif)
    fit(scratch, TRAIN, ReadoutCrossEntropy(steps=3), plan.finetuning, seeds=ss.Seeds(0))
    asked = ReadoutCrossEntropy(steps=3)
    reached, beside = accuracy_on(snn.network, asked, HELD), accuracy_on(scratch, asked, HELD)
    assert reached > 0.85 and reached > beside + 0.05, (reached, beside)
    with pytest.raises(ss.SpikesimError, match=r"pipe_s\.ann must be a network of SharpenedReLU activations"):
        list(pipe_s(small(nn.ReLU), TRAIN, plan, seeds=ss.Seeds(0)))


def test_pipe_s_goes_on_where_it_stopped(tmp_path: Path) -> None:
    part, plan = TensorBatches(IMAGES[:192], LABELS[:192]), PipeS(Training(epochs=4), Training(epochs=2), steps=2)

    def all_of(folder: Path | None, stop: tuple[str, int] | None = None) -> list[ss.Network]:
        def watch(name: str, epoch: Epoch) -> None:
            if (name, epoch.number) == stop:
                raise KeyboardInterrupt

        stages = pipe_s(small(SharpenedReLU), part, plan, seeds=ss.Seeds(0), folder=folder, watch=watch)
        return [stage.network for stage in stages]

    whole = all_of(None)
    for stop in (("ann", 2), ("lif", 1)):
        with pytest.raises(KeyboardInterrupt):
            all_of(tmp_path, stop)
    for a, b in zip(whole, all_of(tmp_path)):
        for x, y in zip(a.state_dict().values(), b.state_dict().values()):
            assert torch.equal(x, y)


def test_pipe_d_goes_from_images_over_liaf_to_lif() -> None:
    short = Training(epochs=3, learning_rate=2e-2)
    plan = PipeD(Training(epochs=3), short, short)
    moving = TensorBatches(events(IMAGES[:1200]), LABELS[:1200])
    held = TensorBatches(events(IMAGES[1200:]), LABELS[1200:])
    stages = list(
        pipe_d(
            small(nn.ReLU), small(lambda: cell(analog=True), 2, seed=1), TRAIN, moving, plan, seeds=ss.Seeds(0),
            validation=held,
        )
    )  # fmt: skip
    assert [stage.name for stage in stages] == ["ann", "liaf", "lif"]
    beside = fit(
        small(cell, 2, seed=1), moving, ReadoutCrossEntropy(), short, seeds=ss.Seeds(0), validation=held
    )  # fmt: skip
    reached = stages[2].history[-1].validation
    assert reached > 0.6 and reached > beside[-1].validation + 0.1, (reached, beside[-1].validation)
    assert stages[0].history[-1].validation is None
    assert not any(
        getattr(m, "variant", None) and m.variant.slope is not None for m in stages[2].network.nodes.values()
    )
    trained = small(nn.ReLU)
    kept = PipeD(short, Training(epochs=1, learning_rate=1e-9, weight_decay=0), short, leave=(FIRST,), mean_over=None)
    liaf = small(lambda: cell(analog=True), 2, seed=1)
    first = liaf.node(FIRST).weight.detach().clone()
    stage = next(pipe_d(trained, liaf, None, moving, kept, seeds=ss.Seeds(0)))
    assert stage.name == "liaf" and torch.allclose(stage.network.node(FIRST).weight, first, atol=1e-6)
    assert torch.allclose(stage.network.node(LAST).weight, trained.node(LAST).weight, atol=1e-6)
    with pytest.raises(ss.SpikesimError, match=r"PipeD\.mean_over must be among leave"):
        PipeD(short, short, short, leave=())


def test_networks_are_as_deep_and_wide_as_asked() -> None:
    with torch.device("meta"):
        network = residual_network((3, 224, 224), 1000, nn.ReLU)
    convolutions = {n: tuple(m.weight.shape) for n, m in network.nodes.items() if isinstance(m, nn.Conv2d)}
    assert convolutions[FIRST] == (64, 3, 7, 7) and convolutions["stages.3.1.second.conv"] == (512, 512, 3, 3)
    assert len(convolutions) == 17 + 4, "17 convolutions of a ResNet-18, and a shortcut where a stage begins"
    made = residual_network((3, 64, 64), 5, nn.ReLU, widths=(4, 8, 12, 16))
    shapes = made.shapes(torch.zeros(1, 1, 3, 64, 64))
    assert [shapes[n][1] for n in (FIRST, "stages.0.0.neuron", "stages.1.0.neuron", "stages.3.1.neuron")] == [
        32,
        16,
        8,
        2,
    ]
    assert made(torch.rand(2, 3, 3, 64, 64))[0].shape == (2, 3, 5)
    saved = small(lif)
    assert saved.state_dict().keys() == small(lif).state_dict().keys()
    for blocks, widths in (((1,), (2, 3)), ((), ()), ((0,), (4,))):
        with pytest.raises(ss.SpikesimError, match=r"residual_network\.blocks, widths must be"):
            residual_network((1, 8, 8), 10, nn.ReLU, blocks=blocks, widths=widths)
