"""Training: one loop in plain torch, and its losses. Read `loop.py`."""

from .losses import CrossEntropy, Loss, ReadoutCrossEntropy, accuracy
from .loop import Epoch, LoaderBatches, TensorBatches, Training, fit

__all__ = [
    "CrossEntropy", "Epoch", "LoaderBatches", "Loss", "ReadoutCrossEntropy", "TensorBatches", "Training", "accuracy", "fit",
]  # fmt: skip
