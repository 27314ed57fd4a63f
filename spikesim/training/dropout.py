"""Dropout that is a function of seed, layer, epoch, batch number and sample, and the same at all time steps of a sample.

    y_i = x_i / (1 - p) where word_i >= p 2^32, else 0

word_i are Philox words of the key (seed, epoch, layer) and the counter (sample id, batch number, i / 4, 0). `nn.Dropout`
drops single values, `nn.Dropout1d` to `nn.Dropout3d` whole channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..core import philox as philox_module
from ..core.kernel import kernel, shared_out
from ..core.philox import MASK, philox4x32, words
from ..core.seeds import Seeds

SINGLE, CHANNELS = (nn.Dropout,), (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
WORDS = 2.0**32


def mask_reference(ids: np.ndarray, number: int, key: int, limit: Any, scale: Any, out: np.ndarray) -> None:
    """out (B, n) float32: scale where a word is at least `limit`, else 0."""
    quads = -(-out.shape[1] // 4)
    drawn = words(ids[:, None], number, np.arange(quads), 0, key)
    kept = np.stack(drawn, 2).reshape(len(ids), -1)[:, : out.shape[1]] >= limit
    out[:] = np.where(kept, scale, np.float32(0))


@kernel(reference=mask_reference, items=lambda ids, *_: len(ids), depends=(philox_module,))
def mask_kernel(ids, number, key, limit, scale, out, begin, end, team):  # type: ignore[no-untyped-def]
    if shared_out(begin, end, team):
        return
    low, high, zero = np.uint64(key) & MASK, np.uint64(key) >> np.uint64(32), np.uint64(0)
    for b in range(begin, end):
        sample, row = np.uint64(ids[b]) & MASK, out[b]
        for q in range((row.size + 3) // 4):
            found = philox4x32(sample, np.uint64(number) & MASK, np.uint64(q), zero, low, high)
            for j in range(4):
                if 4 * q + j < row.size:
                    row[4 * q + j] = scale if found[j] >= limit else np.float32(0)


class Masks:
    """The masks of one epoch: `at` says which batch is next."""

    def __init__(self, seeds: Seeds) -> None:
        self._seeds, self._number, self._ids = seeds, 0, np.zeros(0, np.int64)

    def at(self, number: int, ids: np.ndarray) -> None:
        """The batch that comes: its number in the epoch, its samples' identities (B,)."""
        self._number, self._ids = number, np.asarray(ids, np.int64)

    def dropped(self, module: Any, name: str, x: Tensor) -> Tensor:
        """What the layer `name` gives for x (B, ...) or (T B, ...)."""
        if not module.training or not module.p or not len(self._ids) or x.shape[0] % len(self._ids):
            return type(module).forward(module, x)  # type: ignore[no-any-return]
        shape = x.shape[1:2] if isinstance(module, CHANNELS) else x.shape[1:]
        mask = np.empty((len(self._ids), shape.numel()), np.float32)
        limit, scale = np.uint64(round(module.p * WORDS)), np.float32(0 if module.p == 1 else 1 / (1 - module.p))
        mask_kernel(self._ids, self._number, np.uint64(self._seeds.child(name).key), limit, scale, mask)
        one = torch.from_numpy(mask).reshape(len(mask), *shape, *[1] * (x.dim() - 1 - len(shape))).to(x)
        return (x.unflatten(0, (-1, len(mask))) * one).flatten(0, 1)


@contextmanager
def keyed_dropout(model: nn.Module, seeds: Seeds) -> Iterator[Masks]:
    """Within the block the model's dropout layers take their masks from what is yielded."""
    masks = Masks(seeds)
    layers = {name: m for name, m in model.named_modules() if isinstance(m, (*SINGLE, *CHANNELS))}
    for name, module in layers.items():
        module.__dict__["forward"] = partial(masks.dropped, module, name)
    try:
        yield masks
    finally:
        for module in layers.values():
            del module.__dict__["forward"]
