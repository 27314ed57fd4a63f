"""The main job in ten lines: convert, simulate, estimate energy."""

import torch
from torch import nn

import spikesim as ss
from spikesim import hardware
from spikesim.datasets import load

train, test = load("digits").part("train").subset(range(400)), load("digits").part("test").subset(range(20))
torch.manual_seed(0)
ann = nn.Sequential(nn.Conv2d(2, 8, 5, stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(800, 10))
optimiser = torch.optim.Adam(ann.parameters(), 3e-3)
for _ in range(30):
    optimiser.zero_grad()
    nn.functional.cross_entropy(ann(train.frames()), torch.tensor(train.labels)).backward()
    optimiser.step()

snn, report = ss.convert(ann, calibration=train)
run = ss.run(snn, test.raster(32), record=["1"])
chip = hardware.deploy(snn, hardware.load_macro("taox40-projected"), seeds=ss.Seeds(7))
energy = hardware.estimate(chip, test, steps=32)

print(report)
print(energy)
right = (run.readout.argmax(1) == torch.as_tensor(test.labels)).float().mean()
assert right > 0.5 and energy.energy_J["total"] > 0
