"""The leaky integrate-and-fire neuron: one equation, and its kernels.

    charge   h = leak v + gain x + bias
    fire     s = 1 where h >= threshold
    reset    v = h - s scale h - s shift          scale 0, shift threshold: by subtraction; scale 1: to -shift

Gated: the reset of a spike acts at the next step (the convention of snnTorch's `reset_delay=True`), and the
stored v is the membrane before its reset:

    h = leak (v - r scale v) + gain x + bias - r shift,     r = 1 where v >= threshold;     v = h

A threshold that must be exceeded strictly is the next float above it. Read `_membrane_backward.py` for the adjoint,
`_fused.py` for the operation torch sees, `base.py` and `_leaky.py` for the modules.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numba.extending import overload

from ..core import simd
from ..core.kernel import block_at, blocks_in, inlined, kernel, shared_out

BLOCK = 16384
"""Neurons per parallel block: 64 KiB of float32 membrane, which stays in the L2 cache over all steps."""


class Coefficients(NamedTuple):
    """Per-step numbers of the neuron; each a scalar or one value per neuron, in the membrane's dtype."""

    leak: Any
    gain: Any
    bias: Any
    threshold: Any
    scale: Any
    shift: Any


def step(v, x, c, spike, gate):  # type: ignore[no-untyped-def]
    """Charge, fire, reset. -> (s, v, h); `gate` passes or detaches the spike that resets."""
    h = c.leak * v + c.gain * x + c.bias
    s = spike(h - c.threshold)
    r = gate(s)
    return s, h - r * (c.scale * h) - r * c.shift, h


def gated_step(v, x, c, spike, gate):  # type: ignore[no-untyped-def]
    """Reset for the spike of the step before, charge, fire. -> (s, v, h) with v = h before its reset."""
    r = gate(spike(v - c.threshold))
    h = c.leak * (v - r * (c.scale * v)) + c.gain * x + c.bias - r * c.shift
    return spike(h - c.threshold), h, h


def passed(s):  # type: ignore[no-untyped-def]
    """The gate that lets the reset carry gradient (and any value) through."""
    return s


def _at(c, lo, hi):  # type: ignore[no-untyped-def]
    return c if np.ndim(c) == 0 else c[lo:hi]


@overload(_at, inline="always")
def _at_compiled(c, lo, hi):  # type: ignore[no-untyped-def]
    return (lambda c, lo, hi: c[lo:hi]) if hasattr(c, "ndim") else (lambda c, lo, hi: c)


def _pick(c, i):  # type: ignore[no-untyped-def]
    return c if np.ndim(c) == 0 else c[i]


@overload(_pick, inline="always")
def _pick_compiled(c, i):  # type: ignore[no-untyped-def]
    return (lambda c, i: c[i]) if hasattr(c, "ndim") else (lambda c, i: c)


@inlined
def _fires(u):  # type: ignore[no-untyped-def]
    return np.float32(u >= 0)


@inlined
def rows_of(c, lo, hi):  # type: ignore[no-untyped-def]
    return Coefficients(
        _at(c.leak, lo, hi),
        _at(c.gain, lo, hi),
        _at(c.bias, lo, hi),
        _at(c.threshold, lo, hi),
        _at(c.scale, lo, hi),
        _at(c.shift, lo, hi),
    )


@inlined
def one_neuron(c, i):  # type: ignore[no-untyped-def]
    return Coefficients(
        _pick(c.leak, i),
        _pick(c.gain, i),
        _pick(c.bias, i),
        _pick(c.threshold, i),
        _pick(c.scale, i),
        _pick(c.shift, i),
    )


_step, _gated_step, _passed = inlined(step), inlined(gated_step), inlined(passed)
_word = simd.word


def _fires_numpy(u: np.ndarray) -> np.ndarray:
    return (u >= 0).astype(u.dtype)


def run_reference(x: np.ndarray, v: np.ndarray, c: Coefficients, gated: bool, spikes: np.ndarray) -> None:
    """numpy twin of `run_kernel`: x, spikes (T, B, N); v (B, N) is read and left at its last value."""
    rule = gated_step if gated else step
    for t in range(x.shape[0]):
        spikes[t], v[...], _ = rule(v, x[t], c, _fires_numpy, passed)


@kernel(reference=run_reference, items=lambda x, *_: blocks_in(x, BLOCK))
def run_kernel(x, v, c, gated, spikes, begin, end, team):  # type: ignore[no-untyped-def]
    if shared_out(begin, end, team):
        return
    steps, _, size = x.shape
    for j in range(begin, end):
        b, lo, hi = block_at(j, size, BLOCK)
        row, state = rows_of(c, lo, hi), v[b, lo:hi]
        for t in range(steps):
            # Rows are sliced first: an offset computed in the index would stop vectorisation.
            drive, out = x[t, b, lo:hi], spikes[t, b, lo:hi]
            if gated:
                for i in range(hi - lo):
                    out[i], state[i], _ = _gated_step(state[i], drive[i], one_neuron(row, i), _fires, _passed)
            else:
                for i in range(hi - lo):
                    out[i], state[i], _ = _step(state[i], drive[i], one_neuron(row, i), _fires, _passed)


@njit(nogil=True)
def updated_row(x, v, c, gated, fired):  # type: ignore[no-untyped-def]
    """One step of one row of neurons for kernels of other files: drive x, membranes v in and out, spikes as bytes."""
    if gated:
        for i in range(x.size):
            s, v[i], _ = _gated_step(v[i], x[i], one_neuron(c, i), _fires, _passed)
            fired[i] = np.uint8(s)
    else:
        for i in range(x.size):
            s, v[i], _ = _step(v[i], x[i], one_neuron(c, i), _fires, _passed)
            fired[i] = np.uint8(s)


def bits_reference(x: np.ndarray, v: np.ndarray, c: Coefficients, gated: bool, bits: np.ndarray) -> None:
    """numpy twin of `bits_kernel`: as `run_reference`, spikes packed 64 to a word, bits (T, B, ceil(N / 64)) uint64."""
    rule, fired = (gated_step if gated else step), np.zeros((*x.shape[1:-1], bits.shape[-1] * 64), np.uint8)
    for t in range(x.shape[0]):
        s, v[...], _ = rule(v, x[t], c, _fires_numpy, passed)
        fired[..., : x.shape[-1]] = s
        bits[t] = np.packbits(fired, axis=-1, bitorder="little").view(np.uint64)


@kernel(reference=bits_reference, items=lambda x, *_: blocks_in(x, BLOCK), depends=(simd,))
def bits_kernel(x, v, c, gated, bits, begin, end, team):  # type: ignore[no-untyped-def]
    if shared_out(begin, end, team):
        return
    steps, _, size = x.shape
    for j in range(begin, end):
        b, lo, hi = block_at(j, size, BLOCK)
        row, state = rows_of(c, lo, hi), v[b, lo:hi]
        words = (hi - lo + 63) // 64
        fired = np.zeros(words * 64, np.uint8)
        for t in range(steps):
            updated_row(x[t, b, lo:hi], state, row, gated, fired)
            for w in range(words):
                bits[t, b, lo // 64 + w] = _word(fired, w * 64)
