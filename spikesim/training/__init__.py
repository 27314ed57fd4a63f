"""Training: one loop in plain torch, and its losses. Read `loop.py`."""

from .loop import Epoch, LoaderBatches, TensorBatches, Training, fit
from .losses import CrossEntropy, Loss, ReadoutCrossEntropy, accuracy

__all__ = [
    "CrossEntropy", "Epoch", "LoaderBatches", "Loss", "ReadoutCrossEntropy", "TensorBatches", "Training", "accuracy", "fit",
]  # fmt: skip
