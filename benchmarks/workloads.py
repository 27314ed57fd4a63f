"""The inputs, weights and sizes of W1 to W4: the same numbers for every contender, from written-down seeds.

Events are N-MNIST-like: a random stroke moved by three saccades, events on its edges, about 4,000 a sample. Real
recordings would tie the benchmark to a download; densities are those of N-MNIST.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

import spikesim as ss

SIDE, INPUTS = 34, 2 * 34 * 34
BETA, THRESHOLD = 0.9, 1.0


def strokes(n: int, seed: int = 0, events: int = 4000) -> list[ss.EventStream]:
    """n recordings of about `events` events on 34 x 34 pixels over 300 ms."""
    rng = np.random.default_rng(seed)
    return [_stroke(rng, max(int(rng.normal(events, events * 0.2)), events // 4)) for _ in range(n)]


def _stroke(rng: np.random.Generator, events: int) -> ss.EventStream:
    image, angle = np.zeros((SIDE, SIDE), np.float32), rng.uniform(0, 2 * np.pi)
    y, x = rng.uniform(9, 25, 2)
    for _ in range(60):
        angle += rng.normal(0, 0.45)
        y, x = np.clip(y + math.sin(angle), 6, 27), np.clip(x + math.cos(angle), 6, 27)
        image[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2] = 1
    saccade = rng.integers(0, 3, events)
    t = ((saccade + np.clip(rng.normal(0.5, 0.18, events), 0, 0.999)) * 1e5).astype(np.int64)
    place, polarity = np.empty(events, np.int64), (rng.random(events) < 0.5).astype(np.uint8)
    for k, shift in enumerate(((1, 1), (-1, 1), (0, -2))):
        edge = np.roll(image, shift, (0, 1)) - image
        for p, side in ((1, np.flatnonzero(edge > 0)), (0, np.flatnonzero(edge < 0))):
            mine = (saccade == k) & (polarity == p)
            place[mine] = side[rng.integers(0, max(1, side.size), mine.sum())]
    noise = rng.random(events) < 0.03
    place[noise] = rng.integers(0, SIDE * SIDE, noise.sum())
    return ss.EventStream.sorted(t, place % SIDE, place // SIDE, polarity, (SIDE, SIDE))


def spikes(currents: Tensor) -> Tensor:
    """Spikes (T, B, N) of the benchmark's neuron in plain torch: v = 0.9 v + I; s = v > 1; v -= s."""
    v, out = torch.zeros_like(currents[0]), []
    for drive in currents:
        v = v * BETA + drive
        s = (v > THRESHOLD).float()
        v = v - s
        out.append(s)
    return torch.stack(out)


def gain_for(currents: Tensor, rate: float) -> float:
    """The factor on the currents at which that share of neuron-steps spikes (bisection)."""
    low, high = 1e-3, 1e3
    for _ in range(18):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if spikes(currents * middle).mean() < rate else (low, middle)
    return middle


def drawn(*shape: int, fan_in: int, seed: int) -> Tensor:
    """Normal weights of variance 1 / fan_in."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) / math.sqrt(fan_in)


def spread(x: Tensor, f: object) -> Tensor:
    """A stateless layer over steps and samples at once."""
    return f(x.flatten(0, 1)).unflatten(0, x.shape[:2])  # type: ignore[operator, no-any-return]


def currents(batch: int, neurons: int = 65536, steps: int = 100) -> Tensor:
    """W1's drive (T, B, N): normal, mean 0.165, deviation 0.2: about 11 % of neuron-steps spike."""
    rng = np.random.default_rng(1)
    x = np.empty((steps, batch, neurons), np.float32)
    for row in x:
        rng.standard_normal(out=row, dtype=np.float32)
        row *= 0.2
        row += 0.165
    return torch.from_numpy(x)


def dense_weights(x: Tensor, hidden: int = 512, rate: float = 0.08, last: float = 0.08) -> tuple[Tensor, Tensor]:
    """Weights (hidden, 2312) and (10, hidden) at which 8 % of each layer's neuron-steps spike on x (T, B, 2312)."""
    few = x[:, :16].flatten(2)
    w1 = drawn(hidden, INPUTS, fan_in=INPUTS, seed=3)
    w1 *= gain_for(few @ w1.T, rate)
    s1 = spikes(few @ w1.T)
    w2 = drawn(10, hidden, fan_in=hidden, seed=4)
    return w1, w2 * gain_for(s1 @ w2.T, last)


def convolution_weights(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weights of 16c5-p2-32c3-p2-10 at which 4, 6 and 10 % of neuron-steps spike on x (T, B, 2, 34, 34)."""
    pool, conv = torch.nn.functional.max_pool2d, torch.nn.functional.conv2d
    k1, k2 = drawn(16, 2, 5, 5, fan_in=50, seed=5), drawn(32, 16, 3, 3, fan_in=144, seed=6)
    w = drawn(10, 1152, fan_in=1152, seed=7)
    k1 *= gain_for(spread(x, lambda z: conv(z, k1)), 0.04)
    p1 = spread(spikes(spread(x, lambda z: conv(z, k1))), lambda z: pool(z, 2))
    k2 *= gain_for(spread(p1, lambda z: conv(z, k2)), 0.06)
    p2 = spread(spikes(spread(p1, lambda z: conv(z, k2))), lambda z: pool(z, 2)).flatten(2)
    return k1, k2, w * gain_for(p2 @ w.T, 0.1)


def reservoir_weights(x: Tensor, neurons: int = 1000, connectivity: float = 0.1) -> tuple[Tensor, Tensor]:
    """Input (2312, N) and recurrent (N, N) weights by source, 10 % connected, a fifth of the neurons inhibitory, with
    the input gain at which 5 % of neuron-steps spike on x (T, B, 2312)."""
    rng = np.random.default_rng(5)
    inward = (rng.standard_normal((INPUTS, neurons)) * (rng.random((INPUTS, neurons)) < connectivity)).astype(
        np.float32
    )
    around = np.abs(rng.standard_normal((neurons, neurons))) * (rng.random((neurons, neurons)) < connectivity)
    around[rng.random(neurons) < 0.2] *= -4.0
    np.fill_diagonal(around, 0)
    w, r = torch.from_numpy(inward), torch.from_numpy((around * 0.25 / math.sqrt(neurons * connectivity)).astype("f4"))
    drive = x[:, :8].flatten(2) @ w
    low, high = 1e-3, 10.0
    for _ in range(12):
        gain = math.sqrt(low * high)
        low, high = (gain, high) if recurrent_spikes(drive * gain, r).mean() < 0.05 else (low, gain)
    return w * gain, r


def recurrent_spikes(drive: Tensor, around: Tensor) -> Tensor:
    """Spikes (T, B, N) of the benchmark's neuron with last step's spikes fed back through around (N, N)."""
    v, s, out = torch.zeros_like(drive[0]), torch.zeros_like(drive[0]), []
    for row in drive:
        v = v * BETA + row + s @ around
        s = (v > THRESHOLD).float()
        v = v - s
        out.append(s)
    return torch.stack(out)
