"""Fine-tuning layer by layer after conversion: what few steps lost comes back in part."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim.conversion import Tuning, finetune_blocks
from spikesim.datasets import load_images
from spikesim.errors import ConversionError


@pytest.fixture(scope="module")
def digits() -> tuple[nn.Module, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A small ANN trained on embedded digits, its training inputs, test inputs and labels."""
    data = load_images("digits").arrays()
    train, test = data.part("train"), data.part("test")
    x, y = nn.functional.avg_pool2d(train.frames(), 2), torch.tensor(train.labels)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        conv = [nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()]
        ann = nn.Sequential(*conv, nn.Flatten(), nn.Linear(72, 10))
        optimiser = torch.optim.Adam(ann.parameters(), 5e-3)
        for _ in range(150):
            optimiser.zero_grad()
            nn.functional.cross_entropy(ann(x), y).backward()
            optimiser.step()
    return ann.eval(), x, nn.functional.avg_pool2d(test.frames(), 2), torch.tensor(test.labels)


def test_layers_are_tuned_in_order_and_few_steps_lose_less(digits: tuple) -> None:  # type: ignore[type-arg]
    ann, x, asked, labels = digits
    network, _ = ss.convert(ann, calibration=x[:256], steps=3)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    tuned, layers = finetune_blocks(network, x, steps=3, seeds=ss.Seeds(0), tuning=Tuning(200, 64, 1e-2))
    neurons = [n for n, m in network.nodes.items() if isinstance(m, ss.neurons.Neuron)]
    assert [layer.name for layer in layers][: len(neurons)] == neurons
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert layers[0].before < 1e-9  # the first layer's drive is constant: nothing to gain
    assert layers[-1].after < 0.9 * layers[-1].before
    right = [float((ss.run(n, asked, steps=3).readout.argmax(1) == labels).float().mean()) for n in (network, tuned)]
    assert right[1] > right[0]


def test_draws_are_of_the_seeds(digits: tuple) -> None:  # type: ignore[type-arg]
    ann, x, *_ = digits
    network, _ = ss.convert(ann, calibration=x[:256], steps=3)
    tuning = Tuning(60, 64, 1e-2)
    one, again, other = (finetune_blocks(network, x, steps=3, seeds=ss.Seeds(s), tuning=tuning)[1] for s in (0, 0, 1))
    assert one == again and one != other


def test_neurons_that_are_no_counts_are_refused(digits: tuple) -> None:  # type: ignore[type-arg]
    chain = ss.Network.chain(nn.Linear(4, 4), ss.LIF())
    with pytest.raises(ConversionError, match="an IF, SignedIF or stateless layer, got LIF"):
        finetune_blocks(chain, torch.zeros(64, 4), steps=2, seeds=ss.Seeds(0))
