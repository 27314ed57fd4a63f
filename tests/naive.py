"""Brute-force twins: the plainest possible code for what the library does fast."""

from __future__ import annotations

import numpy as np


def lif(x: np.ndarray, beta: float, threshold: float, v0: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Leaky integrate-and-fire with reset by subtraction, neuron by neuron. x (T, B, N) -> spikes, last v."""
    steps, batch, size = x.shape
    kind = x.dtype.type
    spikes, last = np.zeros_like(x), np.zeros((batch, size), x.dtype)
    for b in range(batch):
        for n in range(size):
            v = kind(v0)
            for t in range(steps):
                v = kind(beta) * v + x[t, b, n]
                if v >= kind(threshold):
                    spikes[t, b, n] = 1
                    v = v - kind(threshold)
            last[b, n] = v
    return spikes, last


def signed(x: np.ndarray, threshold: float, v0: float) -> tuple[np.ndarray, np.ndarray]:
    """Signed integrate-and-fire with memory, neuron by neuron. x (T, B, N) -> spikes, last v."""
    steps, batch, size = x.shape
    kind = x.dtype.type
    spikes, last = np.zeros_like(x), np.zeros((batch, size), x.dtype)
    for b in range(batch):
        for n in range(size):
            v, given = kind(v0), 0
            for t in range(steps):
                v = v + x[t, b, n]
                s = 1 if v >= kind(threshold) else -1 if v < 0 and given >= 1 else 0
                spikes[t, b, n], v, given = s, v - kind(s) * kind(threshold), given + s
            last[b, n] = v
    return spikes, last


def convolution(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int, padding: int) -> np.ndarray:
    """One image at a time, one output at a time. x (C, H, W), weight (O, C, kh, kw) -> (O, H', W')."""
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    out_channels, _, kh, kw = weight.shape
    high, wide = ((s + 2 * padding - k) // stride + 1 for s, k in zip(x.shape[1:], (kh, kw)))
    out = np.zeros((out_channels, high, wide), x.dtype)
    for o in range(out_channels):
        for i in range(high):
            for j in range(wide):
                patch = padded[:, i * stride : i * stride + kh, j * stride : j * stride + kw]
                out[o, i, j] = (patch * weight[o]).sum() + bias[o]
    return out


def synapses_reached(x: np.ndarray, weight_shape: tuple[int, ...], stride: int, padding: int) -> int:
    """How many (output, weight) pairs see a non-zero input of x (C, H, W)."""
    active = (x != 0).astype(np.float64)
    return int(convolution(active, np.ones(weight_shape), np.zeros(weight_shape[0]), stride, padding).sum())
