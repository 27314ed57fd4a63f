"""Training: one loop in plain torch, and its losses. Read `loop.py`, then docs/training.md."""

from .batches import Batch, Batches, LoaderBatches, RasterBatches, TensorBatches
from .loop import Step, accuracy_on, fit
from .losses import (
    CrossEntropy,
    Loss,
    MembraneCrossEntropy,
    RateCrossEntropy,
    ReadoutCrossEntropy,
    Regularised,
    Tet,
    accuracy,
    spikes_per_neuron,
)
from .settings import Training
from .state import Epoch

__all__ = [
    "Batch", "Batches", "CrossEntropy", "Epoch", "LoaderBatches", "Loss", "MembraneCrossEntropy", "RasterBatches",
    "RateCrossEntropy", "ReadoutCrossEntropy", "Regularised", "Step", "TensorBatches", "Tet", "Training", "accuracy",
    "accuracy_on", "fit", "spikes_per_neuron",
]  # fmt: skip
