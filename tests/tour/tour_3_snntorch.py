"""snnTorch: a Linear + Leaky net becomes a Network and agrees with it spike for spike."""

import snntorch as snn
import torch
from torch import nn

import spikesim as ss
from spikesim.interop.snntorch import from_snntorch

torch.manual_seed(0)
fc1, lif1, fc2, lif2 = nn.Linear(50, 40), snn.Leaky(beta=0.9), nn.Linear(40, 10), snn.Leaky(beta=0.8)
x = (torch.rand(100, 8, 50) < 0.3).float()

theirs, mem1, mem2 = [], lif1.init_leaky(), lif2.init_leaky()
for step in x:
    spikes1, mem1 = lif1(fc1(step), mem1)
    spikes2, mem2 = lif2(fc2(spikes1), mem2)
    theirs.append(spikes2)

network = from_snntorch([fc1, lif1, fc2, lif2])
ours = ss.run(network, x, engine=ss.Reference()).output
assert ours.sum() > 0 and torch.equal(ours, torch.stack(theirs))
print(f"{int(ours.sum())} spikes, all of them equal")
