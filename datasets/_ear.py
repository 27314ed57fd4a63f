"""What one channel of the cochlea does, and the kernel that runs all channels over one recording.

The model stands in `cochlea.py`. Everything is float64, operation by operation, so that kernel and plain Python agree.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from spikesim.core import philox
from spikesim.core.kernel import inlined, kernel

CHANNEL_BITS = 16
SMALLEST = 0.05
"""A threshold is at least this part of its mean, however the draw falls."""
STAGES = 4


class Bank(NamedTuple):
    """Channels: pole (real, imaginary) and gain of each, (channels,) float64; drive and neuron in units of a sample:
    half (amplitude of half the rate), rate, leak (share lost per sample), noise, refractory (samples), µs per sample."""

    real: np.ndarray
    imaginary: np.ndarray
    gain: np.ndarray
    half: float
    rate: float
    leak: float
    noise: float
    refractory: float
    step: float


class Heard(NamedTuple):
    """Sample id and key as words: what draws are named by."""

    sample0: np.uint64
    sample1: np.uint64
    key0: np.uint64
    key1: np.uint64


def channel(sound, bank, c, who, draw, out, n):  # type: ignore[no-untyped-def]
    """Filter one channel, drive its neuron, write its events from out[n] on -> next n.

    Events are keys t << 16 | channel; those beyond the end of `out` are counted, not written.
    """
    a, b, g = bank.real[c], bank.imaginary[c], bank.gain[c]
    r0, r1, r2, r3, i0, i1, i2, i3 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    m, free, event = 0.0, 0.0, 0
    goal = max(SMALLEST, 1.0 + bank.noise * draw(c, event, who))
    for k in range(sound.size):
        x = g * sound[k]
        r0, i0 = x + (a * r0 - b * i0), a * i0 + b * r0
        r1, i1 = r0 + (a * r1 - b * i1), i0 + (a * i1 + b * r1)
        r2, i2 = r1 + (a * r2 - b * i2), i1 + (a * i2 + b * r2)
        r3, i3 = r2 + (a * r3 - b * i3), i2 + (a * i3 + b * r3)
        u = max(r3, 0.0)
        if k < free:
            continue
        before = m
        m = m - bank.leak * m + bank.rate * math.log(1.0 + u / bank.half)
        if m >= goal:
            at = k + (goal - before) / (m - before)
            if n < out.size:
                out[n] = np.int64(at * bank.step) << CHANNEL_BITS | c
            n += 1
            event += 1
            m, free = 0.0, at + bank.refractory
            goal = max(SMALLEST, 1.0 + bank.noise * draw(c, event, who))
    return n


def normal_draw(c, event, who, generate, transform):  # type: ignore[no-untyped-def]
    """A standard normal for one event."""
    w0, w1, _, _ = generate(np.uint64(c), np.uint64(event), who.sample0, who.sample1, who.key0, who.key1)
    return transform(w0, w1)[0]


def reference_draw(c: int, event: int, who: Heard) -> float:
    """`normal_draw` in plain Python."""
    return normal_draw(c, event, who, philox.generated, philox.normal_pair_of)  # type: ignore[no-any-return]


def heard_reference(sound: np.ndarray, bank: Bank, who: Heard, out: np.ndarray) -> int:
    """Write the events of every channel to `out` and return their number.

    out   (n,) int64 keys; when the number is above n, the rest is missing: call again with more room.
    """
    n = 0
    for c in range(bank.real.size):
        n = channel(sound, bank, c, who, reference_draw, out, n)
    return n


_channel, _normal_draw = inlined(channel), inlined(normal_draw)
_philox, _pair = philox.philox4x32, philox.normal_pair


@inlined
def _draw(c, event, who):  # type: ignore[no-untyped-def]
    return _normal_draw(c, event, who, _philox, _pair)


@kernel(reference=heard_reference, depends=(philox,))
def heard_kernel(sound, bank, who, out):  # type: ignore[no-untyped-def]
    n = 0
    for c in range(bank.real.size):
        n = _channel(sound, bank, c, who, _draw, out, n)
    return n
