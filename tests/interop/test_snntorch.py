"""snnTorch's networks beside ours on random drive: every neuron, reset and delay, no spike differs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

import spikesim as ss
from spikesim.errors import ConversionError
from spikesim.interop.snntorch import from_snntorch

snn = pytest.importorskip("snntorch")


def stepped(modules: Sequence[nn.Module], x: torch.Tensor) -> torch.Tensor:
    """The loop that snnTorch's users write: (T, B, ...) of the last module's output."""
    states: dict[int, Any] = {}
    out = []
    with torch.no_grad():
        for value in x:
            for i, module in enumerate(modules):
                if isinstance(module, snn.SpikingNeuron):
                    found = module(value, *states.get(i, ()))
                    states[i] = found if hasattr(module, "recurrent") else found[1:]
                    value = found[0]
                else:
                    value = module(value)
            out.append(value)
    return torch.stack(out)


def neuron(kind: str, **common: Any) -> nn.Module:
    """A neuron of 20 units with its numbers per neuron, learned."""
    one_to_one: dict[str, Any] = {"all_to_all": False, "V": torch.rand(20) - 0.5}
    beta, threshold = torch.rand(20), {"threshold": torch.rand(20) + 0.5, "learn_threshold": True}
    return {
        "Leaky": lambda: snn.Leaky(beta, learn_beta=True, **threshold, **common),
        "Synaptic": lambda: snn.Synaptic(torch.rand(20), beta, learn_alpha=True, **threshold, **common),
        "RLeaky": lambda: snn.RLeaky(0.8, linear_features=20, **threshold, **common),
        "RSynaptic": lambda: snn.RSynaptic(0.7, 0.8, linear_features=20, **threshold, **common),
        "RLeaky, one to one": lambda: snn.RLeaky(beta, **one_to_one, **threshold, **common),
        "RSynaptic, one to one": lambda: snn.RSynaptic(0.6, beta, **one_to_one, **threshold, **common),
    }[kind]()


KINDS = ("Leaky", "Synaptic", "RLeaky", "RSynaptic", "RLeaky, one to one", "RSynaptic, one to one")


@pytest.mark.parametrize("kind", KINDS)
def test_every_neuron_reset_and_delay(kind: str) -> None:
    torch.manual_seed(0)
    x = (torch.rand(60, 4, 30) < 0.3).float()
    for reset, late in itertools.product(("subtract", "zero", "none"), (True, False)):
        if kind.startswith("RSynaptic") and not late:
            continue
        modules = [
            nn.Linear(30, 20),
            neuron(kind, reset_mechanism=reset, reset_delay=late),
            nn.Linear(20, 5),
            snn.Leaky(0.9),
        ]
        theirs = stepped(modules, x)
        network = from_snntorch(modules)
        assert theirs.any() and torch.equal(ss.run(network, x, engine=ss.Reference()).output, theirs), (reset, late)


def test_layers_in_sequentials_and_weights_of_a_state_dict() -> None:
    """Convolution, norm, pools, Flatten; the weights from a state_dict, the kinds from untrained modules."""

    def layers(seed: int) -> dict[str, nn.Module]:
        torch.manual_seed(seed)
        norm = nn.BatchNorm2d(4)
        norm.running_mean.uniform_(-0.5, 0.5)
        return {
            "features": nn.Sequential(nn.Conv2d(2, 4, 3), norm, nn.MaxPool2d(2), snn.Leaky(torch.rand(1), learn_beta=True)),
            "loop": snn.RLeaky(0.5, conv2d_channels=4, kernel_size=3, reset_mechanism="zero"),
            "drop": nn.Dropout(), "pool": nn.AvgPool2d(2), "flat": nn.Flatten(), "fc": nn.Linear(16, 5),
            "out": snn.Synaptic(0.6, 0.8, threshold=torch.rand(1), learn_threshold=True),
        }  # fmt: skip

    trained = nn.ModuleDict(layers(0)).eval()
    x = (torch.rand(40, 3, 2, 10, 10) < 0.4).float()
    theirs = stepped([*trained["features"], *list(trained.values())[1:]], x)  # type: ignore[misc]
    network = from_snntorch(layers(1), weights=trained.state_dict(), input_shape=(2, 10, 10))
    assert theirs.any() and torch.equal(ss.run(network, x, engine=ss.Reference()).output, theirs)
    assert {"features.0", "loop", "loop_recurrent", "fc"} <= set(network.names)


def test_refusals_say_which_module() -> None:
    fc = nn.Linear(3, 3)
    cases = {
        r"modules\[1\] must be a torch layer or snntorch.Leaky": [fc, snn.Lapicque(beta=0.9)],
        r"modules\[0\].state_quant": [snn.Leaky(0.9, state_quant=torch.round)],
        r"modules\[0\].graded_spikes_factor": [snn.Leaky(0.9, graded_spikes_factor=0.5)],
        r"modules\[0\].reset_delay": [snn.RSynaptic(0.9, 0.9, linear_features=3, reset_delay=False)],
    }
    for said, modules in cases.items():
        with pytest.raises(ConversionError, match=said):
            from_snntorch(modules)
    with pytest.raises(ConversionError, match="all used"):
        from_snntorch({"a": fc}, weights={**nn.ModuleDict({"a": fc}).state_dict(), "b.weight": torch.zeros(3)})
    with pytest.raises(ConversionError, match=r"weights\[a\.\*\]"):
        from_snntorch({"a": fc}, weights={"a.weight": torch.zeros(2, 2)})
