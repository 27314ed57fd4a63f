"""A spiking network trained on recordings: bins in, cross-entropy of its readout back through time, and what it learned."""

from torch import nn

import spikesim as ss
from spikesim.datasets import load
from spikesim.training import RasterBatches, ReadoutCrossEntropy, Training, accuracy_on, fit

train, test = (load("digits").part(part).subset(range(0, 300, 2)) for part in ("train", "test"))
network = ss.Network.chain(
    nn.Conv2d(2, 8, 5, stride=3), ss.LIF(0.8, 0.5), nn.Conv2d(8, 16, 3, stride=2), ss.LIF(0.8, 0.5),
    nn.Flatten(), nn.Linear(256, 10), input_shape=(2, 34, 34),
)  # fmt: skip
fit(network, RasterBatches(train, steps=5), ReadoutCrossEntropy(), Training(epochs=8), seeds=ss.Seeds(0))
score = accuracy_on(network, ReadoutCrossEntropy(), RasterBatches(test, steps=5))
print(f"{100 * score:.1f} % of {len(test)} recordings that it has not seen; chance is 10 %")
assert score > 0.3
