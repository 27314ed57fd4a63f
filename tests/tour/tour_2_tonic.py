"""tonic: its ToFrame equals our raster, and a data set shaped like tonic.datasets.NMNIST goes into a simulation."""

import numpy as np
import tonic
import torch
from torch import nn

import spikesim as ss
from spikesim.datasets import load
from spikesim.evaluation import evaluate
from spikesim.interop.tonic import from_tonic

digits = load("digits")
stream, label = digits[0]

frames = tonic.transforms.ToFrame(sensor_size=(34, 34, 2), n_time_bins=10, include_incomplete=False)
theirs = frames(stream.structured())
bins = (stream.t[-1] - stream.t[0]) // 10  # tonic's bins are whole microseconds; ours divide the recording
ours = stream.raster(10, duration=int(10 * bins))
assert np.array_equal(theirs, ours[:, 0].numpy()), "tonic's ToFrame and our raster differ"


class LikeTonic:
    """What tonic.datasets.NMNIST looks like from outside."""

    sensor_size = (34, 34, 2)

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        stream, label = digits[index]
        return stream.structured(), label


torch.manual_seed(0)
network = ss.Network.chain(nn.Flatten(), nn.Linear(2312, 10), ss.LIF(0.9), readout=ss.Sum())
found = evaluate(network.requires_grad_(False), from_tonic(LikeTonic()), steps=10)
print(f"an untrained network is right on {found.accuracy:.2f} of {len(found.labels)} recordings")
