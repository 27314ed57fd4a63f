"""NeuroBench's figures against NeuroBench: stored by `python -m benchmarks.neurobench_figures --store` (`make peers`)."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import spikesim as ss
from benchmarks.neurobench_figures import CASES, STORED, inputs, layers, ours
from spikesim.interop.neurobench import connection_sparsity, neurobench_figures
from spikesim.interop.snntorch import from_snntorch

THEIRS = json.loads(STORED.read_text())


@pytest.mark.parametrize(("name", "graded"), CASES)
def test_equals_neurobench(name: str, graded: bool) -> None:
    """The same snnTorch network, run by us: every figure, and the spikes of its last layer."""
    theirs = dict(THEIRS[f"{name}{' graded' if graded else ''}"])
    spikes = theirs.pop("spikes")
    found = ours(name, graded)
    assert found.pop("synaptic_operations") == pytest.approx(theirs.pop("synaptic_operations"), rel=1e-12)
    assert found == pytest.approx(theirs, rel=1e-12)
    network = from_snntorch(layers(name))
    assert int(ss.run(network, inputs(name, graded)).output.sum()) == spikes


def test_the_cases_tell_the_figures_apart() -> None:
    """Some membranes stay, some inputs are graded, some weights are 0: no figure is trivially right."""
    assert 0 < THEIRS["integrate"]["membrane_updates"] < 0.99 * 45 * 6
    assert THEIRS["dense graded"]["synaptic_operations"]["Effective_MACs"] > 0
    assert THEIRS["dense"]["synaptic_operations"]["Effective_MACs"] == 0
    assert all(0.1 < case["connection_sparsity"] < 0.3 for case in THEIRS.values())


def test_shown_frames_and_delayed_edges() -> None:
    """x (B, ...) with steps is the same as x repeated; what comes late is counted late."""
    torch.manual_seed(0)
    network = ss.Network.chain(nn.Linear(4, 3), ss.IF(0.5), nn.Linear(3, 2)).requires_grad_(False)
    x = torch.randint(0, 2, (5, 4)).float()
    assert neurobench_figures(network, x, steps=3) == neurobench_figures(network, x.expand(3, 5, 4))
    late = ss.Network(
        {"a": nn.Linear(4, 3)}, [ss.Edge("input", "a", 1)], output="a"
    ).requires_grad_(False)  # fmt: skip
    one = torch.zeros(2, 1, 4)
    one[0] = 1
    assert neurobench_figures(late, one).effective_acs == 12
    assert neurobench_figures(late, one.flip(0)).effective_acs == 0


def test_a_network_without_synapses_is_refused() -> None:
    with pytest.raises(ss.SpikesimError, match=r"connection_sparsity\.network must be one with linear or convolution"):
        connection_sparsity(ss.Network.chain(ss.IF()))
