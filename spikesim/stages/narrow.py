"""Weight rows of fewer bits for inference by events: a quarter or half of the bytes that are read.

Every neuron o has a scale s of its own; sums are float32, in units of s, and the neuron's gain brings them back:

    q = W / s rounded to int8,    s = max |W_o| / 127            or
    q = W / s rounded to float16, s = the least power of 2 that is not below max |W_o|
    x_t = b / s + sum over events e of val[e] q[idx[e]];      h = leak v + (gain s) x_t + bias
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..core.simd import aligned, widened
from ..layers.linear import blocks_of


def narrowed(blocks: np.ndarray, kind: torch.dtype) -> tuple[np.ndarray, np.ndarray]:
    """q and s of weights (blocks, n_in, lanes): q in the same layout, int8 or the uint16 of float16; s (blocks lanes,)."""
    peak = np.abs(blocks).max(1)
    peak[peak == 0] = 1
    if kind == torch.int8:
        scale = (peak / np.float32(127)).astype(np.float32)
        q = np.rint(blocks / scale[:, None]).clip(-127, 127).astype(np.int8)
    else:
        scale = np.exp2(np.ceil(np.log2(peak))).astype(np.float32)
        q = (blocks / scale[:, None]).astype(np.float16).view(np.uint16)
    return _on_lines(q), scale.ravel()


def _on_lines(q: np.ndarray) -> np.ndarray:
    out = aligned(*q.shape, dtype=q.dtype)
    out[:] = q
    return out


def dequantised(weight: Tensor, kind: torch.dtype) -> Tensor:
    """s q as float32: the weights (n_out, n_in) that a run with rows of `kind` (torch.int8, torch.float16) computes with."""
    q, scale = narrowed(blocks_of(weight.detach().contiguous().numpy()), kind)
    wide = widened(q) * scale.reshape(len(q), 1, -1)
    return torch.from_numpy(np.ascontiguousarray(wide.swapaxes(1, 2)).reshape(-1, weight.shape[1])[: len(weight)])
