"""One neuron: a current in, spikes out, and the same run cut in two."""

import torch

import spikesim as ss

neuron = ss.Network.chain(ss.LIF.from_tau(tau="20 ms", dt="1 ms", threshold=1.0))
current = torch.full((100, 1, 1), 0.08)  # (T, B, N)

run = ss.run(neuron, current, record=["0.v"])
print(f"{int(run.output.sum())} spikes in 100 ms; membrane at the end {run.recording['0.v'][-1].item():.3f}")

first = ss.run(neuron, current[:37])
second = ss.run(neuron, current[37:], state=first.state)
assert torch.equal(torch.cat([first.output, second.output]), run.output)
