"""A reservoir of cells that formed at random, ideal and on a chip, and what a linear readout makes of it."""

import spikesim as ss
from spikesim import hardware, lsm
from spikesim.datasets import load

train, test = (load("digits").part(name).subset(range(300)) for name in ("train", "test"))
cells = lsm.Formed(voltage=3.433)  # half of the cells form at this voltage
reservoir = lsm.Reservoir.published("nmnist", input_weights=cells, loop_weights=cells)
frames = lsm.Frames(steps=50, side=16, polarity=1)

calibration = frames.flat(frames.raster(train.subset(range(16)))).dense()
chip = reservoir.chip(hardware.load_macro("taox40-projected"), ss.Seeds(0), calibration=calibration)
for name, network in {"ideal": reservoir.network(ss.Seeds(0)), "chip": chip}.items():
    known, asked = (lsm.features(network, part, frames, seeds=ss.Seeds(1)) for part in (train, test))
    right = lsm.probed(known.values, train.labels, asked.values) == test.labels
    print(
        f"{name}: {100 * right.mean():.1f} % of {len(test)}, chance 10 %, {100 * known.rate:.1f} % of neurons fire in a step"
    )
