"""Run by torchrun in `training/test_processes.py`: train by shares, and leave gradient and weights in the folder given."""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

import spikesim as ss
from spikesim.training import CrossEntropy, ReadoutCrossEntropy, TensorBatches, Training, fit
from spikesim.training.batches import Batch
from spikesim.training.dropout import keyed_dropout
from spikesim.training.processes import Processes, joined

X = torch.rand(21, 1, 6, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(21) % 3


def ann() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Dropout(0.4), nn.Flatten(), nn.Linear(80, 3))


def snn() -> ss.Network:
    torch.manual_seed(1)
    return ss.Network.chain(
        nn.Flatten(), nn.Linear(36, 12), ss.LIF(0.8, 0.3, learn=("leak",)), nn.Dropout(0.4), nn.Linear(12, 3)
    )


def gradient(processes: Processes) -> dict[str, torch.Tensor]:
    """The first step's, of the spiking network."""
    network, loss = snn().train(), ReadoutCrossEntropy(steps=5)
    mine = processes.share(Batch(X, LABELS, torch.arange(21).numpy()))
    with keyed_dropout(network, ss.Seeds(3)) as masks:
        masks.at(0, mine.ids)
        value, _ = loss(network, mine.x, mine.labels)
    (value * (len(mine.labels) / len(X))).backward()
    processes.add_gradients(network)
    return {f"gradient.{k}": p.grad for k, p in network.named_parameters() if p.grad is not None}


def trained(checkpoint: Path | None) -> dict[str, torch.Tensor]:
    """Weights and history of the ANN after two epochs of batches of 8, 8 and 5."""
    model, training = ann(), Training(epochs=2, clip=1.0, optimiser="sgd", learning_rate=0.1)
    history = fit(
        model, TensorBatches(X, LABELS, 8), CrossEntropy(), training, seeds=ss.Seeds(0), checkpoint=checkpoint,
        validation=TensorBatches(X, LABELS, 8),
    )  # fmt: skip
    seen = torch.tensor([[e.loss, e.accuracy, e.validation or 0.0] for e in history], dtype=torch.float64)
    return {**{f"weights.{k}": v for k, v in model.state_dict().items()}, "history": seen}


if __name__ == "__main__":
    out = Path(sys.argv[1])
    with joined() as processes:
        torch.set_num_threads(1)
        found = {**gradient(processes), **trained(out / "run.safetensors")}
        save_file({k: v.contiguous() for k, v in found.items()}, out / f"{processes.rank}.safetensors")
