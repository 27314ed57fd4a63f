"""What an ideal run books, against brute force: operations per synapse reached, updates, spikes; linear in T and B."""

from __future__ import annotations

import naive
import numpy as np
import torch
from torch import nn

import spikesim as ss


def counted(x: torch.Tensor, network: ss.Network) -> ss.Ledger:
    ledger = ss.Ledger()
    ss.run(network, x, ledger=ledger)
    return ledger


def example() -> tuple[ss.Network, torch.Tensor]:
    torch.manual_seed(0)
    network = ss.Network.chain(
        nn.Conv2d(2, 3, 3, stride=2, padding=1), ss.SignedIF(0.3, initial=0.1), nn.Conv2d(3, 4, 3, padding=1), ss.IF(0.5),
        nn.Flatten(), nn.Linear(100, 6),
    ).requires_grad_(False)  # fmt: skip
    draw = torch.Generator().manual_seed(1)
    return network, torch.poisson(torch.full((7, 4, 2, 10, 10), 0.4), generator=draw)


def test_operations_equal_brute_force() -> None:
    network, x = example()
    run, ledger = ss.run(network, x, record=["1", "3"]), counted(x, network)
    spikes1, spikes3 = run.recording["1"], run.recording["3"]
    for node, inputs, shape, stride in (("0", x, (3, 2, 3, 3), 2), ("2", spikes1, (4, 3, 3, 3), 1)):
        images = inputs.flatten(0, 1).numpy()
        unit = sum(naive.synapses_reached(np.abs(i) == 1, shape, stride, 1) for i in images)
        graded = sum(naive.synapses_reached(np.abs(i) > 1, shape, stride, 1) for i in images)
        assert ledger.count(ss.Action.digital_add, node) == unit > 0
        assert ledger.count(ss.Action.digital_mac, node) == graded
    assert ledger.count(ss.Action.digital_mac, "0") > 0 == ledger.count(ss.Action.digital_mac, "2")
    assert ledger.count(ss.Action.digital_add, "5") == 6 * int(spikes3.sum()) > 0
    assert ledger.count(ss.Action.spike_hop, "1") == int(spikes1.abs().sum())
    assert ledger.count(ss.Action.neuron_update, "1") == spikes1.numel()
    assert ledger.count(ss.Action.membrane_access, "3") == 2 * spikes3.numel()


def test_counts_add_over_the_batch_and_do_not_change_the_run() -> None:
    network, x = example()
    whole, parts = counted(x, network), counted(x[:, :1], network) + counted(x[:, 1:], network)
    assert whole.total == parts.total and whole.squares == parts.squares and whole.samples == parts.samples == 4
    assert torch.equal(ss.run(network, x, ledger=ss.Ledger()).output, ss.run(network, x, engine=ss.Fused()).output)
