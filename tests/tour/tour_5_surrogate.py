"""Ten lines of surrogate-gradient training on a tonic-style DataLoader."""

import torch
from torch import nn
from torch.utils.data import DataLoader

import spikesim as ss
from spikesim.datasets import load

digits = load("digits").part("train")
items = [(digits[i][0].raster(10)[:, 0], int(digits[i][1])) for i in range(256)]  # (T, P, H, W), label

torch.manual_seed(0)
loader = DataLoader(items, batch_size=32, shuffle=True)
network = ss.Network.chain(nn.Flatten(), nn.Linear(2312, 64), ss.LIF(0.9), nn.Linear(64, 10))
optimiser = torch.optim.Adam(network.parameters(), 2e-3)
losses = []
for _ in range(3):
    for x, label in loader:  # x (B, T, P, H, W)
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(ss.run(network, x.transpose(0, 1)).readout, label)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
print(f"loss {losses[0]:.2f} -> {losses[-1]:.2f}")
assert losses[-1] < 0.7 * losses[0]
