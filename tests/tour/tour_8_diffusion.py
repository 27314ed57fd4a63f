"""A small spiking diffusion model of digits: trained, sampled from, and what a picture costs."""

import spikesim as ss
from spikesim.diffusion import Sampler, Sampling, picture_energy
from spikesim.diffusion.experiment import DiffusionExperiment
from spikesim.training import Training

small = {
    "size": 8,
    "width": 8,
    "multipliers": (1, 2),
    "blocks": 1,
    "steps": 2,
    "limit": 640,
}  # minutes make digits of it
experiment = DiffusionExperiment.of(data="digits", conditional=True, **small)
training = Training(epochs=3, learning_rate=5e-3, weight_decay=0.0, ema=0.9)
model, history = experiment.run(training, seeds=ss.Seeds(0))
sampling = Sampling(sampler="ddim", steps=10, labels=tuple(range(10)))
pictures = Sampler(model, sampling, ss.Seeds(1))(range(10))  # (10, 1, 8, 8) in -1..1
print(f"{100 * history[-1].accuracy:.0f} % of the noise's variance explained after {len(history)} epochs")
for row in pictures[:, 0].permute(1, 0, 2):
    print("  ".join("".join(" .:*#"[int(2.49 * (v + 1))] for v in line) for line in row))
print(picture_energy(model, sampling, seeds=ss.Seeds(2)))
