"""The embedded default: scikit-learn's handwritten digits as N-MNIST-style recordings; needs no file and no network."""

from __future__ import annotations

from functools import lru_cache

from spikesim.core.seeds import Seeds

from .base import EventDataset
from .images import emulated


@lru_cache(maxsize=1)
def digits() -> EventDataset:
    """1797 recordings of 34 by 34 pixels and about 300 ms, labels 0 to 9, split 1437 / 360; the same on every machine.

    Made by the event-camera emulator (`datasets/emulator.py`) in a few seconds, once per process.
    """
    return emulated("digits", Seeds(0).child("datasets", "digits"))
